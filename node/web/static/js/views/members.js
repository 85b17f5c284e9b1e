// Members and newcomers: applications to review, standing and stake, contributions by member and round, rewards and penalties.
import { actButton } from "../components/act.js";
import { account, badge, bar, card, countdown, empty, facts, hash, when } from "../components/basic.js";
import { why } from "../components/explain.js";
import { table } from "../components/table.js";
import { h } from "../dom.js";
import { amount, cwt, cwtFloat, fraction, integer, percent, sentence, signed, words } from "../format.js";
import { link } from "../router.js";
import { signer } from "../wallet.js";

const SHOWN_ROUNDS = 40;

export function members(state) {
  const { snapshot } = state;
  return [
    h("h1", { key: "title" }, "Members"),
    newcomers(snapshot, signer(state).account),
    card("Members", { key: "members", aside: h("small", { class: "muted" }, `${snapshot.members.filter((entry) => entry.status === "ACTIVE").length} active`) }, standing(snapshot)),
    card("Contributions", { key: "contributions", note: "One cell is one update: the darker, the more credit it brought." }, contributions(snapshot.contributions)),
    h("div", { class: "columns", key: "money" },
      card("Earned by role", {}, earned(snapshot)),
      card("Penalties", {}, penalties(snapshot.slashes))),
    card("Rewards", { key: "rewards" }, rewards(snapshot.rewards)),
  ];
}

function newcomers({ applications, seats }, me) {
  const open = applications.filter((entry) => ["open", "probation"].includes(entry.state));
  const closed = applications.filter((entry) => !["open", "probation"].includes(entry.state));
  return card(
    "Newcomers",
    { key: "newcomers", aside: h("small", { class: "muted" }, `${seats.filter((seat) => !seat.is_vacant).length} of ${seats.length} committee seats are held`) },
    open.length === 0
      ? empty("No application waits.", "Who wants to join builds and signs a request with: commonweight join apply.")
      : h("div", { class: "cards" }, open.map((entry) => application(entry, seats, me))),
    closed.length > 0 && h("details", { class: "numbers" }, h("summary", null, `${closed.length} decided`), table("Decided applications", [
      { label: "no.", numeric: true, cell: (entry) => entry.number },
      { label: "applicant", head: true, cell: (entry) => account(entry.applicant) },
      { label: "outcome", cell: (entry) => badge(entry.state) },
      { label: "approvals", numeric: true, cell: (entry) => entry.approvals },
      { label: "refusals", numeric: true, cell: (entry) => entry.refusals },
      { label: "applied", cell: (entry) => when(entry.applied_at) },
    ], closed, { key: (entry) => entry.number })),
  );
}

function application(entry, seats, me) {
  const { request } = entry;
  return h(
    "article",
    { class: "item", key: entry.number, "aria-label": `Application ${entry.number}` },
    h("header", { class: "item-head" }, h("h3", null, `Application ${entry.number}`), badge(entry.state, entry.state === "open" ? "to review" : "on probation"), account(entry.applicant)),
    facts([
      ["applied", when(entry.applied_at)],
      entry.state === "probation" && ["can be admitted", [countdown(entry.admit_at, "now")]],
      request && ["repositories", request.repositories.join(", ") || "–"],
      request && ["rows", integer(request.rows)],
      request && ["sample gain", h("b", { class: request.sample_gain > 0 ? "good" : "bad" }, `${signed(request.sample_gain)} ppm`)],
      request && ["hardware", request.hardware],
      request?.test_set && ["offered test set", testSet(request.test_set)],
      !request && ["request", "its file is not at hand here"],
      ["signed request", [hash(entry.request_cid, "CID"), " ", hash(entry.request_hash, "Hash")]],
    ]),
    h("div", { class: "tally" },
      h("span", null, h("b", null, `${entry.approvals} / ${entry.threshold}`), " approvals"),
      h("span", null, h("b", null, entry.refusals), " refusals"),
      entry.state === "probation" && h("span", null, h("b", null, `${entry.vetoes} / ${entry.veto_threshold}`), " vetoes")),
    entry.reviews.length > 0 && h("ul", { class: "plain-list" }, entry.reviews.map((review) => h("li", { key: review.reviewer },
      account(review.reviewer), badge("", review.approve ? "approved" : "refused", review.approve ? "good" : "bad"), when(review.at), hash(review.transaction, "Transaction")))),
    h("div", { class: "buttons" }, reviewButtons(entry, seats, me)),
  );
}

