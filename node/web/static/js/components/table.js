// Tables: columns say how a row becomes a cell. Wide ones scroll in their own box, reachable by keyboard; the page never scrolls sideways.
import { h } from "../dom.js";

/**
 * `columns`: [{label, cell(row), numeric, head}] (`head`: the cell is the row's header); `name`: what a screen reader calls the table;
 * `key(row)`: identity of a row; `isMarked(row)`: tinted.
 */
export function table(name, columns, rows, { key, isMarked = null, limit = null } = {}) {
  const shown = limit ? rows.slice(0, limit) : rows;
  return h(
    "div",
    { class: "scroll", role: "region", "aria-label": name, tabindex: "0" },
    h(
      "table",
      null,
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          columns.map((column, i) => h("th", { key: i, scope: "col", class: column.numeric ? "n" : null }, column.label)),
        ),
      ),
      h(
        "tbody",
        null,
        shown.map((row, i) =>
          h(
            "tr",
            { key: key ? key(row) : i, class: isMarked?.(row) ? "marked" : null },
            columns.map((column, j) =>
              h(
                column.head ? "th" : "td",
                { key: j, scope: column.head ? "row" : null, class: column.numeric ? "n" : null },
                column.cell(row),
              ),
            ),
          ),
        ),
      ),
    ),
    limit && rows.length > limit && h("p", { class: "muted more" }, `The newest ${limit} of ${rows.length}.`),
  );
}
