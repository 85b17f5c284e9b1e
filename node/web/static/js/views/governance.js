// Governance: proposals and their votes, voting power and its concentration, the guideline and the committee's seats.
import { curveChart, lorenzChart } from "../charts/power.js";
import { actButton } from "../components/act.js";
import { account, badge, bar, card, countdown, empty, facts, hash, tile, when } from "../components/basic.js";
import { why } from "../components/explain.js";
import { table } from "../components/table.js";
import { h } from "../dom.js";
import { cwt, fraction, integer, percent, words } from "../format.js";
import { signer } from "../wallet.js";
import { prose } from "./prose.js";
import { scoreTable } from "./scores.js";

const OPEN = new Set(["PENDING", "ACTIVE", "SUCCEEDED", "QUEUED"]);

export function governance(state) {
  const { snapshot, route } = state;
  const newest = [...snapshot.proposals].reverse();
  const chosen = route.id === null ? null : newest.find((entry) => String(entry.number) === route.id);
  const open = newest.filter((entry) => OPEN.has(entry.state) || entry === chosen);
  const over = newest.filter((entry) => !open.includes(entry));
  return [
    h("h1", { key: "title" }, "Governance"),
    ownPower(state),
    card("Open proposals", { key: "open" }, open.length === 0
      ? empty("Nothing is up for a vote.", "Members with voting power propose with: commonweight dao propose.")
      : open.map((entry) => proposal(entry, state, entry === chosen))),
    over.length > 0 && card("Decided", { key: "over" }, over.map((entry) => h("details", { key: entry.id, class: "decided" },
      h("summary", null, h("span", { class: "muted" }, `no. ${entry.number}`), h("span", { class: "grow" }, entry.title), badge(entry.state)), proposal(entry, state)))),
    h("h2", { class: "part", key: "power" }, "Voting power"),
    concentration(snapshot.power),
    h("div", { class: "columns", key: "rules" }, guideline(snapshot), h("div", { class: "stack" }, seats(snapshot), treasury(snapshot.treasury))),
  ];
}

function ownPower(state) {
  const { account: mine } = signer(state);
  const entry = mine && state.snapshot.members.find((member) => member.address.toLowerCase() === mine.toLowerCase());
  if (!entry) return null;
  return h("p", { class: "own", key: "own" }, account(entry.address), " can cast ", h("b", null, cwt(entry.votes, 0)), " votes from ", h("b", null, cwt(entry.locked, 0)), " locked CWT. ",
    why("power", entry.address, "your voting power"));
}

function proposal(entry, state, isChosen = false) {
  return h(
    "article",
    { class: `item proposal ${isChosen ? "chosen" : ""}`.trim(), key: entry.id, "aria-label": `Proposal ${entry.number}` },
    h("header", { class: "item-head" }, h("h3", null, entry.title || `Proposal ${entry.number}`), badge("", words(entry.kind), "plain"), badge(entry.state, words(entry.state), entry.state === "ACTIVE" ? "accent" : null)),
    h("p", { class: "byline" }, `no. ${entry.number}, by `, account(entry.proposer), " · ", timing(entry)),
    tally(entry),
    entry.candidate && [h("h4", null, `Release ${entry.candidate.version} from round ${entry.candidate.round}`), scoreTable(entry.candidate.scores)],
    h("h4", null, "What it does"),
    h("ol", { class: "calls" }, entry.calls.map((call, i) => h("li", { key: i }, decoded(call)))),
    h("div", { class: "folds" },
      h("details", { class: "numbers" }, h("summary", null, "Description"), prose(entry.description)),
      h("details", { class: "numbers" }, h("summary", null, `Votes (${entry.votes.length})`), votes(entry))),
    buttons(entry, state),
  );
}

function timing(entry) {
  switch (entry.state) {
    case "PENDING":
      return countdown(entry.vote_start, "voting begins with the next block", "voting begins in ");
    case "ACTIVE":
      return [countdown(entry.vote_end, "voting is over"), h("span", null, " left"), entry.is_extended && h("span", { class: "muted" }, ", extended by a late quorum")];
    case "SUCCEEDED":
      return [h("span", null, "won "), when(entry.vote_end), h("span", null, ", waits to be queued")];
    case "QUEUED":
      return countdown(entry.eta, "can be executed now", "can be executed in ");
    case "EXECUTED":
      return [h("span", null, "executed "), when(entry.executed_at)];
    default:
      return [h("span", null, "ended "), when(entry.vote_end)];
  }
}

