// Starts the page: the frame around the sections, which section is drawn, and what is said aloud when a phase changes.
import { takeToken } from "./api.js";
import { signerStatus } from "./components/act.js";
import { countdown, problemBox, skeleton } from "./components/basic.js";
import * as dialog from "./components/dialog.js";
import { icon } from "./components/icon.js";
import { announce } from "./components/toast.js";
import * as tooltip from "./components/tooltip.js";
import { h, render } from "./dom.js";
import { phaseName, roughly } from "./format.js";
import * as live from "./live.js";
import { follow, link, SECTIONS } from "./router.js";
import { get, now, subscribe } from "./state.js";
import { audit } from "./views/audit.js";
import { governance } from "./views/governance.js";
import { members } from "./views/members.js";
import { overview } from "./views/overview.js";
import { releases } from "./views/releases.js";
import { rounds } from "./views/rounds.js";
import { waiting } from "./views/waiting.js";
import { discover } from "./wallet.js";

const VIEWS = { overview, rounds, members, governance, releases, audit };
const CONNECTION = { live: "live", connecting: "connecting", waiting: "connection lost, trying again" };

function draw(state) {
  render(document.getElementById("sidebar"), sidebar(state));
  render(document.getElementById("strip"), strip(state));
  render(document.getElementById("main"), section(state));
  dialog.redraw();
  const label = SECTIONS.find((entry) => entry.name === state.route.section).label;
  const title = `${label} · ${state.snapshot?.network.name ?? "Commonweight"} · Commonweight`;
  if (document.title !== title) document.title = title;
}

function section(state) {
  if (state.load === "failed")
    return h("div", { key: "failed" }, h("h1", null, "Commonweight"), problemBox(state.problem, live.start));
  if (!state.snapshot) {
    return h(
      "div",
      { key: "loading", "aria-busy": "true" },
      h("h1", null, "Commonweight"),
      h("p", { class: "sr-only", role: "status" }, "Loading"),
      h("div", { class: "card" }, skeleton(4)),
      h("div", { class: "card" }, skeleton(8)),
    );
  }
  const { section: name, id } = state.route;
  return h("div", { key: `${name}/${id}`, class: "view" }, VIEWS[name](state));
}

function sidebar(state) {
  const open = state.snapshot ? waiting(state) : {};
  return [
    h(
      "a",
      { class: "brand", href: link("overview"), key: "brand" },
      h("img", { src: "favicon.svg", alt: "", width: "26", height: "26" }),
      h("span", null, "Commonweight"),
    ),
    h(
      "nav",
      { "aria-label": "Sections", key: "nav" },
      h(
        "ul",
        null,
        SECTIONS.map(({ name, label }) =>
          h(
            "li",
            { key: name },
            h(
              "a",
              { href: link(name), "aria-current": state.route.section === name ? "page" : null },
              icon(name),
              h("span", null, label),
              open[name] > 0 && h("span", { class: "count", "aria-label": `, ${open[name]} waiting` }, open[name]),
            ),
          ),
        ),
      ),
    ),
    h(
      "div",
      { class: "foot", key: "foot" },
      state.snapshot && signerStatus(state),
      state.snapshot && h("small", null, `${state.snapshot.network.name} · chain ${state.snapshot.network.chain_id}`),
    ),
  ];
}

function strip(state) {
  const { snapshot, connection } = state;
  const stale = snapshot?.head.is_stale;
  const round = snapshot?.live;
  const failing = Object.keys(snapshot?.viewer.node?.failing ?? {}).length;
  return [
    round &&
      h(
        "a",
        { class: "now", href: link("rounds", round.number), key: "now" },
        h("b", null, `Round ${round.number}`),
        h("span", null, phaseName(round.phase)),
        round.deadline && !["FINALIZED", "VOIDED"].includes(round.phase) && countdown(round.deadline, "due"),
      ),
    failing > 0 &&
      h(
        "span",
        { class: "hint", key: "failing", "data-tip": Object.values(snapshot.viewer.node.failing).join(" · "), tabindex: "0" },
        icon("warning"),
        h("span", null, `${failing} of this node's tasks keep${failing === 1 ? "s" : ""} failing`),
      ),
    h(
      "span",
      { class: `connection ${stale ? "waiting" : connection}`, role: "status", key: "connection" },
      h("i", { "aria-hidden": "true" }),
      h("span", null, stale ? "the chain does not answer" : CONNECTION[connection]),
    ),
    snapshot && h("span", { class: "block muted", key: "block" }, `block ${snapshot.head.block}`),
  ];
}

let spoken = null;

/** Says aloud that a phase changed; nothing on the first load. */
function speak({ snapshot }) {
  const round = snapshot?.live;
  if (!round) return;
  const phase = `${round.number} ${round.phase}`;
  if (spoken !== null && spoken !== phase) {
    const left = round.deadline && round.deadline > now() ? `, ${roughly(round.deadline - now())} left` : "";
    announce(`Round ${round.number}: ${phaseName(round.phase)}${left}`);
  }
  spoken = phase;
}

takeToken();
dialog.start();
tooltip.start();
subscribe(draw);
subscribe(speak);
follow(() => {
  dialog.close();
  scrollTo(0, 0);
  document.getElementById("main").focus({ preventScroll: true }); // who listens should land in the new section, not stay in the navigation
});
discover();
live.start();
draw(get());
