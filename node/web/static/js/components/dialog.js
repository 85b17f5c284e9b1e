// One dialog at a time, in the browser's own <dialog>: focus stays inside, Escape closes, focus returns to what opened it.
import { h, render } from "../dom.js";
import { icon } from "./icon.js";

let current = null;

const node = () => document.getElementById("dialog");

/** Opens a dialog: `body()` gives its inside and is asked again on `redraw()`; `kind` is "modal" or "sheet" (at the side). */
export function open({ title, body, kind = "modal", mayClose = () => true }) {
  current = { title, body, mayClose };
  node().className = kind;
  redraw();
  if (!node().open) node().showModal();
  node().querySelector("[autofocus]")?.focus();
}

export function close() {
  if (node().open) node().close();
}

export function redraw() {
  if (!current) return;
  render(
    node(),
    h(
      "div",
      { class: "dialog-inside" },
      h(
        "header",
        { class: "dialog-head" },
        h("h2", { id: "dialog-title" }, current.title),
        h(
          "button",
          { class: "icon-button", type: "button", "aria-label": "Close", disabled: !current.mayClose(), on: { click: close } },
          icon("close"),
        ),
      ),
      h("div", { class: "dialog-body" }, current.body()),
    ),
  );
}

export function start() {
  node().addEventListener("cancel", (event) => {
    if (current && !current.mayClose()) event.preventDefault();
  });
  node().addEventListener("close", () => {
    current = null;
    document.body.append(document.getElementById("tip"));
    render(node(), []);
  });
  node().addEventListener("click", (event) => {
    if (event.target === node() && current?.mayClose()) close(); // the backdrop
  });
}
