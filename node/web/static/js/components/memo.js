// Large parts are made anew only where what they show changed; the same tree again costs the page nothing.
import { get } from "../state.js";

const made = new Map(); // name -> {inputs, tree}

/** The tree of `make()`, or the last one while `inputs` are the same objects. Who signs is always among them: accounts are marked "you". */
export function memo(name, inputs, make) {
  const { snapshot, wallet } = get();
  const all = [...inputs, snapshot.viewer, snapshot.network, wallet.account];
  const last = made.get(name);
  if (last && last.inputs.length === all.length && last.inputs.every((input, i) => input === all[i])) return last.tree;
  const tree = make();
  made.set(name, { inputs: all, tree });
  return tree;
}
