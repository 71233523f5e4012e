// What is known of a figure: on hover, focus and tap of whatever has `data-tip`.

import { redraw } from "./dom.js";

const DELAY = 120;
const MARGIN = 8;

const tips = new Map();
const box = document.getElementById("tip");
let trigger = null;
let isPinned = false;
let timer = 0;

/** The name under which a popover is found; `build` makes what is in it, when it is opened. */
export function tip(name, build) {
  tips.set(name, build);
  return name;
}

/** Before a view is drawn, what it says of its figures is forgotten. */
export function forgetTips() {
  tips.clear();
}

/** After it was drawn, an open popover says what is true now. */
export function refreshTip() {
  if (!trigger) return;
  if (trigger.isConnected && tips.has(trigger.dataset.tip)) show(trigger);
  else hide();
}

export function listen() {
  document.addEventListener("pointerover", over);
  document.addEventListener("focusin", ({ target }) => {
    const found = target.closest?.("[data-tip]");
    if (found?.matches(":focus-visible")) show(found);
    // One that was opened by a click stays until something else is clicked or tabbed to, which it might be over.
    else if (trigger && found !== trigger && !box.contains(target) && (!isPinned || target.matches(":focus-visible"))) hide();
  });
  document.addEventListener("focusout", ({ target }) => target === trigger && !isPinned && hide());
  document.addEventListener("click", press);
  document.addEventListener("keydown", (event) => event.key === "Escape" && trigger && hide());
  addEventListener("scroll", () => trigger && place(), { capture: true, passive: true });
  addEventListener("resize", () => trigger && place());
}

function over({ target, pointerType }) {
  if (pointerType === "touch") return;
  clearTimeout(timer);
  const found = target.closest?.("[data-tip]");
  if (found) {
    if (found !== trigger) timer = setTimeout(() => { isPinned = false; show(found); }, DELAY);
  } else if (trigger && !isPinned && !box.contains(target)) {
    // Time to move into the popover, whose text can be selected.
    timer = setTimeout(() => trigger && document.activeElement !== trigger && hide(), 2 * DELAY);
  }
}

function press({ target }) {
  const found = target.closest?.("[data-tip]");
  if (!found) {
    if (trigger && !box.contains(target)) hide();
  } else if (found === trigger && isPinned) {
    hide();
  } else {
    show(found);
    isPinned = true;
  }
}

function show(element) {
  const build = tips.get(element.dataset.tip);
  if (!build) return;
  clearTimeout(timer);
  if (trigger !== element) {
    hide();
    trigger = element;
    element.setAttribute("aria-describedby", "tip");
  }
  redraw(box, build());
  if (!box.matches(":popover-open")) box.showPopover();
  place();
}

function hide() {
  clearTimeout(timer);
  trigger?.removeAttribute("aria-describedby");
  trigger = null;
  isPinned = false;
  if (box.matches(":popover-open")) box.hidePopover();
}

function place() {
  const at = trigger.getBoundingClientRect();
  const own = box.getBoundingClientRect();
  const left = Math.min(Math.max(MARGIN, at.left + at.width / 2 - own.width / 2), innerWidth - own.width - MARGIN);
  const fitsBelow = at.bottom + MARGIN + own.height <= innerHeight || at.top < own.height + 2 * MARGIN;
  box.style.left = `${Math.max(MARGIN, left)}px`;
  box.style.top = `${fitsBelow ? at.bottom + MARGIN / 2 : at.top - own.height - MARGIN / 2}px`;
}