function testSet(value) {
  if (typeof value !== "object") return String(value);
  const { cid, rows, name, ...others } = value;
  const rest = Object.entries(others).map(([key, part]) => `, ${key} ${typeof part === "object" ? JSON.stringify(part) : part}`);
  return [name ?? "unnamed", rows === undefined ? null : `, ${integer(rows)} rows`, rest, cid && [" ", hash(cid, "CID")]];
}

/** What the signer may do: review and veto are for committee seats, once each; admitting is for anybody. An unknown signer is asked by the contract. */
function reviewButtons(entry, seats, me) {
  const isMe = (address) => me !== null && address?.toLowerCase() === me.toLowerCase();
  const maySeat = me === null || seats.some((seat) => !seat.is_vacant && isMe(seat.holder));
  const given = entry.reviews.find((review) => isMe(review.reviewer));
  const about = `application ${entry.number}`;
  const review = (approve) => actButton(approve ? "Approve" : "Reject", {
    name: "review", body: { application: entry.number, approve }, about, verb: approve ? "Approve" : "Reject", danger: !approve,
    title: `${approve ? "Approve" : "Reject"} application ${entry.number}`,
    summary: approve
      ? `Your committee seat approves. With ${entry.threshold} approvals the applicant goes on probation, or is admitted where there is no veto window.`
      : "Your committee seat refuses. A review is given once and stays on chain.",
    reason: "Reason; its hash is recorded on chain", instead: `commonweight join review ${entry.number} ${approve ? "--approve" : "--reject"}`,
  }, { kind: approve ? "primary" : "" });
  const forSeats = entry.actions.some((action) => action !== "admit");
  return [
    forSeats && !maySeat && h("p", { class: "muted" }, "Committee seats decide here; yours is none of them."),
    entry.actions.includes("review") && given && h("p", { class: "given" }, "You ", badge("", given.approve ? "approved" : "refused", given.approve ? "good" : "bad"), "."),
    entry.actions.includes("review") && maySeat && !given && [review(true), review(false)],
    entry.actions.includes("veto") && maySeat && actButton("Veto", {
      name: "veto", body: { application: entry.number }, about, verb: "Veto", danger: true, title: `Veto application ${entry.number}`,
      summary: `Your committee seat objects. With ${entry.veto_threshold} vetoes the applicant is not admitted.`, reason: "Reason; its hash is recorded on chain",
      instead: `commonweight join veto ${entry.number}`,
    }),
    entry.actions.includes("admit") && actButton("Admit", {
      name: "admit", body: { application: entry.number }, about, verb: "Admit", title: `Admit application ${entry.number}`,
      summary: "The veto window is over: anybody may admit. The newcomer receives the grant as unvested stake.", instead: `commonweight join admit ${entry.number}`,
    }, { kind: "primary" }),
  ];
}

