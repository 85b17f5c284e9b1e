// Which release came from which: a graph from left to right, one column a release, a child below its older sibling.
import { h } from "../dom.js";
import { link } from "../router.js";

const STEP = 150;
const LANE = 64;
const PAD = 14;
const BOX = { width: 112, height: 44 };

/** Column and lane of each release, by number. A first child stays on its parent's lane, every other opens a new one. */
export function layout(releases) {
  const places = new Map();
  let lanes = 0;
  const taken = new Set(); // parents that already have a child on their lane
  releases.forEach((release, column) => {
    const parent = places.get(release.parent);
    const stays = parent && !taken.has(release.parent);
    if (stays) taken.add(release.parent);
    places.set(release.number, { column, lane: stays ? parent.lane : lanes });
    if (!stays) lanes += 1;
  });
  return { places, lanes: Math.max(1, lanes) };
}

/** `candidates`: open proposals of a release, drawn dashed after what they build on. */
export function lineage(releases, candidates, selected) {
  const drafts = candidates.map((proposal) => ({
    ...proposal.candidate,
    number: `p${proposal.number}`,
    proposal,
    isDraft: true,
  }));
  const all = [...releases, ...drafts];
  const { places, lanes } = layout(all);
  const width = PAD * 2 + (all.length - 1) * STEP + BOX.width;
  const height = PAD * 2 + (lanes - 1) * LANE + BOX.height;
  const at = (number) => {
    const { column, lane } = places.get(number);
    return { x: PAD + column * STEP, y: PAD + lane * LANE };
  };
  return h(
    "div",
    { class: "scroll lineage", role: "region", "aria-label": "Lineage of releases", tabindex: "0" },
    h(
      "svg",
      {
        width,
        height,
        viewBox: `0 0 ${width} ${height}`,
        role: "group",
        "aria-label": "Lineage: each release and what it was trained from",
      },
      all.filter((release) => places.has(release.parent)).map((release) => edge(at(release.parent), at(release.number), release)),
      all.map((release) => node(at(release.number), release, selected)),
    ),
  );
}

function edge(from, to, release) {
  const [x1, y1] = [from.x + BOX.width, from.y + BOX.height / 2];
  const [x2, y2] = [to.x, to.y + BOX.height / 2];
  const middle = x2 - (STEP - BOX.width) / 2;
  return h("path", {
    key: `e${release.number}`,
    class: `edge ${release.isDraft ? "draft" : ""}`.trim(),
    d: `M${x1} ${y1}H${middle - 8}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`,
  });
}

function node({ x, y }, release, selected) {
  const kind = release.isDraft ? "draft" : release.is_yanked ? "yanked" : "";
  const note = release.isDraft ? "proposed" : release.is_yanked ? "yanked" : `round ${release.round}`;
  const href = release.isDraft ? link("governance", release.proposal.number) : link("releases", release.number);
  const version = release.version.length > 13 ? `${release.version.slice(0, 12)}…` : release.version;
  return h(
    "a",
    {
      key: `n${release.number}`,
      href,
      class: `node ${kind} ${selected === release.number ? "selected" : ""}`.trim(),
      "aria-label": `Release ${release.version}, ${note}`,
    },
    h("rect", { x, y, width: BOX.width, height: BOX.height, rx: 8 }),
    h("text", { x: x + 12, y: y + 19, class: "version" }, version),
    h("text", { x: x + 12, y: y + 35, class: "note" }, note),
  );
}
