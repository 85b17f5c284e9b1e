// The parts of one round: phases, who did what, verdicts, rewards; for the live round and for any other.
import { actButton } from "../components/act.js";
import { account, badge, card, countdown, drain, empty, facts, hash, when } from "../components/basic.js";
import { why } from "../components/explain.js";
import { icon } from "../components/icon.js";
import { table } from "../components/table.js";
import { h } from "../dom.js";
import { amount, cwt, integer, phaseName, phasePurpose, signed, span, words } from "../format.js";
import { link } from "../router.js";

const PATH = ["COMMIT", "REVEAL", "SEED", "SCORE_COMMIT", "SCORE_REVEAL", "SETTLE", "ATTEST", "CHALLENGE", "FINALIZED"];
const RETRY = ["RETRY_COMMIT", "RETRY_REVEAL", "RETRY_SETTLE"];
const ENDED = new Set(["FINALIZED", "VOIDED"]);
const ACTS = [
  ["commit", "Commit"],
  ["reveal", "Reveal"],
  ["scores_commit", "Scores sealed"],
  ["scores_reveal", "Scores opened"],
  ["retry_commit", "Retry sealed"],
  ["retry_reveal", "Retry opened"],
  ["attest", "Attest"],
];
const SAID = { none: "not asked", waiting: "waits for its phase", due: "due now", done: "done", missed: "missed" };

const isOver = (round) => ENDED.has(round.phase);

/** The round at a glance; `isHome` links to its page. */
export function liveRound(round, { isHome = false } = {}) {
  return card(
    isHome ? `Round ${round.number}` : "Progress",
    {
      key: "round",
      kind: "round",
      aside: [
        badge(round.phase, phaseName(round.phase), isOver(round) ? null : "accent"),
        sealed(round),
        isHome && h("a", { href: link("rounds", round.number) }, "Details"),
      ],
    },
    stepper(round),
    clock(round),
    counts(round),
    grid(round),
  );
}

export function sealed(round) {
  if (round.is_sealed === null || round.is_sealed === undefined) return null;
  return badge("", round.is_sealed ? "sealed slice" : "unsealed", round.is_sealed ? "plain" : "warn");
}

function stepper(round) {
  const seen = new Map(round.timeline.map((entry) => [entry.phase, entry]));
  const retries = RETRY.filter((phase) => seen.has(phase));
  const path = [...PATH.slice(0, 6), ...retries, ...PATH.slice(6)];
  if (round.phase === "VOIDED") path.splice(0, path.length, ...path.filter((phase) => seen.has(phase)), "VOIDED");
  const here = path.indexOf(round.phase);
  return h(
    "ol",
    { class: "stepper", "aria-label": "Phases" },
    path.map((phase, i) => {
      const state = i < here || (i === here && isOver(round)) ? "past" : i === here ? "here" : "ahead";
      return h(
        "li",
        { key: phase, class: `${state} ${phase === "VOIDED" ? "void" : ""}`.trim(), "aria-current": i === here ? "step" : null },
        h("span", null, phaseName(phase)),
      );
    }),
  );
}

function clock(round) {
  if (isOver(round)) {
    const ended = round.timeline.at(-1);
    return h(
      "div",
      { class: "clock" },
      h("p", null, round.phase === "VOIDED" ? `Voided: ${words(round.void_reason)}.` : phasePurpose(round.phase)),
      ended && h("p", { class: "muted" }, "ended ", when(ended.at), ` after ${span(ended.at - round.opened_at)}`),
    );
  }
  return h(
    "div",
    { class: "clock" },
    h("p", null, phasePurpose(round.phase)),
    round.deadline
      ? [
          h("p", { class: "left" }, countdown(round.deadline, "time is up: anybody may advance", "", " left")),
          drain(round.phase_since, round.deadline),
        ]
      : h("p", { class: "muted" }, "since ", when(round.phase_since)),
  );
}

function counts(round) {
  const { counts: n } = round;
  const part = (label, done, of) =>
    h(
      "div",
      { key: label, class: of && done >= of ? "full" : null },
      h("dt", null, label),
      h("dd", null, of ? `${done} / ${of}` : integer(done)),
    );
  return h(
    "dl",
    { class: "counts" },
    part("committed", n.committed, round.expected),
    part("revealed", n.revealed, n.committed),
    part("scores sealed", n.scores_committed, n.revealed),
    part("scores opened", n.scores_revealed, n.scores_committed),
    part("settled", n.settled, n.revealed),
    part("accepted", n.accepted, null),
    part("attested", n.attested, n.attesters),
    part("quorum", Math.min(n.attested, n.quorum), n.quorum),
  );
}

