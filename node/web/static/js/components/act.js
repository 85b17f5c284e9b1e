// Votes, reviews and everything else that changes the chain: confirm, sign (wallet or the node's keystore), and see the transaction.
import { h } from "../dom.js";
import { change, get } from "../state.js";
import { connect, perform, signer } from "../wallet.js";
import { account, command, hash, problemBox } from "./basic.js";
import * as dialog from "./dialog.js";
import { fieldOf, read } from "./fields.js";
import { icon } from "./icon.js";

/**
 * A button for an action. `name` and `body` are those of POST /api/actions; `title`, `summary` say to a person what will happen; `fields`
 * ask for the rest of the body; `instead` is the command that does the same.
 */
export function actButton(label, spec, { kind = "" } = {}) {
  return h(
    "button",
    {
      class: `button ${kind}`.trim(),
      type: "button",
      "aria-label": spec.about ? `${label}: ${spec.about}` : null,
      on: { click: () => confirm(spec) },
    },
    label,
  );
}

function confirm(spec) {
  const run = { status: "asking", step: "", values: {}, problem: null, transactions: [] };
  const send = async (event) => {
    event?.preventDefault();
    const given = read(spec.fields ?? [], run.values);
    if (given.problem) {
      run.problem = given.problem;
      dialog.redraw();
      return;
    }
    run.status = "running";
    run.problem = null;
    const body = { ...spec.body, ...given.values };
    try {
      run.transactions = await perform(spec.name, body, (step) => {
        run.step = step;
        dialog.redraw();
      });
      run.status = "done";
    } catch (problem) {
      run.problem = problem;
      run.status = "asking";
    }
    dialog.redraw();
  };
  dialog.open({ title: spec.title, body: () => inside(spec, run, send), mayClose: () => run.status !== "running" });
}

function inside(spec, run, send) {
  if (run.status === "done") return result(run);
  const who = signer();
  return h(
    "form",
    { key: "form", on: { submit: send } },
    h("p", null, spec.summary),
    spec.fields?.map((field) => fieldOf(field, run)),
    signs(who, spec),
    h(
      "div",
      { "aria-live": "polite" },
      run.status === "running" && h("p", { class: "running" }, h("i", { class: "spinner", "aria-hidden": "true" }), run.step),
      run.problem && problemBox(run.problem),
    ),
    h(
      "div",
      { class: "dialog-buttons" },
      h("button", { class: "button", type: "button", disabled: run.status === "running", on: { click: dialog.close } }, "Cancel"),
      h(
        "button",
        {
          class: `button primary ${spec.danger ? "danger" : ""}`.trim(),
          type: "submit",
          autofocus: !spec.fields,
          disabled: run.status === "running" || who.kind === "none",
        },
        run.problem ? "Try again" : spec.verb,
      ),
    ),
  );
}

function signs(who, spec) {
  if (who.kind === "server") {
    return h("p", { class: "signs" }, icon("wallet"), h("span", null, "This node's keystore signs, as "), account(who.account));
  }
  if (who.kind === "wallet") {
    return h(
      "p",
      { class: "signs" },
      icon("wallet"),
      who.account
        ? [h("span", null, "Your wallet signs, as "), account(who.account)]
        : h("span", null, "Your wallet will ask for an account and sign."),
    );
  }
  return h(
    "div",
    { class: "problem" },
    icon("warning"),
    h(
      "div",
      null,
      h("p", { class: "strong" }, "Nothing here can sign."),
      h("p", null, "This page holds no key, and no wallet was found in this browser."),
      h(
        "p",
        { class: "muted" },
        "Install an EIP-1193 wallet and reload; start the dashboard with --sign on a test network; or use the command line:",
      ),
      spec.instead && command(spec.instead),
    ),
  );
}

function result(run) {
  return h(
    "div",
    { key: "result", class: "done", role: "status" },
    h("p", { class: "result good" }, icon("check"), h("b", null, "Done.")),
    h(
      "ul",
      { class: "transactions" },
      run.transactions.map((transaction) =>
        h(
          "li",
          { key: transaction.hash },
          h("span", null, transaction.label),
          hash(transaction.hash, "Transaction"),
          h("span", { class: "muted" }, `block ${transaction.block}`),
        ),
      ),
    ),
    h(
      "div",
      { class: "dialog-buttons" },
      h("button", { class: "button primary", type: "button", autofocus: true, on: { click: dialog.close } }, "Close"),
    ),
  );
}

/** The wallet's place in the page's frame: who signs, or the button that connects. */
export function signerStatus(state) {
  const who = signer(state);
  if (who.kind === "server") return h("div", { class: "signer" }, h("small", null, "signs: this node"), account(who.account));
  if (who.kind === "none") return h("div", { class: "signer" }, h("small", null, "read only: no wallet found"));
  if (who.account)
    return h("div", { class: "signer" }, h("small", null, `signs: ${state.wallet.chosen.name}`), account(who.account));
  return h(
    "div",
    { class: "signer" },
    state.wallet.providers.map((entry, i) =>
      h(
        "button",
        { key: i, class: "button small", type: "button", on: { click: () => choose(i) } },
        icon("wallet"),
        `Connect ${entry.name}`,
      ),
    ),
  );
}

async function choose(index) {
  try {
    await connect(index);
  } catch (problem) {
    dialog.open({ title: "Connect a wallet", body: () => problemBox(problem) });
  }
  change({ wallet: get().wallet });
}
