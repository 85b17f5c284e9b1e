// Which section is shown: the part of the address after #, e.g. #rounds/3. Back, forward, reload and links keep working.
import { change } from "./state.js";

export const SECTIONS = [
  { name: "overview", label: "Overview" },
  { name: "rounds", label: "Rounds" },
  { name: "members", label: "Members" },
  { name: "governance", label: "Governance" },
  { name: "releases", label: "Releases" },
  { name: "audit", label: "Audit" },
];

export const link = (section, id = null) => (id === null ? `#${section}` : `#${section}/${id}`);

function read() {
  const [section, id = null] = location.hash.slice(1).split("/");
  const known = SECTIONS.some((entry) => entry.name === section);
  return known ? { section, id } : { section: "overview", id: null };
}

/** Follows the address; `onMove` is told after each move but the first. */
export function follow(onMove) {
  change({ route: read() });
  addEventListener("hashchange", () => {
    if (location.hash === "#main") return; // the skip link
    const route = read();
    change({ route });
    onMove(route);
  });
}