const GLYPH = { done: "check", missed: "cross" };

/** Members by acts. */
function grid(round) {
  if (round.participants.length === 0) return empty("Nobody committed yet.", "Members appear here as they act.");
  const hasRetry = round.participants.some((entry) => entry.acts.retry_commit !== "none" || entry.acts.retry_reveal !== "none");
  const acts = ACTS.filter(([act]) => hasRetry || !act.startsWith("retry"));
  const verdicts = new Map(round.updates.map((update) => [update.index, update]));
  const order = [...round.participants].sort(
    (a, b) => (a.position ?? 1e9) - (b.position ?? 1e9) || (a.index ?? 1e9) - (b.index ?? 1e9),
  );
  return h(
    "div",
    { class: "scroll", role: "region", "aria-label": "Who did what in this round", tabindex: "0" },
    h(
      "table",
      { class: "grid" },
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          h("th", { scope: "col" }, "member"),
          acts.map(([act, label]) => h("th", { key: act, scope: "col", class: "act" }, label)),
          h("th", { scope: "col" }, "verdict"),
        ),
      ),
      h(
        "tbody",
        null,
        order.map((entry) =>
          h(
            "tr",
            { key: entry.member },
            h("th", { scope: "row" }, account(entry.member)),
            acts.map(([act, label]) => {
              const state = entry.acts[act];
              return h(
                "td",
                { key: act, class: "act" },
                h(
                  "span",
                  { class: `dot ${state}`, title: `${label}: ${SAID[state]}` },
                  GLYPH[state] ? icon(GLYPH[state]) : h("i", { "aria-hidden": "true" }),
                  h("span", { class: "sr-only" }, SAID[state]),
                ),
              );
            }),
            h("td", null, verdictCell(verdicts.get(entry.index))),
          ),
        ),
      ),
    ),
  );
}

function verdictCell(update) {
  if (!update || update.status === "PENDING") return h("span", { class: "muted" }, "–");
  return badge(update.status);
}

/** The detail page of a round. */
export function roundDetail(round, allDisputes) {
  const disputes = allDisputes.filter((dispute) => dispute.round === round.number);
  return [
    liveRound(round),
    h(
      "div",
      { class: "columns", key: "facts" },
      card(
        "Facts",
        {},
        facts([
          ["opened", [when(round.opened_at), " by ", account(round.opener), ` in block ${round.opened_block}`]],
          ["guideline", [`epoch ${round.epoch} `, hash(round.guideline_hash, "Guideline hash")]],
          ["parent model", round.parent ? [hash(round.parent.hash, "Model hash"), " ", hash(round.parent.cid, "CID")] : "–"],
          ["model", round.model ? [hash(round.model.hash, "Model hash"), " ", hash(round.model.cid, "CID")] : "none yet"],
          ["emission", `${cwt(round.emission)} CWT`],
          ["sum of weights", integer(round.sum_weight)],
          round.slashes.length > 0 && ["penalties", round.slashes.map((n) => [why("slash", n, `penalty ${n}`), ` no. ${n} `])],
        ]),
      ),
      card("Phases", {}, timeline(round)),
    ),
    card(
      "Verdicts",
      { key: "verdicts", note: "Each update is scored by its verifiers; the lower median of what they agree on is its gain." },
      updates(round),
    ),
    disputes.length > 0 &&
      card(
        "Disputes",
        {
          key: "disputes",
          note: "A bonded appeal before a jury drawn from the round; what it overturns voids the round or corrects a verdict.",
        },
        disputeTable(disputes),
      ),
    card("Rewards", { key: "rewards" }, rewards(round)),
  ];
}

function timeline(round) {
  const rows = round.timeline.map((entry, i) => ({ ...entry, until: round.timeline[i + 1]?.at ?? null }));
  return table(
    "Phases",
    [
      { label: "phase", head: true, cell: (row) => phaseName(row.phase) },
      { label: "began", cell: (row) => when(row.at) },
      { label: "took", numeric: true, cell: (row) => (row.until === null ? "–" : span(row.until - row.at)) },
      { label: "block", numeric: true, cell: (row) => row.block },
      { label: "transaction", cell: (row) => hash(row.transaction, "Transaction") },
    ],
    rows,
    { key: (row) => row.phase },
  );
}