/** For, against and abstained as shares of the votes cast; and how far for and abstained are on the way to the quorum. */
function tally(entry) {
  const cast = BigInt(entry.for) + BigInt(entry.against) + BigInt(entry.abstain);
  const counted = BigInt(entry.for) + BigInt(entry.abstain);
  const parts = ["for", "against", "abstain"].map((side) => ({ share: fraction(entry[side], cast), tone: side, label: side }));
  const reached = fraction(counted, entry.quorum);
  const part = fraction(counted, entry.total_units);
  const line = fraction(entry.quorum, entry.total_units);
  return h(
    "div",
    { class: "tallies" },
    h("div", null, h("div", { class: "tally" }, ["for", "against", "abstain"].map((side) =>
      h("span", { key: side, class: side }, h("i", { class: `key ${side}`, "aria-hidden": "true" }), `${side} `, h("b", null, cwt(entry[side], 0))))),
    bar(parts, { label: cast === 0n ? "nobody voted yet" : undefined })),
    h("div", null, h("div", { class: "tally" },
      h("span", null, "quorum ", h("b", { class: entry.has_quorum ? "good" : "" }, entry.has_quorum ? "reached" : `${(100 * reached).toFixed(0)} %`)),
      h("span", { class: "muted" }, `${cwt(counted, 0)} of ${cwt(entry.quorum, 0)} needed`)),
    bar([{ share: Math.min(1, part), tone: entry.has_quorum ? "good" : "accent", label: "for and abstained, of all votes" }], { mark: line, markLabel: `quorum at ${(100 * line).toFixed(0)} % of all votes` })),
  );
}

function decoded(call) {
  return [
    h("code", null, h("b", null, `${call.contract ?? "unknown contract"}.${call.function ?? "?"}`)),
    call.arguments.length > 0 && h("dl", { class: "arguments" }, call.arguments.map(({ name, value }) => h("div", { key: name }, h("dt", null, name), h("dd", { class: "mono" }, argument(value))))),
    h("span", { class: "muted" }, "at ", hash(call.target, "Address"), " with data ", hash(call.data, "Call data")),
  ];
}

function argument(value) {
  if (value === null || typeof value !== "object") return /^0x[0-9a-fA-F]{40}$/.test(String(value)) ? account(String(value)) : /^0x[0-9a-fA-F]{16,}$/.test(String(value)) ? hash(String(value), "Value") : String(value);
  if (Array.isArray(value)) return value.length === 0 ? "none" : h("ul", { class: "plain-list" }, value.map((part, i) => h("li", { key: i }, argument(part))));
  return h("dl", { class: "arguments" }, Object.entries(value).map(([name, part]) => h("div", { key: name }, h("dt", null, name), h("dd", null, argument(part)))));
}

function votes(entry) {
  if (entry.votes.length === 0) return empty("Nobody voted yet.");
  return table("Votes", [
    { label: "voter", head: true, cell: (vote) => account(vote.voter) },
    { label: "vote", cell: (vote) => badge(vote.support) },
    { label: "weight", numeric: true, cell: (vote) => cwt(vote.weight, 0) },
    { label: "", cell: (vote) => why("vote", `${entry.id}.${vote.voter}`, `weight of this vote on proposal ${entry.number}`) },
    { label: "reason", cell: (vote) => vote.reason || h("span", { class: "muted" }, "none given") },
    { label: "when", cell: (vote) => when(vote.at) },
    { label: "transaction", cell: (vote) => hash(vote.transaction, "Transaction") },
  ], entry.votes, { key: (vote) => vote.transaction + vote.voter });
}

function buttons(entry, state) {
  if (entry.actions.length === 0) return null;
  const { account: mine } = signer(state);
  const given = mine && entry.votes.find((vote) => vote.voter.toLowerCase() === mine.toLowerCase());
  const about = `proposal ${entry.number}, ${entry.title}`;
  const cast = (support, label, kind) => actButton(label, {
    name: "vote", body: { proposal: entry.id, support }, about, verb: `Vote ${support}`, title: `Vote ${support}: ${entry.title}`, danger: support === "against",
    summary: "A vote counts with the power that was yours when voting began, and cannot be changed.", reason: "Reason, recorded on chain for everybody to read (may be empty)",
    instead: `commonweight dao vote ${entry.number} ${support}`,
  }, { kind });
  const step = (name, label, summary) => entry.actions.includes(name) && actButton(label, {
    name, body: { proposal: entry.id }, about, verb: label, title: `${label}: ${entry.title}`, summary, instead: `commonweight dao ${name} ${entry.number}`,
  }, { kind: "primary" });
  return h("div", { class: "buttons" },
    entry.actions.includes("vote") && (given
      ? h("p", { class: "given" }, "You voted ", badge(given.support), ` with ${cwt(given.weight, 0)} votes.`)
      : [cast("for", "For", "primary"), cast("against", "Against", ""), cast("abstain", "Abstain", "")]),
    step("queue", "Queue", "The proposal won. Queuing starts the timelock's wait; anybody may do it."),
    step("execute", "Execute", "The timelock's wait is over. Executing carries the calls out; anybody may do it."));
}

