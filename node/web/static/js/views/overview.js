// Overview: how the community stands, the live round, the metric, and what happened last.
import { account, card, empty, hash, tile, when } from "../components/basic.js";
import { memo } from "../components/memo.js";
import { metricChart } from "../charts/metric.js";
import { h } from "../dom.js";
import { integer, number, phaseName, signed } from "../format.js";
import { link } from "../router.js";
import { liveRound } from "./round_parts.js";

export function overview({ snapshot }) {
  return [
    h("h1", { key: "title" }, "Overview"),
    tiles(snapshot),
    h(
      "div",
      { class: "columns wide-left", key: "live" },
      snapshot.live
        ? liveRound(snapshot.live, { isHome: true })
        : card(
            "Live round",
            {},
            empty("No round was opened yet.", "A committee seat opens the first one: commonweight node, with the role steward."),
          ),
      memo("activity", [snapshot.activity], () => card("Activity", { kind: "activity" }, activity(snapshot.activity))),
    ),
    card("Metric", { key: "metric", aside: metricNote(snapshot.metric) }, metric(snapshot.metric)),
  ];
}

function tiles(snapshot) {
  const { members, applications, proposals, releases, audit } = snapshot;
  const waiting = applications.filter((entry) => entry.state === "open").length;
  const open = proposals.filter((entry) => entry.state === "ACTIVE").length;
  const latest = releases.filter((release) => !release.is_yanked).at(-1);
  const over = snapshot.rounds.filter((entry) => ["FINALIZED", "VOIDED"].includes(entry.phase));
  const final = over.filter((entry) => entry.phase === "FINALIZED").length;
  return h(
    "div",
    { class: "tiles", key: "tiles" },
    metricTile(snapshot.metric),
    tile(`${final} / ${over.length}`, "rounds finalised", {
      href: link("rounds"),
      detail: over.length > final ? `${over.length - final} voided` : "none voided",
    }),
    tile(integer(members.filter((entry) => entry.status === "ACTIVE").length), "active members", {
      href: link("members"),
      detail: waiting ? `${waiting} application${waiting === 1 ? "" : "s"} to review` : "no application waits",
    }),
    tile(integer(open), open === 1 ? "open vote" : "open votes", {
      href: link("governance"),
      detail: `${proposals.length} proposals so far`,
    }),
    tile(latest ? latest.version : "–", "newest release", {
      href: link("releases"),
      detail: latest ? `from round ${latest.round}` : "none yet",
    }),
    audit
      ? tile(audit.ok ? "Passed" : "Failed", "last audit", {
          href: link("audit"),
          tone: audit.ok ? "good" : "bad",
          detail: audit.is_current ? "covers every ended round" : "rounds ended since",
        })
      : tile("–", "last audit", { href: link("audit"), detail: "none on this machine" }),
  );
}

function metricTile(metric) {
  const values = metric.evaluations?.values ?? [];
  if (values.length > 0) {
    const [first, last] = [values[0], values.at(-1)];
    const change = last.value - first.value;
    return tile(number(last.value), `${metric.evaluations.name.toUpperCase()} after round ${last.round}`, {
      detail:
        values.length > 1
          ? `${change >= 0 ? "+" : "−"}${number(Math.abs(change))} since round ${first.round}`
          : "first measurement",
    });
  }
  const last = metric.rounds.at(-1);
  return tile(last ? signed(last.gain_median) : "–", "median gain, ppm", {
    detail: last ? `round ${last.round}` : "no finalised round",
  });
}

function metricNote(metric) {
  return h(
    "small",
    { class: "muted" },
    metric.evaluations?.values.length ? "measured on this machine" : "agreed by the verifiers",
  );
}

function metric(found) {
  if (!found.evaluations?.values.length && found.rounds.length === 0) {
    return empty("No round was finalised yet.", "After the first one this shows the metric by round.");
  }
  return metricChart(found);
}

function activity(entries) {
  if (entries.length === 0) return empty("Nothing happened yet.");
  return h(
    "ol",
    { class: "feed", tabindex: "0", "aria-label": "Activity, newest first" },
    entries.map((entry, i) =>
      h(
        "li",
        { key: `${entry.block}.${entry.transaction}.${entry.event}.${entry.actor}.${i}` },
        h(
          "div",
          { class: "feed-line" },
          entry.actor
            ? [account(entry.actor), " ", entry.text]
            : entry.text.replace(/\b[A-Z]+(_[A-Z]+)*$/, (phase) => phaseName(phase)),
        ),
        h("div", { class: "feed-meta" }, when(entry.at), ` · block ${entry.block} · `, hash(entry.transaction, "Transaction")),
      ),
    ),
  );
}