function updates(round) {
  if (round.updates.length === 0)
    return empty("No update was revealed.", "Updates are listed once their bytes are published, in the reveal phase.");
  return [
    table(
      "Verdicts",
      [
        { label: "no.", numeric: true, cell: (update) => update.index },
        { label: "trainer", head: true, cell: (update) => account(update.trainer) },
        {
          label: "verdict",
          cell: (update) => [
            badge(update.status),
            update.is_retried && badge("", "retried", "plain"),
            update.is_forfeited && badge("", "forfeited", "bad"),
          ],
        },
        { label: "gain, ppm", numeric: true, cell: (update) => signed(update.gain) },
        {
          label: "agree",
          numeric: true,
          cell: (update) => (update.votes === null ? "–" : `${update.votes} / ${update.fields.length}`),
        },
        { label: "weight", numeric: true, cell: (update) => integer(update.weight) },
        { label: "samples", numeric: true, cell: (update) => integer(update.samples) },
        { label: "file", cell: (update) => hash(update.cid, "CID") },
        { label: "", cell: (update) => why("score", `${round.number}.${update.index}`, `verdict on update ${update.index}`) },
      ],
      round.updates,
      { key: (update) => update.index },
    ),
    h("details", { class: "numbers" }, h("summary", null, "What each verifier wrote"), fields(round)),
  ];
}

/** One row an update, one column a verifier after it on the ring. */
function fields(round) {
  const most = round.updates.reduce((top, update) => Math.max(top, update.fields.length), 0);
  const columns = Array.from({ length: most }, (_, j) => ({
    label: `verifier ${j + 1}`,
    cell: (update) => written(update.fields[j]),
  }));
  return table(
    "Fields of the score words",
    [{ label: "update", head: true, cell: (update) => update.index }, ...columns],
    round.updates,
    { key: (update) => update.index },
  );
}

function written(field) {
  if (!field) return null;
  const said = field.field === "gain" ? signed(field.gain) : field.field;
  const mark = field.agrees === null ? null : field.agrees ? "agrees" : "differs";
  return h(
    "div",
    { class: "written" },
    account(field.verifier),
    h(
      "span",
      { class: field.agrees === null ? "muted" : field.agrees ? "good" : "bad" },
      said,
      mark && h("span", { class: "sr-only" }, `, ${mark}`),
    ),
  );
}

function disputeTable(disputes) {
  return table(
    "Disputes",
    [
      { label: "no.", numeric: true, cell: (dispute) => dispute.number },
      {
        label: "about",
        head: true,
        cell: (dispute) => (dispute.kind === "SCORE" ? `verdict on update ${dispute.index}` : "the model"),
      },
      { label: "by", cell: (dispute) => account(dispute.disputer) },
      {
        label: "outcome",
        cell: (dispute) =>
          dispute.outcome === "NONE" ? ["open, ", countdown(dispute.until, "time is up")] : badge(dispute.outcome),
      },
      {
        label: "jury says",
        cell: (dispute) => (dispute.status ? [badge(dispute.status), dispute.gain ? ` ${signed(dispute.gain)} ppm` : null] : "–"),
      },
      { label: "ballots", numeric: true, cell: (dispute) => `${dispute.revealed} / ${dispute.jurors}` },
      { label: "opened", cell: (dispute) => when(dispute.opened_at) },
    ],
    disputes,
    { key: (dispute) => dispute.number },
  );
}

function rewards(round) {
  if (round.rewards.length === 0) {
    return empty(round.phase === "VOIDED" ? "A voided round pays nothing." : "Rewards are known once the round is finalised.");
  }
  return table(
    "Rewards of this round",
    [
      { label: "member", head: true, cell: (row) => account(row.member) },
      { label: "trainer", numeric: true, cell: (row) => amount(row.trainer) },
      { label: "verifier", numeric: true, cell: (row) => amount(row.verifier) },
      { label: "attester", numeric: true, cell: (row) => amount(row.attester) },
      {
        label: "CWT",
        numeric: true,
        cell: (row) => h("b", null, cwt(BigInt(row.trainer) + BigInt(row.verifier) + BigInt(row.attester))),
      },
      {
        label: "",
        cell: (row) => [why("reward", `${round.number}.${row.index}`, `reward of member ${row.index}`), " ", claim(round, row)],
      },
    ],
    round.rewards,
    { key: (row) => row.index },
  );
}

function claim(round, row) {
  if (row.claimed) return badge("", "claimed", "plain");
  return actButton(
    "Claim",
    {
      name: "claim",
      body: { round: round.number, index: row.index },
      title: "Claim a reward",
      verb: "Claim",
      about: `reward ${row.index} of round ${round.number}`,
      summary: "Anybody may send this; the contract always pays the owner of the reward.",
      instead: `commonweight claim ${round.number} ${row.index}`,
    },
    { kind: "small" },
  );
}
