// Releases: lineage, and each one with its benchmarks against the parent, its owners and how to fetch it.
import { lineage } from "../charts/lineage.js";
import { benchmarkChart } from "../charts/metric.js";
import { account, badge, bar, card, command, empty, facts, hash, when } from "../components/basic.js";
import { why } from "../components/explain.js";
import { table } from "../components/table.js";
import { h } from "../dom.js";
import { cwt, percent } from "../format.js";
import { link } from "../router.js";
import { scoreTable } from "./scores.js";

const DRAFTS = new Set(["PENDING", "ACTIVE", "SUCCEEDED", "QUEUED"]);

export function releases({ snapshot, route }) {
  const { releases: all, proposals } = snapshot;
  const candidates = proposals.filter((entry) => entry.candidate && DRAFTS.has(entry.state));
  const selected = route.id === null ? null : Number(route.id);
  if (all.length === 0 && candidates.length === 0) {
    return [
      h("h1", { key: "title" }, "Releases"),
      card(
        "Releases",
        { key: "none" },
        empty("Nothing was released yet.", "A finalised round's model becomes a release by vote: commonweight release propose."),
      ),
    ];
  }
  const newest = [...all].reverse().sort((a, b) => (b.number === selected) - (a.number === selected));
  return [
    h("h1", { key: "title" }, "Releases"),
    card(
      "Lineage",
      { key: "lineage", note: "From left to right; dashed: proposed, still to be voted, queued or executed." },
      lineage(all, candidates, selected),
    ),
    snapshot.metric.releases.length > 1 &&
      card("Benchmarks by release", { key: "benchmarks" }, benchmarkChart(snapshot.metric.releases)),
    newest.map((release) => one(release, snapshot, release.number === selected)),
  ];
}

function one(release, snapshot, isSelected) {
  const parent = snapshot.releases.find((entry) => entry.number === release.parent);
  const proposal = snapshot.proposals.find((entry) => entry.id === release.proposal);
  return card(
    `Release ${release.version}`,
    {
      key: `release ${release.number}`,
      kind: isSelected ? "chosen" : "",
      aside: [
        release.is_yanked && badge("", "yanked", "bad"),
        badge("", `no. ${release.number}`, "plain"),
        why("release", release.number, `release ${release.version}`),
      ],
    },
    h(
      "div",
      { class: "release" },
      h(
        "div",
        null,
        h("h3", null, parent ? `Benchmarks against ${parent.version}` : "Benchmarks"),
        scoreTable(release.scores),
        h("h3", null, "Fetch and check it"),
        command(`commonweight release fetch ${release.number}`),
      ),
      h("div", null, h("h3", null, "Owners"), owners(release)),
    ),
    h(
      "div",
      { class: "two-facts" },
      facts([
        ["published", [when(release.published_at), ` in block ${release.block}`]],
        ["model of", h("a", { href: link("rounds", release.round) }, `round ${release.round}`)],
        [
          "parent",
          parent ? h("a", { href: link("releases", parent.number) }, `release ${parent.version}`) : "none: the first of its line",
        ],
        ["decided by", proposal ? h("a", { href: link("governance", proposal.number) }, `proposal ${proposal.number}`) : "–"],
      ]),
      facts([
        ["model", [hash(release.model_hash, "Model hash"), " ", hash(release.cid, "CID")]],
        ["notes", [hash(release.notes_hash, "Notes' hash"), " ", hash(release.notes_cid, "CID")]],
        ["transaction", hash(release.transaction, "Transaction")],
        ["credit behind it", `${cwt(release.credit_total)} CWT`],
      ]),
    ),
  );
}

function owners(release) {
  if (release.shares.length === 0) return empty("No credit stood behind it.");
  const largest = Math.max(...release.shares.map((share) => share.ppm));
  return [
    h(
      "ul",
      { class: "bars" },
      release.shares.map((share) =>
        h(
          "li",
          { key: share.member },
          account(share.member),
          bar([{ share: share.ppm / largest, tone: "accent", label: "share" }], {
            label: `${percent(share.ppm)}, ${cwt(share.credit)} CWT credit`,
          }),
          h("span", { class: "n" }, percent(share.ppm)),
        ),
      ),
    ),
    release.revenue.length > 0 &&
      table(
        "Revenue",
        [
          { label: "token", head: true, cell: (row) => account(row.token) },
          { label: "deposited", numeric: true, cell: (row) => cwt(row.deposited) },
          { label: "paid out", numeric: true, cell: (row) => cwt(row.paid) },
        ],
        release.revenue,
        { key: (row) => row.token },
      ),
  ];
}