function standing({ members: entries }) {
  if (entries.length === 0) return empty("Nobody applied yet.", "The founding members join with: commonweight join apply.");
  return table("Members", [
    { label: "member", head: true, cell: (entry) => account(entry.address) },
    { label: "standing", cell: (entry) => [badge(entry.status), entry.seat !== null && badge("", `seat ${entry.seat}`, "accent")] },
    { label: "stake, CWT", numeric: true, cell: (entry) => amount(entry.stake) },
    { label: "unvested", numeric: true, cell: (entry) => amount(entry.unvested) },
    { label: "balance", numeric: true, cell: (entry) => amount(entry.balance) },
    { label: "earned", numeric: true, cell: (entry) => amount(entry.earned) },
    { label: "slashed", numeric: true, cell: (entry) => h("span", { class: entry.slashed === "0" ? null : "bad" }, amount(entry.slashed)) },
    { label: "credit", numeric: true, cell: (entry) => amount(entry.credit) },
    { label: "accepted", numeric: true, cell: (entry) => `${entry.accepted} / ${entry.judged}` },
    { label: "votes", numeric: true, cell: (entry) => amount(entry.votes, 0) },
    { label: "member since", cell: (entry) => when(entry.active_since) },
  ], entries, { key: (entry) => entry.address });
}

/** Members by rounds, as a table whose cells are tinted; and the share of all credit. */
function contributions({ members: rows, rounds: all, cells, totals }) {
  if (cells.length === 0) return empty("Nobody contributed yet.", "Cells appear once updates are revealed.");
  const rounds = all.slice(-SHOWN_ROUNDS);
  const at = new Map(cells.map((cell) => [`${cell.member}.${cell.round}`, cell]));
  const share = new Map(totals.map((total) => [total.member, total]));
  const most = Math.max(1, ...cells.map((cell) => cwtFloat(cell.credit)));
  const largest = Math.max(1, ...totals.map((total) => total.share_ppm));
  return [
    h(
      "div",
      { class: "scroll", role: "region", "aria-label": "Contributions by member and round", tabindex: "0" },
      h(
        "table",
        { class: "heat" },
        h("thead", null, h("tr", null, h("th", { scope: "col" }, "member"),
          rounds.map((round) => h("th", { key: round, scope: "col", class: "cell" }, h("a", { href: link("rounds", round), "aria-label": `Round ${round}` }, round))),
          h("th", { scope: "col", class: "n" }, "credit, CWT"), h("th", { scope: "col", class: "share" }, "share of all"))),
        h("tbody", null, rows.map((member) => {
          const total = share.get(member);
          return h("tr", { key: member }, h("th", { scope: "row" }, account(member)),
            rounds.map((round) => h("td", { key: round, class: "cell" }, heatCell(at.get(`${member}.${round}`), most))),
            h("td", { class: "n" }, cwt(total?.credit ?? 0)),
            h("td", { class: "share" }, h("div", null, h("span", { class: "share-text" }, percent(total?.share_ppm ?? 0)), bar([{ share: (total?.share_ppm ?? 0) / largest, tone: "accent", label: "share" }], { label: percent(total?.share_ppm ?? 0) }))));
        })),
      ),
    ),
    h("ul", { class: "legend" },
      h("li", null, h("i", { class: "key heat-key" }), "accepted, by credit"), h("li", null, h("i", { class: "key rejected" }), "rejected or unscored"),
      h("li", null, h("i", { class: "key harmful" }), "harmful or malformed"), h("li", null, h("i", { class: "key pending" }), "not settled"), h("li", null, h("i", { class: "key none" }), "no update")),
    all.length > rounds.length && h("p", { class: "muted" }, `The newest ${rounds.length} of ${all.length} rounds.`),
  ];
}

function heatCell(cell, most) {
  if (!cell) return h("span", { class: "heat-cell none" }, h("span", { class: "sr-only" }, "no update"));
  const kind = { ACCEPTED: "accepted", HARMFUL: "harmful", MALFORMED: "harmful", PENDING: "pending" }[cell.status] ?? "rejected";
  const strength = kind === "accepted" ? 25 + 75 * Math.sqrt(cwtFloat(cell.credit) / most) : 0;
  const text = `round ${cell.round}: ${words(cell.status)}${cell.gain === null ? "" : `, ${signed(cell.gain)} ppm`}${cell.credit === "0" || cell.credit === null ? "" : `, ${cwt(cell.credit)} CWT credit`}`;
  return h("span", { class: `heat-cell ${kind}`, css: { "--strength": `${strength.toFixed(0)}%` }, title: sentence(text) }, h("span", { class: "sr-only" }, text));
}

