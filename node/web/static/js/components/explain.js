// "why?": a sheet with how a number came about: formula, steps with their values, and the transactions it stands on.
import * as api from "../api.js";
import { h } from "../dom.js";
import { hash, problemBox, skeleton } from "./basic.js";
import * as dialog from "./dialog.js";
import { icon } from "./icon.js";
import { table } from "./table.js";

/** A button that explains `what` (reward, score, slash, vote, …) number `id`; `about` says to a screen reader of what. */
export function why(what, id, about) {
  return h(
    "button",
    { class: "why", type: "button", "aria-label": `Why: ${about}`, on: { click: () => show(what, id) } },
    "why?",
  );
}

function show(what, id) {
  const shown = { status: "loading", data: null, problem: null };
  const load = async () => {
    shown.status = "loading";
    try {
      shown.data = await api.explain(what, id);
      shown.status = "ready";
      dialog.open({ title: shown.data.title, kind: "sheet", body });
    } catch (problem) {
      shown.problem = problem;
      shown.status = "failed";
      dialog.redraw();
    }
  };
  const body = () => {
    if (shown.status === "loading") return h("div", null, h("p", { class: "sr-only", role: "status" }, "Loading"), skeleton(6));
    if (shown.status === "failed") return problemBox(shown.problem, load);
    return explanation(shown.data);
  };
  dialog.open({ title: "Why?", kind: "sheet", body });
  load();
}

function explanation(data) {
  return h(
    "div",
    { class: "explanation" },
    verdict(data),
    data.formula.length > 0 && [
      h("h3", null, "Formula"),
      h(
        "ul",
        { class: "formula mono" },
        data.formula.map((line, i) => h("li", { key: i }, line)),
      ),
    ],
    data.steps.length > 0 && [
      h("h3", null, "Step by step"),
      h(
        "ol",
        { class: "steps" },
        data.steps.map((step, i) =>
          h(
            "li",
            { key: i },
            h("span", { class: "step-label" }, step.label),
            h("span", { class: "step-value" }, step.value),
            h("code", null, step.expression),
          ),
        ),
      ),
    ],
    data.sources.length > 0 && [
      h("h3", null, "What it stands on"),
      table(
        "Sources",
        [
          { label: "event", head: true, cell: (source) => source.event },
          { label: "contract", cell: (source) => source.contract },
          { label: "block", numeric: true, cell: (source) => source.block },
          { label: "transaction", cell: (source) => hash(source.transaction, "Transaction") },
        ],
        data.sources,
      ),
    ],
    data.notes.map((note, i) => h("p", { key: i, class: "note" }, note)),
  );
}

function verdict({ computed, recorded, agrees }) {
  if (agrees === null || agrees === undefined) {
    return h(
      "p",
      { class: "result" },
      h("b", null, computed),
      h("span", { class: "muted" }, "computed here; the chain has recorded nothing yet"),
    );
  }
  return h(
    "p",
    { class: `result ${agrees ? "good" : "bad"}` },
    icon(agrees ? "check" : "cross"),
    h("b", null, computed),
    h(
      "span",
      null,
      agrees ? "computed here, and the chain recorded the same" : `computed here, but the chain recorded ${recorded}`,
    ),
  );
}
