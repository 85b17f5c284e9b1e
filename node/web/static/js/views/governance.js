// Governance: proposals and their votes, voting power and its concentration, the guideline and the committee's seats.
import { actButton } from "../components/act.js";
import { account, badge, bar, card, countdown, empty, hash, when } from "../components/basic.js";
import { why } from "../components/explain.js";
import { table } from "../components/table.js";
import { h } from "../dom.js";
import { cwt, fraction, words } from "../format.js";
import { signer } from "../wallet.js";
import { concentration, ownPower } from "./power.js";
import { prose } from "./prose.js";
import { guideline, seats, treasury } from "./rules.js";
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
    card(
      "Open proposals",
      { key: "open" },
      open.length === 0
        ? empty("Nothing is up for a vote.", "Members with voting power propose with: commonweight dao propose.")
        : open.map((entry) => proposal(entry, state, entry === chosen)),
    ),
    over.length > 0 &&
      card(
        "Decided",
        { key: "over" },
        over.map((entry) =>
          h(
            "details",
            { key: entry.id, class: "decided" },
            h(
              "summary",
              null,
              h("span", { class: "muted" }, `no. ${entry.number}`),
              h("span", { class: "grow" }, entry.title),
              badge(entry.state),
            ),
            proposal(entry, state),
          ),
        ),
      ),
    h("h2", { class: "part", key: "power" }, "Voting power"),
    concentration(snapshot.power),
    h(
      "div",
      { class: "columns", key: "rules" },
      guideline(snapshot),
      h("div", { class: "stack" }, seats(snapshot), treasury(snapshot.treasury)),
    ),
  ];
}

function proposal(entry, state, isChosen = false) {
  return h(
    "article",
    { class: `item proposal ${isChosen ? "chosen" : ""}`.trim(), key: entry.id, "aria-label": `Proposal ${entry.number}` },
    h(
      "header",
      { class: "item-head" },
      h("h3", null, entry.title || `Proposal ${entry.number}`),
      badge("", words(entry.kind), "plain"),
      badge(entry.state, words(entry.state), entry.state === "ACTIVE" ? "accent" : null),
    ),
    h("p", { class: "byline" }, `no. ${entry.number}, by `, account(entry.proposer), " · ", timing(entry)),
    tally(entry),
    entry.candidate && [
      h("h4", null, `Release ${entry.candidate.version} from round ${entry.candidate.round}`),
      scoreTable(entry.candidate.scores),
    ],
    h("h4", null, "What it does"),
    h(
      "ol",
      { class: "calls" },
      entry.calls.map((call, i) => h("li", { key: i }, decoded(call))),
    ),
    h(
      "div",
      { class: "folds" },
      h("details", { class: "numbers" }, h("summary", null, "Description"), prose(entry.description)),
      h("details", { class: "numbers" }, h("summary", null, `Votes (${entry.votes.length})`), votes(entry)),
    ),
    buttons(entry, state),
  );
}

function timing(entry) {
  switch (entry.state) {
    case "PENDING":
      return countdown(entry.vote_start, "voting begins with the next block", "voting begins in ");
    case "ACTIVE":
      return [
        countdown(entry.vote_end, "voting is over", "", " left"),
        entry.is_extended && h("span", { class: "muted" }, ", extended by a late quorum"),
      ];
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
    h(
      "div",
      null,
      h(
        "div",
        { class: "tally" },
        ["for", "against", "abstain"].map((side) =>
          h(
            "span",
            { key: side, class: side },
            h("i", { class: `key ${side}`, "aria-hidden": "true" }),
            `${side} `,
            h("b", null, cwt(entry[side], 0)),
          ),
        ),
      ),
      bar(parts, { label: cast === 0n ? "nobody voted yet" : undefined }),
    ),
    h(
      "div",
      null,
      h(
        "div",
        { class: "tally" },
        h(
          "span",
          null,
          "quorum ",
          h("b", { class: entry.has_quorum ? "good" : "" }, entry.has_quorum ? "reached" : `${(100 * reached).toFixed(0)} %`),
        ),
        h("span", { class: "muted" }, `${cwt(counted, 0)} of ${cwt(entry.quorum, 0)} needed`),
      ),
      bar([{ share: Math.min(1, part), tone: entry.has_quorum ? "good" : "accent", label: "for and abstained, of all votes" }], {
        mark: line,
        markLabel: `quorum at ${(100 * line).toFixed(0)} % of all votes`,
      }),
    ),
  );
}

