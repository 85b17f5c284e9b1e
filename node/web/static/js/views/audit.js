// Audit: what the last `commonweight audit` on this machine found, and what an auditor needs to repeat it.
import { card, command, empty, facts, hash, when } from "../components/basic.js";
import { icon } from "../components/icon.js";
import { h } from "../dom.js";
import { integer, time } from "../format.js";

export function audit({ snapshot }) {
  return [
    h("h1", { key: "title" }, "Audit"),
    card(
      "Last audit",
      {
        key: "state",
        note: "An audit needs the chain and IPFS, trusts neither, and rebuilds every balance, verdict, vote and model from the events alone.",
      },
      state(snapshot.audit),
    ),
    card(
      "This community",
      { key: "where" },
      facts([
        ["network", `${snapshot.network.name}${snapshot.network.is_testnet ? " (test network)" : ""}`],
        ["chain id", snapshot.network.chain_id],
        ["read up to block", [integer(snapshot.head.block), " ", hash(snapshot.head.hash, "Block hash")]],
        ["events read", integer(snapshot.head.events)],
        [
          "guideline",
          [
            `epoch ${snapshot.guideline.epoch} `,
            hash(snapshot.guideline.hash, "Guideline hash"),
            " ",
            hash(snapshot.guideline.cid, "CID"),
          ],
        ],
      ]),
      h("h3", null, "Contracts"),
      h(
        "dl",
        { class: "contracts" },
        Object.entries(snapshot.network.contracts).map(([name, address]) =>
          h("div", { key: name }, h("dt", null, name), h("dd", null, hash(address, "Address"))),
        ),
      ),
    ),
  ];
}

function state(report) {
  if (!report) {
    return [
      empty("No audit was run on this machine yet.", "It takes seconds to minutes, and needs only the chain and IPFS."),
      h("p", null, command("commonweight audit")),
    ];
  }
  return [
    h(
      "p",
      { class: `result large ${report.ok ? "good" : "bad"}` },
      icon(report.ok ? "check" : "cross"),
      h(
        "b",
        null,
        report.ok
          ? "Everything agrees."
          : `${report.findings.length} difference${report.findings.length === 1 ? "" : "s"} found.`,
      ),
      h("span", { class: "muted" }, "at block ", integer(report.block), ", ", when(report.at)),
    ),
    !report.is_current &&
      h(
        "p",
        { class: "problem" },
        icon("warning"),
        h("span", null, "Rounds ended since this audit. Run it again: "),
        command("commonweight audit"),
      ),
    report.findings.length > 0 &&
      h(
        "ol",
        { class: "findings" },
        report.findings.map((finding, i) => h("li", { key: i }, finding)),
      ),
    h("h3", null, "What was checked"),
    h(
      "dl",
      { class: "checks" },
      Object.entries(report.checked)
        .sort(([, a], [, b]) => b - a)
        .map(([what, count]) => h("div", { key: what }, h("dt", null, what), h("dd", null, integer(count)))),
    ),
    h("p", { class: "muted" }, `Run ${time(report.at)}. Repeat it yourself: `, command("commonweight audit")),
  ];
}
