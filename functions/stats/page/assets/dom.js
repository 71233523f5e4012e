// Elements from data, and the least change of a page that makes it like a new one. Text is only ever text.

const SVG = "http://www.w3.org/2000/svg";
// What the page's own behaviour sets on elements, and a redraw leaves alone.
const KEPT = new Set(["aria-describedby", "open", "data-drawn"]);

/** An HTML element. */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An SVG element. */
export function s(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** Text for screen readers alone. */
export function offScreen(text) {
  return h("span", { class: "off-screen" }, text);
}

/** A link out of the page, if that is where an address of somebody else may lead to. */
export function outside(url) {
  const isWeb = /^https?:\/\//i.test(url);
  return isWeb ? h("a", { href: url, rel: "noopener noreferrer external", class: "url" }, url) : h("span", { class: "url" }, url);
}

/** Makes the children of an element like those of another one, with as few changes as can be: focus and scroll stay. */
export function redraw(element, ...children) {
  const next = element.cloneNode(false);
  next.append(...children.flat(Infinity).filter(isSomething));
  const focused = document.activeElement;
  const isWithin = element !== focused && element.contains(focused);
  morphChildren(element, next);
  if (!isWithin || focused === document.activeElement) return;
  // What was moved has lost the focus; where what had it is gone, the view has it, and not the top of the page.
  (focused.isConnected ? focused : document.getElementById("view")).focus({ preventScroll: true });
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (isSomething(value)) element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter(isSomething));
  return element;
}

function isSomething(value) {
  return value !== null && value !== undefined && value !== false;
}

function morphChildren(old, next) {
  const keyed = new Map();
  for (const child of old.children) {
    if (child.dataset?.key) keyed.set(child.dataset.key, child);
  }
  let at = old.firstChild;
  for (const wanted of [...next.childNodes]) {
    // The server's markup has spaces between elements.
    while (wanted.nodeType === Node.ELEMENT_NODE && at?.nodeType === Node.TEXT_NODE && !at.data.trim()) {
      const blank = at;
      at = at.nextSibling;
      blank.remove();
    }
    const key = wanted.dataset?.key;
    const found = key ? keyed.get(key) : unkeyed(at, wanted);
    if (!found || found.nodeName !== wanted.nodeName) {
      old.insertBefore(wanted, at);
      continue;
    }
    keyed.delete(key);
    if (found === at) at = at.nextSibling;
    else old.insertBefore(found, at);
    morph(found, wanted);
  }
  while (at) {
    const rest = at;
    at = at.nextSibling;
    rest.remove();
  }
}

/** The next node without a key, if it is of the kind that is wanted. */
function unkeyed(at, wanted) {
  return at && at.nodeName === wanted.nodeName && !at.dataset?.key ? at : null;
}

function morph(old, next) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== next.data) old.data = next.data;
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (!next.hasAttribute(name) && !KEPT.has(name)) old.removeAttribute(name);
  }
  for (const { name, value } of next.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  // A chart draws its own inside.
  if (next.dataset.own === undefined) morphChildren(old, next);
  const { value } = next.dataset;
  // What somebody is about to send stays as it was typed.
  const isTyped = old === document.activeElement || old.form?.matches("[data-zoom]:focus-within");
  if (value !== undefined && old.value !== value && !isTyped) old.value = value;
}
