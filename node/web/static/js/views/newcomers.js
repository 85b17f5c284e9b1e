// Newcomers: applications with what their sample update gains, and the committee's reviews.
import { actButton } from "../components/act.js";
import { account, badge, card, countdown, empty, facts, hash, when } from "../components/basic.js";
import { table } from "../components/table.js";
import { h } from "../dom.js";
import { integer, signed } from "../format.js";

export function newcomers({ applications, seats }, me) {
  const open = applications.filter((entry) => ["open", "probation"].includes(entry.state));
  const closed = applications.filter((entry) => !["open", "probation"].includes(entry.state));
  return card(
    "Newcomers",
    {
      key: "newcomers",
      aside: h(
        "small",
        { class: "muted" },
        `${seats.filter((seat) => !seat.is_vacant).length} of ${seats.length} committee seats are held`,
      ),
    },
    open.length === 0
      ? empty("No application waits.", "Who wants to join builds and signs a request with: commonweight join apply.")
      : h(
          "div",
          { class: "cards" },
          open.map((entry) => application(entry, seats, me)),
        ),
    closed.length > 0 &&
      h(
        "details",
        { class: "numbers" },
        h("summary", null, `${closed.length} decided`),
        table(
          "Decided applications",
          [
            { label: "no.", numeric: true, cell: (entry) => entry.number },
            { label: "applicant", head: true, cell: (entry) => account(entry.applicant) },
            { label: "outcome", cell: (entry) => badge(entry.state) },
            { label: "approvals", numeric: true, cell: (entry) => entry.approvals },
            { label: "refusals", numeric: true, cell: (entry) => entry.refusals },
            { label: "applied", cell: (entry) => when(entry.applied_at) },
          ],
          closed,
          { key: (entry) => entry.number },
        ),
      ),
  );
}

function application(entry, seats, me) {
  const { request } = entry;
  return h(
    "article",
    { class: "item", key: entry.number, "aria-label": `Application ${entry.number}` },
    h(
      "header",
      { class: "item-head" },
      h("h3", null, `Application ${entry.number}`),
      badge(entry.state, entry.state === "open" ? "to review" : "on probation"),
      account(entry.applicant),
    ),
    facts([
      ["applied", when(entry.applied_at)],
      entry.state === "probation" && ["can be admitted", [countdown(entry.admit_at, "now")]],
      request?.repositories.length > 0 && ["repositories", request.repositories.join(", ")],
      typeof request?.rows === "number" && ["rows", integer(request.rows)],
      typeof request?.sample_gain === "number" && [
        "sample gain",
        h("b", { class: request.sample_gain > 0 ? "good" : "bad" }, `${signed(request.sample_gain)} ppm`),
      ],
      request?.hardware && ["hardware", request.hardware],
      request?.test_set && ["offered test set", testSet(request.test_set)],
      !request && ["request", "its file is not at hand here"],
      ["signed request", [hash(entry.request_cid, "CID"), " ", hash(entry.request_hash, "Hash")]],
    ]),
    h(
      "div",
      { class: "tally" },
      h("span", null, h("b", null, `${entry.approvals} / ${entry.threshold}`), " approvals"),
      h("span", null, h("b", null, entry.refusals), " refusals"),
      entry.state === "probation" && h("span", null, h("b", null, `${entry.vetoes} / ${entry.veto_threshold}`), " vetoes"),
    ),
    entry.reviews.length > 0 &&
      h(
        "ul",
        { class: "plain-list" },
        entry.reviews.map((review) =>
          h(
            "li",
            { key: review.reviewer },
            account(review.reviewer),
            badge("", review.approve ? "approved" : "refused", review.approve ? "good" : "bad"),
            when(review.at),
            hash(review.transaction, "Transaction"),
          ),
        ),
      ),
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
  const review = (approve) =>
    actButton(
      approve ? "Approve" : "Reject",
      {
        name: "review",
        body: { application: entry.number, approve },
        about,
        verb: approve ? "Approve" : "Reject",
        danger: !approve,
        title: `${approve ? "Approve" : "Reject"} application ${entry.number}`,
        summary: approve
          ? `Your committee seat approves. With ${entry.threshold} approvals the applicant goes on probation, or is admitted where there is no veto window.`
          : "Your committee seat refuses. A review is given once and stays on chain.",
        fields: [{ name: "reason", kind: "text", label: "Reason; its hash is recorded on chain" }],
        instead: `commonweight join review ${entry.number} ${approve ? "--approve" : "--reject"}`,
      },
      { kind: approve ? "primary" : "" },
    );
  const forSeats = entry.actions.some((action) => action !== "admit");
  return [
    forSeats && !maySeat && h("p", { class: "muted" }, "Committee seats decide here; yours is none of them."),
    entry.actions.includes("review") &&
      given &&
      h("p", { class: "given" }, "You ", badge("", given.approve ? "approved" : "refused", given.approve ? "good" : "bad")),
    entry.actions.includes("review") && maySeat && !given && [review(true), review(false)],
    entry.actions.includes("veto") &&
      maySeat &&
      actButton("Veto", {
        name: "veto",
        body: { application: entry.number },
        about,
        verb: "Veto",
        danger: true,
        title: `Veto application ${entry.number}`,
        summary: `Your committee seat objects. With ${entry.veto_threshold} vetoes the applicant is not admitted.`,
        fields: [{ name: "reason", kind: "text", label: "Reason; its hash is recorded on chain" }],
        instead: `commonweight join veto ${entry.number}`,
      }),
    entry.actions.includes("admit") &&
      actButton(
        "Admit",
        {
          name: "admit",
          body: { application: entry.number },
          about,
          verb: "Admit",
          title: `Admit application ${entry.number}`,
          summary: "The veto window is over: anybody may admit. The newcomer receives the grant as unvested stake.",
          instead: `commonweight join admit ${entry.number}`,
        },
        { kind: "primary" },
      ),
  ];
}