function decoded(call) {
  return [
    h("code", null, h("b", null, `${call.contract ?? "unknown contract"}.${call.function ?? "?"}`)),
    call.arguments.length > 0 &&
      h(
        "dl",
        { class: "arguments" },
        call.arguments.map(({ name, value }) =>
          h("div", { key: name }, h("dt", null, name), h("dd", { class: "mono" }, argument(value))),
        ),
      ),
    h("span", { class: "muted" }, "at ", hash(call.target, "Address"), " with data ", hash(call.data, "Call data")),
  ];
}

function argument(value) {
  if (value === null || typeof value !== "object")
    return /^0x[0-9a-fA-F]{40}$/.test(String(value))
      ? account(String(value))
      : /^0x[0-9a-fA-F]{16,}$/.test(String(value))
        ? hash(String(value), "Value")
        : String(value);
  if (Array.isArray(value))
    return value.length === 0
      ? "none"
      : h(
          "ul",
          { class: "plain-list" },
          value.map((part, i) => h("li", { key: i }, argument(part))),
        );
  return h(
    "dl",
    { class: "arguments" },
    Object.entries(value).map(([name, part]) => h("div", { key: name }, h("dt", null, name), h("dd", null, argument(part)))),
  );
}

function votes(entry) {
  if (entry.votes.length === 0) return empty("Nobody voted yet.");
  return table(
    "Votes",
    [
      { label: "voter", head: true, cell: (vote) => account(vote.voter) },
      { label: "vote", cell: (vote) => badge(vote.support) },
      { label: "weight", numeric: true, cell: (vote) => cwt(vote.weight, 0) },
      { label: "", cell: (vote) => why("vote", `${entry.id}.${vote.voter}`, `weight of this vote on proposal ${entry.number}`) },
      { label: "reason", cell: (vote) => vote.reason || h("span", { class: "muted" }, "none given") },
      { label: "when", cell: (vote) => when(vote.at) },
      { label: "transaction", cell: (vote) => hash(vote.transaction, "Transaction") },
    ],
    entry.votes,
    { key: (vote) => vote.transaction + vote.voter },
  );
}

function buttons(entry, state) {
  if (entry.actions.length === 0) return null;
  const { account: mine } = signer(state);
  const given = mine && entry.votes.find((vote) => vote.voter.toLowerCase() === mine.toLowerCase());
  const about = `proposal ${entry.number}, ${entry.title}`;
  const cast = (support, label, kind) =>
    actButton(
      label,
      {
        name: "vote",
        body: { proposal: entry.id, support },
        about,
        verb: `Vote ${support}`,
        title: `Vote ${support}: ${entry.title}`,
        danger: support === "against",
        summary: "A vote counts with the power that was yours when voting began, and cannot be changed.",
        fields: [{ name: "reason", kind: "text", label: "Reason, recorded on chain for everybody to read (may be empty)" }],
        instead: `commonweight dao vote ${entry.number} ${support}`,
      },
      { kind },
    );
  const step = (name, label, summary) =>
    entry.actions.includes(name) &&
    actButton(
      label,
      {
        name,
        body: { proposal: entry.id },
        about,
        verb: label,
        title: `${label}: ${entry.title}`,
        summary,
        instead: `commonweight dao ${name} ${entry.number}`,
      },
      { kind: "primary" },
    );
  return h(
    "div",
    { class: "buttons" },
    entry.actions.includes("vote") &&
      (given
        ? h("p", { class: "given" }, "You voted ", badge(given.support), ` with ${cwt(given.weight, 0)} votes.`)
        : [cast("for", "For", "primary"), cast("against", "Against", ""), cast("abstain", "Abstain", "")]),
    step("queue", "Queue", "The proposal won. Queuing starts the timelock's wait; anybody may do it."),
    step("execute", "Execute", "The timelock's wait is over. Executing carries the calls out; anybody may do it."),
  );
}
