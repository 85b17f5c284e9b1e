// The page's small parts: cards, badges, tiles, accounts, hashes, times, bars, empty and failed states.
import { h } from "../dom.js";
import * as format from "../format.js";
import { get, now } from "../state.js";
import { icon } from "./icon.js";
import { toast } from "./toast.js";

/** A titled box. `aside` stands at the right of the title; `id` gives the heading an anchor. */
export function card(title, { aside = null, note = null, kind = "", key, level = 2 } = {}, ...children) {
  return h(
    "section",
    { class: `card ${kind}`.trim(), key },
    title && h("header", { class: "card-head" }, h(`h${level}`, null, title), aside && h("div", { class: "card-aside" }, aside)),
    note && h("p", { class: "note" }, note),
    ...children,
  );
}

const TONES = {
  good: ["ACCEPTED", "ACTIVE", "FINALIZED", "EXECUTED", "SUCCEEDED", "admitted", "for", "UPHELD"],
  bad: ["MALFORMED", "HARMFUL", "VOIDED", "DEFEATED", "BANNED", "rejected", "against", "CANCELED", "OVERTURNED"],
  warn: ["REJECTED", "UNSCORED", "UNAVAILABLE", "EXITING", "PROBATION", "probation", "QUEUED"],
  live: ["APPLIED", "open"],
};

/** A status as a word in a tinted box. */
export function badge(status, label = format.words(status), tone = null) {
  const found = tone ?? Object.keys(TONES).find((name) => TONES[name].includes(status)) ?? "plain";
  return h("span", { class: `badge ${found}` }, label);
}

export function tile(value, label, { href = null, tone = "", detail = null } = {}) {
  const inside = [h("b", { class: tone }, value), h("span", null, label), detail && h("small", null, detail)];
  return href ? h("a", { class: "tile", href }, inside) : h("div", { class: "tile" }, inside);
}

/** What stands where nothing is yet: what it is, and what brings it about. */
export function empty(what, how = null) {
  return h("div", { class: "empty" }, h("p", null, what), how && h("p", { class: "muted" }, how));
}

/** An ApiError as the three sentences of all messages. */
export function problemBox(problem, again = null) {
  return h(
    "div",
    { class: "problem", role: "alert" },
    icon("warning"),
    h(
      "div",
      null,
      h("p", { class: "strong" }, problem.what ?? problem.message),
      h("p", null, problem.why),
      h("p", { class: "muted" }, problem.hint),
      again && h("button", { class: "button", on: { click: again } }, "Try again"),
    ),
  );
}

export function skeleton(lines = 3) {
  return h(
    "div",
    { class: "skeleton", "aria-hidden": "true" },
    Array.from({ length: lines }, (_, i) => h("i", { key: i })),
  );
}

async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    toast(`${what} copied`);
  } catch {
    toast(`The browser does not let this page copy. ${what}: ${text}`);
  }
}

/** An account: a figure to recognise it by, the short address; whole on focus and hover, copied on click. `you` where it signs here. */
export function account(address, { plain = false } = {}) {
  if (!address) return h("span", { class: "muted" }, "–");
  const mine = isMine(address);
  const known = contractName(address);
  const label = known ?? format.shortHash(address);
  if (plain) return h("span", { class: "mono", title: address }, label);
  return h(
    "button",
    {
      class: "chip account",
      type: "button",
      "data-tip": address,
      "aria-label": `${known ?? "Account"} ${address}${mine ? ", you" : ""}: copy`,
      on: { click: () => copy(address, "Address") },
    },
    figure(address),
    h("span", { class: known ? "" : "mono" }, label),
    mine && h("span", { class: "you" }, "you"),
  );
}

function isMine(address) {
  const { snapshot, wallet } = get();
  const mine = snapshot?.viewer?.account ?? wallet.account ?? snapshot?.viewer?.node?.address;
  return Boolean(mine) && mine.toLowerCase() === address.toLowerCase();
}

function contractName(address) {
  const contracts = Object.entries(get().snapshot?.network?.contracts ?? {});
  return contracts.find(([, at]) => at.toLowerCase() === address.toLowerCase())?.[0] ?? null;
}

