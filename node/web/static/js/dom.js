// A small virtual DOM: views are pure functions that return trees of `h(...)`, `render` makes the document agree with them.
// Whatever was focused, scrolled or opened stays so, because nodes are kept and only their differences are written.
// Text reaches the page as text nodes and attributes alone; there is no way to hand HTML in.

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "a", "g", "path", "rect", "circle", "line", "text", "title", "defs", "marker", "polyline"]);
const PROPERTIES = new Set(["value", "checked", "disabled", "indeterminate", "selected"]);
const known = new WeakMap(); // node -> the tree element it was made from

/**
 * One element: `h("p", {class: "lead"}, "text", child, [more])`. Null, false and undefined children vanish.
 * Props: attributes; `on: {click: handler}`; `css: {"--part": "40%"}`; `key`; `host: {mount, update, remove}` for a node whose inside belongs
 * to somebody else (a chart).
 */
export function h(tag, props, ...children) {
  const { key, on, css, host, ...attributes } = props ?? {};
  return { tag, key, on, css, host, attributes, children: flatten(children) };
}

function flatten(children) {
  const flat = [];
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false || child === true) continue;
    flat.push(typeof child === "object" ? child : String(child));
  }
  return flat;
}

/** Makes the children of `parent` agree with `tree` (an element, a text or a list of them). */
export function render(parent, tree) {
  syncChildren(parent, flatten([tree]));
}

function syncChildren(parent, wanted) {
  const keyed = new Map();
  const loose = [];
  for (const node of parent.childNodes) {
    const element = known.get(node);
    if (element?.key !== undefined) keyed.set(element.key, node);
    else loose.push(node);
  }
  let next = 0;
  let cursor = parent.firstChild;
  for (const element of wanted) {
    let node = null;
    if (typeof element === "object" && element.key !== undefined) {
      const candidate = keyed.get(element.key);
      if (candidate && fits(candidate, element)) {
        node = candidate;
        keyed.delete(element.key);
      }
    } else {
      const found = loose.findIndex((candidate, i) => i >= next && fits(candidate, element));
      // Nodes that were passed over are no longer wanted: the order of unkeyed siblings is kept.
      if (found >= 0) {
        node = loose[found];
        loose[found] = null;
        next = found + 1;
      }
    }
    node = node ? update(node, element) : create(element, parent);
    if (node === cursor) cursor = cursor.nextSibling;
    else parent.insertBefore(node, cursor);
  }
  for (const node of [...keyed.values(), ...loose]) {
    if (node) discard(node);
  }
}

function fits(node, element) {
  if (typeof element === "string") return node.nodeType === Node.TEXT_NODE;
  const old = known.get(node);
  return old !== undefined && old.tag === element.tag && old.key === element.key && !old.host === !element.host;
}

function create(element, parent) {
  if (typeof element === "string") return document.createTextNode(element);
  const isSvg = SVG_TAGS.has(element.tag) && (element.tag === "svg" || parent?.namespaceURI === SVG);
  const node = isSvg ? document.createElementNS(SVG, element.tag) : document.createElement(element.tag);
  write(node, { attributes: {} }, element);
  known.set(node, element);
  if (element.host) element.host.mount(node);
  else syncChildren(node, element.children);
  if (element.tag === "select" && "value" in element.attributes) node.value = element.attributes.value;
  return node;
}

function update(node, element) {
  if (typeof element === "string") {
    if (node.data !== element) node.data = element;
    return node;
  }
  const old = known.get(node);
  if (old === element) return node;
  write(node, old, element);
  known.set(node, element);
  if (element.host) element.host.update?.(node);
  else syncChildren(node, element.children);
  return node;
}

function discard(node) {
  const gone = [node, ...(node.querySelectorAll?.("*") ?? [])];
  for (const each of gone) known.get(each)?.host?.remove?.(each);
  node.remove();
}

function write(node, old, element) {
  for (const name of Object.keys(old.attributes)) {
    if (!(name in element.attributes)) setAttribute(node, name, null);
  }
  for (const [name, value] of Object.entries(element.attributes)) {
    if (old.attributes[name] !== value) setAttribute(node, name, value);
  }
  for (const [name, value] of Object.entries(element.css ?? {})) {
    if (old.css?.[name] !== value) node.style.setProperty(name, value);
  }
  for (const type of Object.keys(element.on ?? {})) {
    if (!old.on?.[type]) node.addEventListener(type, dispatch);
  }
}

// One listener for all nodes and types: it asks the node's present element, so handlers never go stale.
function dispatch(event) {
  known.get(event.currentTarget)?.on?.[event.type]?.(event);
}

function setAttribute(node, name, value) {
  if (name === "href" && value !== null && !/^(#|\/|https?:)/.test(value)) value = null; // no javascript: from a text of others
  if (PROPERTIES.has(name)) {
    if (node[name] !== value) node[name] = value ?? "";
  } else if (value === null || value === undefined || value === false) {
    node.removeAttribute(name);
  } else {
    node.setAttribute(name, value === true ? "" : String(value));
  }
}
