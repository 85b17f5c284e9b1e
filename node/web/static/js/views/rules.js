// What the community decided once and for all rounds: the guideline, the committee's seats, the treasury.
import { account, badge, card, empty, facts, hash, when } from "../components/basic.js";
import { why } from "../components/explain.js";
import { table } from "../components/table.js";
import { h } from "../dom.js";
import { cwt, integer, percent } from "../format.js";

export function guideline({ guideline: found, network }) {
  const { scoring } = found;
  return card(
    "Guideline",
    { note: "What is trained and how; changed by vote, pinned by every round." },
    facts([
      ["epoch", found.epoch],
      ["since", when(found.since)],
      ["documents", [hash(found.cid, "CID"), " ", hash(found.hash, "Hash")]],
      ["least accepted gain", `${integer(scoring.delta_min)} ppm`],
      ["harmful from", `−${integer(scoring.harm_min)} ppm`],
      ["agreement within", `${integer(scoring.tau)} ppm`],
      ["gain counts up to", `${integer(scoring.gain_cap)} ppm`],
      ["a release may fall by", percent(network.params.max_regression, 2)],
    ]),
  );
}

export function seats({ seats: entries }) {
  return card(
    "Committee",
    { note: "Seats review newcomers and take turns as stewards of the sealed slice." },
    entries.length === 0
      ? empty("No seat was given.")
      : table(
          "Seats",
          [
            { label: "seat", numeric: true, cell: (seat) => seat.seat },
            { label: "holder", head: true, cell: (seat) => account(seat.holder) },
            { label: "", cell: (seat) => (seat.is_vacant ? badge("", "expired", "warn") : badge("", "held", "good")) },
            { label: "until", cell: (seat) => h("time", null, new Date(seat.expires_at * 1000).toISOString().slice(0, 10)) },
            { label: "", cell: (seat) => why("seat", seat.seat, `seat ${seat.seat}`) },
          ],
          entries,
          { key: (seat) => seat.seat },
        ),
  );
}

export function treasury({ balance, earned, paid }) {
  return card(
    "Treasury",
    { note: "Five per cent of every finalised round; spent by vote only." },
    facts([
      ["balance", `${cwt(balance)} CWT`],
      ["received so far", `${cwt(earned)} CWT`],
    ]),
    paid.length > 0 &&
      table(
        "Payments",
        [
          { label: "paid to", head: true, cell: (entry) => account(entry.to) },
          { label: "amount", numeric: true, cell: (entry) => cwt(entry.amount) },
          { label: "token", cell: (entry) => account(entry.token) },
          { label: "when", cell: (entry) => when(entry.at) },
          { label: "transaction", cell: (entry) => hash(entry.transaction, "Transaction") },
        ],
        [...paid].reverse(),
        { key: (entry) => entry.transaction },
      ),
  );
}