/** The rewards that were claimed, by member and role, from the newest on. */
function earned({ rewards: entries, members: all }) {
  const sums = new Map();
  for (const entry of entries) {
    if (entry.index === null) continue; // the treasury's share
    const sum = sums.get(entry.member) ?? { trainer: 0n, verifier: 0n, attester: 0n };
    for (const role of Object.keys(sum)) sum[role] += BigInt(entry[role]);
    sums.set(entry.member, sum);
  }
  if (sums.size === 0) return empty("No reward was claimed yet.", "Rewards can be claimed once a round is finalised.");
  const total = ({ trainer, verifier, attester }) => trainer + verifier + attester;
  const rows = [...sums].sort(([, a], [, b]) => (total(b) > total(a) ? 1 : -1));
  const most = total(rows[0][1]);
  return [
    h("ul", { class: "bars" }, rows.map(([member, sum]) => h("li", { key: member },
      account(member),
      bar(["trainer", "verifier", "attester"].map((role) => ({ share: fraction(sum[role], most), tone: role, label: role })),
        { label: `${cwt(sum.trainer)} as trainer, ${cwt(sum.verifier)} as verifier, ${cwt(sum.attester)} as attester` }),
      h("span", { class: "n" }, cwt(total(sum), 0))))),
    h("ul", { class: "legend" }, ["trainer", "verifier", "attester"].map((role) => h("li", { key: role }, h("i", { class: `key ${role}` }), role)), h("li", null, "in CWT")),
    entries.length >= 200 && h("p", { class: "muted" }, "From the newest 200 claims; the table of members has everything earned."),
    all.length > rows.length && h("p", { class: "muted" }, `${all.length - rows.length} of ${all.length} accounts earned nothing yet.`),
  ];
}

function penalties(entries) {
  if (entries.length === 0) return empty("Nobody was penalised.", "Faults and what they cost are in the protocol; every penalty would stand here with its reason.");
  return table("Penalties", [
    { label: "member", head: true, cell: (entry) => account(entry.member) },
    { label: "fault", cell: (entry) => sentence(entry.fault) },
    { label: "round", numeric: true, cell: (entry) => h("a", { href: link("rounds", entry.round) }, entry.round) },
    { label: "lost, CWT", numeric: true, cell: (entry) => h("span", { class: "bad" }, cwt(entry.amount)) },
    { label: "", cell: (entry) => why("slash", entry.number, `penalty ${entry.number}`) },
    { label: "when", cell: (entry) => when(entry.at) },
  ], [...entries].reverse(), { key: (entry) => entry.number, limit: 50 });
}

function rewards(entries) {
  if (entries.length === 0) return empty("No reward was claimed yet.");
  return table("Rewards", [
    { label: "round", numeric: true, cell: (entry) => h("a", { href: link("rounds", entry.round) }, entry.round) },
    { label: "paid to", head: true, cell: (entry) => account(entry.member) },
    { label: "trainer", numeric: true, cell: (entry) => amount(entry.trainer) },
    { label: "verifier", numeric: true, cell: (entry) => amount(entry.verifier) },
    { label: "attester", numeric: true, cell: (entry) => amount(entry.attester) },
    { label: "total, CWT", numeric: true, cell: (entry) => h("b", null, cwt(entry.total)) },
    { label: "", cell: (entry) => (entry.index === null ? null : why("reward", `${entry.round}.${entry.index}`, `reward ${entry.index} of round ${entry.round}`)) },
    { label: "when", cell: (entry) => when(entry.at) },
    { label: "transaction", cell: (entry) => hash(entry.transaction, "Transaction") },
  ], entries, { key: (entry) => `${entry.round}.${entry.index}`, limit: 20 });
}
