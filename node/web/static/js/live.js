// Keeps the snapshot current: one request, then server-sent events, which resume by their ids. Nothing is polled.
import * as api from "./api.js";
import { change, get, noteChainTime, replaceSections } from "./state.js";

const SILENCE = 40_000; // ms without a word (heartbeats come every 15 s) after which the stream is taken for dead
const LONGEST_WAIT = 60_000;

let source = null;
let watchdog = 0;
let wait = 1_000;
let missing = new Set(); // sections that changed but were too large for an event
let fetching = false;

/** Loads everything, then listens. Called again by the page's "try again". */
export async function start() {
  stop();
  change({ load: get().snapshot ? "ready" : "loading", problem: null, connection: "connecting" });
  try {
    const snapshot = await api.snapshot();
    noteChainTime(snapshot.head.timestamp);
    change({ snapshot, load: "ready", problem: null });
    wait = 1_000;
    listen(snapshot.id);
  } catch (problem) {
    change({ load: get().snapshot ? "ready" : "failed", problem, connection: "waiting" });
    later();
  }
}

function stop() {
  clearTimeout(watchdog);
  source?.close();
  source = null;
}

function later() {
  stop();
  watchdog = setTimeout(start, wait);
  wait = Math.min(wait * 2, LONGEST_WAIT);
}

function listen(id) {
  source = new EventSource(`/api/events?since=${encodeURIComponent(id)}`);
  source.addEventListener("open", () => heard());
  source.addEventListener("heartbeat", () => heard());
  source.addEventListener("delta", (event) => {
    heard();
    apply(JSON.parse(event.data).sections);
  });
  source.addEventListener("changed", (event) => {
    heard();
    for (const name of JSON.parse(event.data).sections) missing.add(name);
    fetchMissing();
  });
  source.addEventListener("reset", start);
  source.addEventListener("error", () => {
    change({ connection: "waiting" });
    // The browser connects again by itself, with the last event's id, unless the server refused.
    if (source?.readyState === EventSource.CLOSED) later();
  });
  heard(false);
}

function heard(isLive = true) {
  if (isLive) {
    wait = 1_000;
    if (get().connection !== "live") change({ connection: "live", problem: null });
  }
  clearTimeout(watchdog);
  watchdog = setTimeout(() => {
    change({ connection: "waiting" });
    start();
  }, SILENCE);
}

function apply(sections) {
  if (sections.head) noteChainTime(sections.head.timestamp);
  replaceSections(sections);
}

async function fetchMissing() {
  if (fetching) return;
  fetching = true;
  try {
    while (missing.size > 0) {
      const names = [...missing];
      missing = new Set();
      const { version: _version, id: _id, ...sections } = await api.snapshot(names);
      apply(sections);
    }
  } catch {
    later(); // the whole snapshot, after a while
  } finally {
    fetching = false;
  }
}
