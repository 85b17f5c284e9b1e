// Voting power: one's own, and how it is spread among the delegates.
import { curveChart, lorenzChart } from "../charts/power.js";
import { account, badge, bar, card, empty, tile } from "../components/basic.js";
import { why } from "../components/explain.js";
import { table } from "../components/table.js";
import { h } from "../dom.js";
import { cwt, integer, percent } from "../format.js";
import { signer } from "../wallet.js";

export function ownPower(state) {
  const { account: mine } = signer(state);
  const entry = mine && state.snapshot.members.find((member) => member.address.toLowerCase() === mine.toLowerCase());
  if (!entry) return null;
  return h(
    "p",
    { class: "own", key: "own" },
    account(entry.address),
    " can cast ",
    h("b", null, cwt(entry.votes, 0)),
    " votes from ",
    h("b", null, cwt(entry.locked, 0)),
    " locked CWT. ",
    why("power", entry.address, "your voting power"),
  );
}

export function concentration(power) {
  if (power.delegates.length === 0) {
    return card(
      "Concentration",
      { key: "concentration" },
      empty("Nobody has voting power yet.", "Tokens become votes with: commonweight dao convert, then delegate."),
    );
  }
  return [
    h(
      "div",
      { class: "tiles", key: "power-tiles" },
      tile((power.gini_ppm / 1e6).toFixed(3), "Gini of votes", { detail: "0 equal, 1 all in one hand" }),
      tile(percent(power.largest_share_ppm), "largest share"),
      tile(cwt(power.total_units, 0), "voting units", { detail: `from ${cwt(power.locked, 0)} CWT locked` }),
      tile(cwt(power.cap, 0), "cap of one delegate"),
      tile(integer(power.holders), "holders"),
    ),
    h(
      "div",
      { class: "columns", key: "power-charts" },
      card("Who holds the votes", {}, lorenzChart(power.delegates)),
      card(
        "What locking gives",
        { note: "Linear at first, then a square root: the more one holds, the less each further token adds." },
        curveChart(power.curve),
      ),
    ),
    card(
      "Delegates",
      { key: "delegates" },
      table(
        "Delegates",
        [
          { label: "delegate", head: true, cell: (entry) => account(entry.member) },
          { label: "delegated", numeric: true, cell: (entry) => cwt(entry.delegated, 0) },
          { label: "votes", numeric: true, cell: (entry) => cwt(entry.votes, 0) },
          { label: "", cell: (entry) => entry.is_capped && badge("", "capped", "warn") },
          { label: "share", numeric: true, cell: (entry) => percent(entry.share_ppm) },
          {
            label: "",
            cell: (entry) =>
              bar([{ share: entry.share_ppm / Math.max(1, power.largest_share_ppm), tone: "accent", label: "share" }], {
                label: percent(entry.share_ppm),
              }),
          },
          { label: "delegators", numeric: true, cell: (entry) => entry.delegators },
          { label: "", cell: (entry) => why("power", entry.member, "voting power of this delegate") },
        ],
        power.delegates,
        { key: (entry) => entry.member },
      ),
    ),
  ];
}
