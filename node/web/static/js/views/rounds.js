// Rounds: the list of all, and the page of one.
import * as api from "../api.js";
import { badge, card, empty, hash, problemBox, skeleton, when } from "../components/basic.js";
import { icon } from "../components/icon.js";
import { memo } from "../components/memo.js";
import { table } from "../components/table.js";
import { h } from "../dom.js";
import { phaseName, signed, span, words } from "../format.js";
import { link } from "../router.js";
import { change, get } from "../state.js";
import { roundDetail, sealed } from "./round_parts.js";

export function rounds(state) {
  const { snapshot, route } = state;
  if (route.id !== null) return onePage(state, Number(route.id));
  return [
    h("h1", { key: "title" }, "Rounds"),
    memo("rounds", [snapshot.rounds], () =>
      card(
        "All rounds",
        { key: "list", note: "A round is one cycle from sealed commitments to a model that everybody computed alike." },
        list(snapshot.rounds),
      ),
    ),
  ];
}

function list(entries) {
  if (entries.length === 0)
    return empty(
      "No round was opened yet.",
      "Whoever holds the steward's seat opens the first: commonweight node, with the role steward.",
    );
  const newest = [...entries].reverse();
  return table(
    "Rounds",
    [
      { label: "round", head: true, cell: (round) => h("a", { href: link("rounds", round.number) }, `Round ${round.number}`) },
      {
        label: "state",
        cell: (round) => [
          badge(round.phase, phaseName(round.phase), round.ended_at ? null : "accent"),
          round.void_reason && h("small", { class: "muted" }, ` ${words(round.void_reason)}`),
        ],
      },
      { label: "slice", cell: (round) => sealed(round) ?? h("span", { class: "muted" }, "–") },
      { label: "accepted", numeric: true, cell: (round) => `${round.accepted} / ${round.revealed}` },
      { label: "attested", numeric: true, cell: (round) => round.attested },
      { label: "sum of gains, ppm", numeric: true, cell: (round) => signed(round.gain_sum) },
      { label: "disputes", numeric: true, cell: (round) => round.disputes || "–" },
      { label: "penalties", numeric: true, cell: (round) => round.slashes || "–" },
      { label: "model", cell: (round) => hash(round.model_hash, "Model hash") },
      { label: "took", numeric: true, cell: (round) => (round.ended_at ? span(round.ended_at - round.opened_at) : "–") },
      { label: "opened", cell: (round) => when(round.opened_at) },
    ],
    newest,
    { key: (round) => round.number },
  );
}

function onePage({ snapshot, rounds: details }, number) {
  const last = snapshot.live?.number ?? 0;
  const head = h(
    "div",
    { class: "page-head", key: "title" },
    h("h1", null, `Round ${number}`),
    h(
      "nav",
      { "aria-label": "Other rounds", class: "pager" },
      h("a", { href: link("rounds") }, "All rounds"),
      number > 1 && h("a", { href: link("rounds", number - 1), "aria-label": "Round before" }, icon("back")),
      number < last && h("a", { href: link("rounds", number + 1), "aria-label": "Round after" }, icon("next")),
    ),
  );
  if (number === last) return [head, ...roundDetail(snapshot.live, snapshot.disputes)];
  const found = details.get(number);
  const summary = snapshot.rounds.find((round) => round.number === number);
  // A round that is over still changes while rewards are claimed and penalties executed; its summary tells.
  const stamp = JSON.stringify(summary ?? null);
  if (!found || (found.status === "ready" && found.stamp !== stamp)) load(number, stamp, found);
  if (found?.data) return [head, ...roundDetail(found.data, snapshot.disputes)];
  if (found?.status === "failed") return [head, problemBox(found.problem, () => load(number, stamp, found))];
  return [head, card("Round", { key: "loading" }, skeleton(8))];
}

function load(number, stamp, before) {
  const { rounds: details } = get();
  const keep = (entry) => {
    details.set(number, entry);
    change({ rounds: details });
  };
  details.set(number, { status: "loading", data: before?.data ?? null, stamp });
  api.round(number).then(
    (data) => keep({ status: "ready", data, stamp }),
    (problem) => keep({ status: "failed", data: before?.data ?? null, problem, stamp }),
  );
}
