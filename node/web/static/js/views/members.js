// Members and newcomers: applications to review, standing and stake, contributions by member and round, rewards and penalties.
import { account, badge, bar, card, empty, hash, when } from "../components/basic.js";
import { why } from "../components/explain.js";
import { memo } from "../components/memo.js";
import { table } from "../components/table.js";
import { h } from "../dom.js";
import { amount, cwt, cwtFloat, fraction, percent, sentence, signed, words } from "../format.js";
import { link } from "../router.js";
import { signer } from "../wallet.js";
import { newcomers } from "./newcomers.js";

const SHOWN_ROUNDS = 40;

export function members(state) {
  const { snapshot } = state;
  return [
    h("h1", { key: "title" }, "Members"),
    newcomers(snapshot, signer(state).account),
    memo("standing", [snapshot.members], () => {
      const active = snapshot.members.filter((entry) => entry.status === "ACTIVE").length;
      return card(
        "Members",
        { key: "members", aside: h("small", { class: "muted" }, `${active} active`) },
        standing(snapshot.members),
      );
    }),
    memo("contributions", [snapshot.contributions], () =>
      card(
        "Contributions",
        { key: "contributions", note: "One cell is one update: the darker, the more credit it brought." },
        contributions(snapshot.contributions),
      ),
    ),
    h(
      "div",
      { class: "columns", key: "money" },
      memo("earned", [snapshot.rewards, snapshot.members], () => card("Earned by role", {}, earned(snapshot))),
      memo("penalties", [snapshot.slashes], () => card("Penalties", {}, penalties(snapshot.slashes))),
    ),
    memo("rewards", [snapshot.rewards], () => card("Rewards", { key: "rewards" }, rewards(snapshot.rewards))),
  ];
}

function standing(entries) {
  if (entries.length === 0) return empty("Nobody applied yet.", "The founding members join with: commonweight join apply.");
  return table(
    "Members",
    [
      { label: "member", head: true, cell: (entry) => account(entry.address) },
      {
        label: "standing",
        cell: (entry) => [badge(entry.status), entry.seat !== null && badge("", `seat ${entry.seat}`, "accent")],
      },
      { label: "stake, CWT", numeric: true, cell: (entry) => amount(entry.stake) },
      { label: "unvested", numeric: true, cell: (entry) => amount(entry.unvested) },
      { label: "balance", numeric: true, cell: (entry) => amount(entry.balance) },
      { label: "earned", numeric: true, cell: (entry) => amount(entry.earned) },
      {
        label: "slashed",
        numeric: true,
        cell: (entry) => h("span", { class: entry.slashed === "0" ? null : "bad" }, amount(entry.slashed)),
      },
      { label: "credit", numeric: true, cell: (entry) => amount(entry.credit) },
      { label: "", cell: (entry) => entry.credit !== "0" && why("credit", entry.address, "credit of this member") },
      { label: "accepted", numeric: true, cell: (entry) => `${entry.accepted} / ${entry.judged}` },
      { label: "votes", numeric: true, cell: (entry) => amount(entry.votes, 0) },
      { label: "member since", cell: (entry) => when(entry.active_since) },
    ],
    entries,
    { key: (entry) => entry.address },
  );
}

/** Members by rounds, as a table whose cells are tinted; and the share of all credit. */
function contributions({ members: rows, rounds: all, cells, totals }) {
  if (cells.length === 0) return empty("Nobody contributed yet.", "Cells appear once updates are revealed.");
  const rounds = all.slice(-SHOWN_ROUNDS);
  const at = new Map(cells.map((cell) => [`${cell.member}.${cell.round}`, cell]));
  const share = new Map(totals.map((total) => [total.member, total]));
  const most = cells.reduce((top, cell) => Math.max(top, cwtFloat(cell.credit)), 1);
  const largest = totals.reduce((top, total) => Math.max(top, total.share_ppm), 1);
  return [
    h(
      "div",
      { class: "scroll", role: "region", "aria-label": "Contributions by member and round", tabindex: "0" },
      h(
        "table",
        { class: "heat" },
        h(
          "thead",
          null,
          h(
            "tr",
            null,
            h("th", { scope: "col" }, "member"),
            rounds.map((round) =>
              h(
                "th",
                { key: round, scope: "col", class: "cell" },
                h("a", { href: link("rounds", round), "aria-label": `Round ${round}` }, round),
              ),
            ),
            h("th", { scope: "col", class: "n" }, "credit, CWT"),
            h("th", { scope: "col", class: "share" }, "share of all"),
          ),
        ),
        h(
          "tbody",
          null,
          rows.map((member) => {
            const total = share.get(member);
            return h(
              "tr",
              { key: member },
              h("th", { scope: "row" }, account(member)),
              rounds.map((round) => h("td", { key: round, class: "cell" }, heatCell(at.get(`${member}.${round}`), most))),
              h("td", { class: "n" }, cwt(total?.credit ?? 0)),
              h(
                "td",
                { class: "share" },
                h(
                  "div",
                  null,
                  h("span", { class: "share-text" }, percent(total?.share_ppm ?? 0)),
                  bar([{ share: (total?.share_ppm ?? 0) / largest, tone: "accent", label: "share" }], {
                    label: percent(total?.share_ppm ?? 0),
                  }),
                ),
              ),
            );
          }),
        ),
      ),
    ),
    h(
      "ul",
      { class: "legend" },
      h("li", null, h("i", { class: "key heat-key" }), "accepted, by credit"),
      h("li", null, h("i", { class: "key rejected" }), "rejected or unscored"),
      h("li", null, h("i", { class: "key harmful" }), "harmful or malformed"),
      h("li", null, h("i", { class: "key pending" }), "not settled"),
      h("li", null, h("i", { class: "key none" }), "no update"),
    ),
    all.length > rounds.length && h("p", { class: "muted" }, `The newest ${rounds.length} of ${all.length} rounds.`),
  ];
}

