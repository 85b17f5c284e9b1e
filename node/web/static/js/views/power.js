// Voting power: one's own, and how it is spread among the delegates.
import { curveChart, lorenzChart } from "../charts/power.js";
import { actButton } from "../components/act.js";
import { account, badge, bar, card, countdown, empty, tile } from "../components/basic.js";
import { why } from "../components/explain.js";
import { table } from "../components/table.js";
import { h } from "../dom.js";
import { cwt, integer, percent, roughly } from "../format.js";
import { signer } from "../wallet.js";

/** What the signer holds and can do with it; nothing where nobody signs here, or the signer never applied. */
export function ownPower(state) {
  const { account: mine } = signer(state);
  const entry = mine && state.snapshot.members.find((member) => member.address.toLowerCase() === mine.toLowerCase());
  if (!entry) return null;
  const isOwn = entry.delegate?.toLowerCase() === entry.address.toLowerCase();
  return h(
    "section",
    { class: "own", key: "own", "aria-label": "Your voting power" },
    h(
      "p",
      null,
      account(entry.address),
      " can cast ",
      h("b", null, cwt(entry.votes, 0)),
      " votes from ",
      h("b", null, cwt(entry.locked, 0)),
      " locked CWT",
      entry.delegate && !isOwn && [", delegated to ", account(entry.delegate)],
      entry.locked !== "0" && !entry.delegate && ", delegated to nobody yet: it counts for nothing",
      ". ",
      why("power", entry.address, "your voting power"),
    ),
    h("div", { class: "buttons" }, powerButtons(entry, state.snapshot)),
  );
}

function powerButtons(entry, { members, network }) {
  const delegate = actButton(
    "Delegate",
    {
      name: "delegate",
      body: {},
      verb: "Delegate",
      title: "Delegate your votes",
      summary: "One account, you or another, casts all your votes from the next proposal on. Your tokens stay yours.",
      fields: [
        {
          name: "to",
          kind: "choice",
          label: "To",
          choices: members.filter((member) => member.status === "ACTIVE").map((member) => member.address),
        },
      ],
      instead: "commonweight dao delegate ACCOUNT",
    },
    { kind: "small" },
  );
  const lock = actButton(
    "Lock tokens",
    {
      name: "lock",
      body: {},
      verb: "Lock",
      title: "Lock tokens for votes",
      summary: `Locked tokens give voting units along the curve. Taking them out again needs ${roughly(network.params.unlock_delay)} of waiting.`,
      fields: [
        { name: "amount", kind: "amount", label: "CWT", most: entry.balance, hint: `You hold ${cwt(entry.balance, 4)} CWT.` },
      ],
      instead: "commonweight dao convert AMOUNT",
    },
    { kind: "small" },
  );
  const unlock = actButton(
    "Unlock",
    {
      name: "unlock",
      body: {},
      verb: "Unlock",
      title: "Unlock tokens",
      summary: `The votes go at once, the tokens come after ${roughly(network.params.unlock_delay)}.`,
      fields: [
        {
          name: "amount",
          kind: "amount",
          label: "CWT",
          most: entry.locked,
          hint: `You have ${cwt(entry.locked, 4)} CWT locked.`,
        },
      ],
    },
    { kind: "small" },
  );
  const withdraw = actButton(
    "Withdraw",
    {
      name: "withdraw",
      body: {},
      verb: "Withdraw",
      title: "Withdraw unlocked tokens",
      summary: `${cwt(entry.leaving, 4)} CWT come back to your balance.`,
    },
    { kind: "small" },
  );
  return [
    entry.balance !== "0" && lock,
    entry.locked !== "0" && [delegate, unlock],
    entry.leaving !== "0" && [
      h("span", { class: "muted" }, `${cwt(entry.leaving)} CWT `, countdown(entry.free_at, "are free", "free in ")),
      withdraw,
    ],
  ];
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