/** A 5 × 5 figure, mirrored, from the address's bits. */
function figure(address) {
  const bits = Number.parseInt(address.slice(2, 6), 16);
  const cells = [];
  for (let i = 0; i < 15; i += 1) {
    if (!((bits >> i) & 1)) continue;
    const [x, y] = [i % 3, Math.floor(i / 3)];
    cells.push(`M${x} ${y}h1v1h-1z`);
    if (x < 2) cells.push(`M${4 - x} ${y}h1v1h-1z`);
  }
  return h(
    "svg",
    { class: "figure", viewBox: "0 0 5 5", "aria-hidden": "true", focusable: "false" },
    h("path", { d: cells.join("") || "M2 2h1v1h-1z" }),
  );
}

/** A hash, CID or transaction, shortened; whole on focus and hover, copied on click. */
export function hash(text, what = "Hash") {
  if (!text) return h("span", { class: "muted" }, "–");
  return h(
    "button",
    {
      class: "chip mono",
      type: "button",
      "data-tip": text,
      "aria-label": `${what} ${text}: copy`,
      on: { click: () => copy(text, what) },
    },
    format.shortHash(text),
  );
}

/** A command to copy. */
export function command(text) {
  return h(
    "button",
    { class: "command mono", type: "button", "aria-label": `Command ${text}: copy`, on: { click: () => copy(text, "Command") } },
    h("span", null, text),
    icon("copy"),
  );
}

// Times that tick: one timer for all of them, started with the first.
const ticking = new Map();
let timer = 0;

function tick(node) {
  const text = ticking.get(node)();
  if (node.textContent !== text) node.textContent = text;
}

function ticker(tag, attributes, text) {
  const start = (node) => {
    ticking.set(node, text);
    tick(node);
    timer ||= setInterval(() => ticking.forEach((_, each) => tick(each)), 1000);
  };
  return h(tag, { ...attributes, host: { mount: start, update: start, remove: (node) => ticking.delete(node) } });
}

/** Time left until `until`, counting down, between the words `before` and `after`; then `over`. */
export function countdown(until, over = "time is up", before = "", after = "") {
  return ticker("span", { class: "countdown", title: format.time(until) }, () =>
    until > now() ? before + format.span(until - now()) + after : over,
  );
}

/** How long ago, kept current. */
export function when(at) {
  if (at === null || at === undefined) return h("span", { class: "muted" }, "–");
  return ticker("time", { class: "when", datetime: new Date(at * 1000).toISOString(), title: format.time(at) }, () =>
    format.ago(at, now()),
  );
}

/** How much of the time from `since` to `until` is over, as a thin line. */
export function drain(since, until) {
  const share = () => Math.min(1, Math.max(0, (now() - since) / Math.max(1, until - since)));
  const start = (node) => {
    ticking.set(node, () => {
      node.style.setProperty("--share", `${(100 * share()).toFixed(1)}%`);
      return "";
    });
    tick(node);
    timer ||= setInterval(() => ticking.forEach((_, each) => tick(each)), 1000);
  };
  return h("div", {
    class: "drain",
    "aria-hidden": "true",
    host: { mount: start, update: start, remove: (node) => ticking.delete(node) },
  });
}

/** A horizontal bar of parts: [{share 0…1, tone, label}], with an optional mark at a share. */
export function bar(parts, { label, mark = null, markLabel = "" } = {}) {
  const text = label ?? parts.map((part) => `${part.label} ${(100 * part.share).toFixed(1)} %`).join(", ");
  return h(
    "div",
    { class: "bar", role: "img", "aria-label": markLabel ? `${text}; ${markLabel}` : text },
    parts
      .filter((part) => part.share > 0)
      .map((part, i) =>
        h("i", {
          key: i,
          class: part.tone,
          css: { "--share": `${(100 * part.share).toFixed(2)}%` },
          title: `${part.label}: ${(100 * part.share).toFixed(1)} %`,
        }),
      ),
    mark !== null && h("em", { key: "mark", css: { "--share": `${(100 * Math.min(1, mark)).toFixed(2)}%` }, title: markLabel }),
  );
}

/** Pairs of a term and its value. */
export function facts(pairs) {
  return h(
    "dl",
    { class: "facts" },
    pairs.filter(Boolean).map(([term, value]) => h("div", { key: term }, h("dt", null, term), h("dd", null, value))),
  );
}