function heatCell(cell, most) {
  if (!cell) return h("span", { class: "heat-cell none" }, h("span", { class: "sr-only" }, "no update"));
  const kind = { ACCEPTED: "accepted", HARMFUL: "harmful", MALFORMED: "harmful", PENDING: "pending" }[cell.status] ?? "rejected";
  const strength = kind === "accepted" ? 25 + 75 * Math.sqrt(cwtFloat(cell.credit) / most) : 0;
  const text = `round ${cell.round}: ${words(cell.status)}${cell.gain === null ? "" : `, ${signed(cell.gain)} ppm`}${cell.credit === "0" || cell.credit === null ? "" : `, ${cwt(cell.credit)} CWT credit`}`;
  return h(
    "span",
    { class: `heat-cell ${kind}`, css: { "--strength": `${strength.toFixed(0)}%` }, title: sentence(text) },
    h("span", { class: "sr-only" }, text),
  );
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
    h(
      "ul",
      { class: "bars" },
      rows.map(([member, sum]) =>
        h(
          "li",
          { key: member },
          account(member),
          bar(
            ["trainer", "verifier", "attester"].map((role) => ({ share: fraction(sum[role], most), tone: role, label: role })),
            { label: `${cwt(sum.trainer)} as trainer, ${cwt(sum.verifier)} as verifier, ${cwt(sum.attester)} as attester` },
          ),
          h("span", { class: "n" }, cwt(total(sum), 0)),
        ),
      ),
    ),
    h(
      "ul",
      { class: "legend" },
      ["trainer", "verifier", "attester"].map((role) => h("li", { key: role }, h("i", { class: `key ${role}` }), role)),
      h("li", null, "in CWT"),
    ),
    entries.length >= 200 &&
      h("p", { class: "muted" }, "From the newest 200 claims; the table of members has everything earned."),
    all.length > rows.length &&
      h("p", { class: "muted" }, `${all.length - rows.length} of ${all.length} accounts earned nothing yet.`),
  ];
}

function penalties(entries) {
  if (entries.length === 0)
    return empty(
      "Nobody was penalised.",
      "Faults and what they cost are in the protocol; every penalty would stand here with its reason.",
    );
  return table(
    "Penalties",
    [
      { label: "member", head: true, cell: (entry) => account(entry.member) },
      { label: "fault", cell: (entry) => sentence(entry.fault) },
      { label: "round", numeric: true, cell: (entry) => h("a", { href: link("rounds", entry.round) }, entry.round) },
      { label: "lost, CWT", numeric: true, cell: (entry) => h("span", { class: "bad" }, cwt(entry.amount)) },
      { label: "", cell: (entry) => why("slash", entry.number, `penalty ${entry.number}`) },
      { label: "when", cell: (entry) => when(entry.at) },
    ],
    [...entries].reverse(),
    { key: (entry) => entry.number, limit: 50 },
  );
}

function rewards(entries) {
  if (entries.length === 0) return empty("No reward was claimed yet.");
  return table(
    "Rewards",
    [
      { label: "round", numeric: true, cell: (entry) => h("a", { href: link("rounds", entry.round) }, entry.round) },
      { label: "paid to", head: true, cell: (entry) => account(entry.member) },
      { label: "trainer", numeric: true, cell: (entry) => amount(entry.trainer) },
      { label: "verifier", numeric: true, cell: (entry) => amount(entry.verifier) },
      { label: "attester", numeric: true, cell: (entry) => amount(entry.attester) },
      { label: "total, CWT", numeric: true, cell: (entry) => h("b", null, cwt(entry.total)) },
      {
        label: "",
        cell: (entry) =>
          entry.index === null
            ? null
            : why("reward", `${entry.round}.${entry.index}`, `reward ${entry.index} of round ${entry.round}`),
      },
      { label: "when", cell: (entry) => when(entry.at) },
      { label: "transaction", cell: (entry) => hash(entry.transaction, "Transaction") },
    ],
    entries,
    { key: (entry) => `${entry.round}.${entry.index}`, limit: 20 },
  );
}
