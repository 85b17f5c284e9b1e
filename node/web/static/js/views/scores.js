// A release's benchmark table against its parent, for releases and for candidates in votes.
import { badge } from "../components/basic.js";
import { table } from "../components/table.js";
import { h } from "../dom.js";
import { score, scoreDelta } from "../format.js";

export function scoreTable(scores) {
  return table(
    "Benchmarks against the parent",
    [
      {
        label: "benchmark",
        head: true,
        cell: (row) => [row.benchmark, row.is_active === false && badge("", "retired", "plain")],
      },
      { label: "score", numeric: true, cell: (row) => h("b", null, score(row.ppm)) },
      { label: "parent", numeric: true, cell: (row) => score(row.parent_ppm) },
      {
        label: "change",
        numeric: true,
        cell: (row) => h("span", { class: row.delta > 0 ? "good" : row.delta < 0 ? "bad" : "muted" }, scoreDelta(row.delta)),
      },
      { label: "must reach", numeric: true, cell: (row) => (row.floor ? score(row.floor) : "–") },
      { label: "from floor", cell: (row) => (row.floor ? range(row) : null) },
    ],
    scores,
    { key: (row) => row.benchmark },
  );
}

/** Parent and score on one scale, beginning at the floor that a release must reach. */
function range(row) {
  const low = Math.min(row.floor, row.ppm, row.parent_ppm);
  const high = Math.max(row.ppm, row.parent_ppm);
  const place = (value) => `${(100 * (value - low)) / Math.max(1, high - low)}%`;
  return h(
    "div",
    { class: "range", role: "img", "aria-label": row.ppm >= row.floor ? "above what it must reach" : "below what it must reach" },
    h("i", {
      class: row.ppm >= row.parent_ppm ? "good" : "bad",
      css: { "--from": place(Math.min(row.ppm, row.parent_ppm)), "--to": place(Math.max(row.ppm, row.parent_ppm)) },
    }),
    h("em", { css: { "--at": place(row.parent_ppm) }, title: "parent" }),
    h("b", { css: { "--at": place(row.ppm) }, title: "score" }),
  );
}
