// The one state of the page and who hears of its changes. Views read it; only this module and its callers' `change` write it.

const state = {
  snapshot: null, // sections of GET /api/snapshot
  load: "loading", // loading | ready | failed
  problem: null, // ApiError, while load is failed
  connection: "connecting", // connecting | live | waiting
  route: { section: "overview", id: null },
  wallet: { providers: [], chosen: null, account: null, chainId: null },
  rounds: new Map(), // details of rounds asked for: number -> {status, data, problem}
  fresh: new Set(), // keys of what the last event changed, to be marked for a moment
};

const listeners = new Set();
let scheduled = false;

export const get = () => state;

export function subscribe(listener) {
  listeners.add(listener);
}

/** Merges `part` into the state and draws once, however many changes come together. */
export function change(part) {
  Object.assign(state, part);
  if (scheduled) return;
  scheduled = true;
  queueMicrotask(() => {
    scheduled = false;
    for (const listener of listeners) listener(state);
  });
}

/** Replaces some sections of the snapshot. */
export function replaceSections(sections) {
  change({ snapshot: { ...state.snapshot, ...sections } });
}

let ahead = 0; // seconds by which the chain's clock is ahead of this machine's

/** Notes a time of the chain. Chains of tests run ahead of the wall clock; a chain that is behind has merely had no block for a while. */
export function noteChainTime(timestamp) {
  ahead = Math.max(0, timestamp - Date.now() / 1000);
}

/** The chain's present time, in seconds. */
export const now = () => Date.now() / 1000 + ahead;