function concentration(power) {
  if (power.delegates.length === 0) {
    return card("Concentration", { key: "concentration" }, empty("Nobody has voting power yet.", "Tokens become votes with: commonweight dao convert, then delegate."));
  }
  return [
    h("div", { class: "tiles", key: "power-tiles" },
      tile((power.gini_ppm / 1e6).toFixed(3), "Gini of votes", { detail: "0 equal, 1 all in one hand" }),
      tile(percent(power.largest_share_ppm), "largest share"),
      tile(cwt(power.total_units, 0), "voting units", { detail: `from ${cwt(power.locked, 0)} CWT locked` }),
      tile(cwt(power.cap, 0), "cap of one delegate"),
      tile(integer(power.holders), "holders")),
    h("div", { class: "columns", key: "power-charts" }, card("Who holds the votes", {}, lorenzChart(power.delegates)), card("What locking gives", { note: "Linear at first, then a square root: the more one holds, the less each further token adds." }, curveChart(power.curve))),
    card("Delegates", { key: "delegates" }, table("Delegates", [
      { label: "delegate", head: true, cell: (entry) => account(entry.member) },
      { label: "delegated", numeric: true, cell: (entry) => cwt(entry.delegated, 0) },
      { label: "votes", numeric: true, cell: (entry) => cwt(entry.votes, 0) },
      { label: "", cell: (entry) => entry.is_capped && badge("", "capped", "warn") },
      { label: "share", numeric: true, cell: (entry) => percent(entry.share_ppm) },
      { label: "", cell: (entry) => bar([{ share: entry.share_ppm / Math.max(1, power.largest_share_ppm), tone: "accent", label: "share" }], { label: percent(entry.share_ppm) }) },
      { label: "delegators", numeric: true, cell: (entry) => entry.delegators },
      { label: "", cell: (entry) => why("power", entry.member, "voting power of this delegate") },
    ], power.delegates, { key: (entry) => entry.member })),
  ];
}

function guideline({ guideline: found, network }) {
  const { scoring } = found;
  return card("Guideline", { note: "What is trained and how; changed by vote, pinned by every round." }, facts([
    ["epoch", found.epoch], ["since", when(found.since)], ["documents", [hash(found.cid, "CID"), " ", hash(found.hash, "Hash")]],
    ["least accepted gain", `${integer(scoring.delta_min)} ppm`], ["harmful from", `−${integer(scoring.harm_min)} ppm`],
    ["agreement within", `${integer(scoring.tau)} ppm`], ["gain counts up to", `${integer(scoring.gain_cap)} ppm`],
    ["a release may fall by", percent(network.params.max_regression, 2)],
  ]));
}

function seats({ seats: entries }) {
  return card("Committee", { note: "Seats review newcomers and take turns as stewards of the sealed slice." }, entries.length === 0 ? empty("No seat was given.") : table("Seats", [
    { label: "seat", numeric: true, cell: (seat) => seat.seat },
    { label: "holder", head: true, cell: (seat) => account(seat.holder) },
    { label: "", cell: (seat) => (seat.is_vacant ? badge("", "expired", "warn") : badge("", "held", "good")) },
    { label: "until", cell: (seat) => h("time", null, new Date(seat.expires_at * 1000).toISOString().slice(0, 10)) },
    { label: "", cell: (seat) => why("seat", seat.seat, `seat ${seat.seat}`) },
  ], entries, { key: (seat) => seat.seat }));
}


function treasury({ balance, earned, paid }) {
  return card("Treasury", { note: "Five per cent of every finalised round; spent by vote only." },
    facts([["balance", `${cwt(balance)} CWT`], ["received so far", `${cwt(earned)} CWT`]]),
    paid.length > 0 && table("Payments", [
      { label: "paid to", head: true, cell: (entry) => account(entry.to) },
      { label: "amount", numeric: true, cell: (entry) => cwt(entry.amount) },
      { label: "token", cell: (entry) => account(entry.token) },
      { label: "when", cell: (entry) => when(entry.at) },
      { label: "transaction", cell: (entry) => hash(entry.transaction, "Transaction") },
    ], [...paid].reverse(), { key: (entry) => entry.transaction }));
}
