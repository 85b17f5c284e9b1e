// What an action asks for before it is sent: texts, amounts of CWT, one of the members.
import { h } from "../dom.js";
import { shortHash, units } from "../format.js";

/**
 * One field of a form. `field`: {name, label, kind: "text" | "amount" | "choice", hint, choices: [address], most}; `run.values` takes what is given.
 * An amount is typed in CWT and kept as units of 10^-18.
 */
export function fieldOf(field, run) {
  const isBusy = run.status === "running";
  const keep = (event) => {
    run.values[field.name] = event.target.value;
  };
  const inputs = {
    text: () => h("textarea", { rows: "3", maxlength: "500", disabled: isBusy, on: { input: keep } }),
    amount: () =>
      h("input", {
        type: "text",
        inputmode: "decimal",
        autocomplete: "off",
        required: true,
        disabled: isBusy,
        on: { input: keep },
      }),
    choice: () =>
      h(
        "select",
        { required: true, disabled: isBusy, on: { change: keep } },
        h("option", { value: "" }, "Choose …"),
        field.choices.map((address) => h("option", { key: address, value: address }, `${shortHash(address)}  (${address})`)),
      ),
  };
  return h(
    "label",
    { class: "field", key: field.name },
    h("span", null, field.label),
    inputs[field.kind](),
    field.hint && h("small", { class: "muted" }, field.hint),
  );
}

/** The body's part that the fields fill: {values} or {problem: {what, why, hint}}. */
export function read(fields, given) {
  const values = {};
  for (const field of fields) {
    const text = (given[field.name] ?? "").trim();
    if (field.kind !== "amount") {
      values[field.name] = text;
      continue;
    }
    const amount = units(text);
    if (amount === null || amount === 0n) {
      return {
        problem: {
          what: `“${text}” is no amount.`,
          why: "It takes digits with at most one point and 18 decimals, above 0.",
          hint: "E.g. 12.5",
        },
      };
    }
    if (field.most !== undefined && amount > BigInt(field.most)) {
      return { problem: { what: "That is more than there is.", why: field.hint, hint: "Give less." } };
    }
    values[field.name] = String(amount);
  }
  return { values };
}
