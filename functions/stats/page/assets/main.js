// The page: which view, when to ask, and what to do where there is no answer.

import { Problem, ask, bytes, known, setToken, token } from "./api.js";
import { redraw } from "./dom.js";
import { errorNotice, failedNotice, tokenForm } from "./notice.js";
import { instant } from "./format.js";
import * as overview from "./overview.js";
import * as monitor from "./monitor.js";
import { forgetTips, listen, refreshTip } from "./popover.js";
import { hasFilter } from "./pick.js";
import { current, link, overviewOf } from "./route.js";

const PERIOD = 30_000;
const RETRIES = [5_000, 10_000, 20_000, 30_000];
const TYPING = 250;

const element = (id) => document.getElementById(id);
// `parts` is what is known of the view, by name: `data` and `at`, and the `problem` of the last question. `drawn` is what of
// that is on the page; `isServed` says that the page still has what the server wrote into it.
const page = { route: current(), parts: {}, drawn: {}, problem: null, broken: null, failed: null, isServed: false, retryAt: null, failures: 0, turn: 0, timer: 0, back: {} };

function viewOf(route) {
  return route.url || route.monitor ? monitor : overview;
}

function isLocked() {
  return page.problem?.kind === "unauthorized" || page.problem?.kind === "refused";
}

/** Shows a view: at once what is known of it, then what the server says. */
function enter() {
  const questions = Object.entries(viewOf(page.route).questions(page.route));
  page.parts = Object.fromEntries(questions.map(([name, question]) => [name, known(...question)]).filter(([, part]) => part));
  Object.assign(page, { failed: null, isServed: false, retryAt: null });
  drawAll();
  return refresh();
}

/** Asks all that the view needs, and shows what is new. */
async function refresh() {
  clearTimeout(page.timer);
  const turn = ++page.turn;
  const { route } = page;
  const view = viewOf(route);
  // What is shown may have become old while nobody looked.
  drawFrame();
  const asked = Object.entries(view.questions(route)).map(async ([name, question]) => {
    // What there is nothing of yet is shown as it comes; what there is stays until all of the new is here.
    const isMissing = !page.parts[name]?.data;
    const show = (part) => {
      if (!isMissing || turn !== page.turn || !part.data) return;
      if (isLocked()) page.problem = null;
      page.parts = { ...page.parts, [name]: part };
      drawAll();
    };
    const part = await answer(question, show);
    show(part);
    return [name, part];
  });
  const parts = Object.fromEntries(await Promise.all(asked));
  if (turn === page.turn) settle(view, parts);
}

async function answer(question, progress) {
  try {
    return await ask(...question, progress);
  } catch (problem) {
    if (problem instanceof Problem) return { problem };
    console.error(problem);
    return { problem: new Problem("unavailable", "The answer cannot be understood.", 0) };
  }
}

/** Takes the answers over; what failed for now keeps what was there before. */
function settle(view, parts) {
  const problems = Object.values(parts).map(({ problem }) => problem).filter(Boolean);
  const locked = problems.find(({ kind }) => kind === "unauthorized" || kind === "refused");
  // What is the matter with a part of a view is said there; the page works as long as the overview is answered.
  const unavailable = parts.overview.problem?.kind === "unavailable" ? parts.overview.problem : null;
  const [before, hadProblem] = [page.parts, page.problem];
  page.problem = locked ?? unavailable;
  if (locked) setToken(null);
  const kept = Object.entries(parts).map(([name, part]) => [name, part.problem?.kind === "unavailable" ? { ...before[name], problem: part.problem } : part]);
  page.parts = locked ? {} : Object.fromEntries(kept);
  page.failures = unavailable ? page.failures + 1 : 0;
  schedule();
  const isDrawn = ([name, { data, problem }]) => data === page.drawn[name]?.data && problem === page.drawn[name]?.problem;
  if (hadProblem === page.problem && Object.entries(page.parts).every(isDrawn)) {
    drawFrame();
    return;
  }
  drawAll();
  if (!locked && !page.broken) announce(view.news(before, page.parts, page.route));
}

function schedule() {
  clearTimeout(page.timer);
  page.retryAt = null;
  if (isLocked()) return;
  const pause = page.problem ? Math.max(RETRIES[Math.min(page.failures, RETRIES.length) - 1], (page.problem.retryAfter ?? 0) * 1000) : PERIOD;
  if (page.problem) page.retryAt = Date.now() + pause;
  // A page that nobody sees asks nothing; see `visibilitychange`.
  if (document.visibilityState === "visible") page.timer = setTimeout(refresh, pause);
}

/** Draws the view. Where that fails, it says so, and goes on asking: the next answer may be another one. */
function drawAll() {
  try {
    drawView();
    page.broken = null;
  } catch (error) {
    console.error(error);
    page.broken = new Problem("broken", `This page cannot show what was answered (${error.message}).`, 0);
  }
  drawFrame();
}

function drawView() {
  const { route, parts, problem } = page;
  const view = viewOf(route);
  // What the server wrote is better than nothing.
  if (page.isServed && view === overview && !parts.overview?.data && problem?.kind === "unavailable") return;
  page.isServed = false;
  page.drawn = parts;
  forgetTips();
  redraw(element("view"), isLocked() ? tokenForm(problem.kind === "refused") : view.draw(route, parts, page.back));
  if (!isLocked()) view.drawn?.(route, parts, go);
  refreshTip();
  document.title = isLocked() ? "Status" : view.headline(parts, route);
}

/** What is around the view. */
function drawFrame() {
  const { problem, broken, failed, retryAt, parts } = page;
  const isUnavailable = problem?.kind === "unavailable";
  const shown = Object.values(parts).filter(({ data }) => data);
  const answeredAt = shown.length > 0 ? Math.min(...shown.map(({ at }) => at)) : null;
  const hasData = answeredAt !== null || page.isServed;
  const isLate = answeredAt !== null && Date.now() - answeredAt > 2 * PERIOD;
  redraw(element("notice"), isUnavailable || broken ? errorNotice(isUnavailable ? problem : broken, answeredAt, retryAt, page.isServed) : null, failed && failedNotice(failed));
  element("view").classList.toggle("is-old", hasData && Boolean(isUnavailable || broken || isLate));
  element("view").classList.toggle("is-blank", isUnavailable && !hasData);
  const asOf = parts.overview?.data?.as_of;
  const text = [asOf && `As of ${instant(asOf)}`, answeredAt && `answered ${instant(answeredAt)}`].filter(Boolean).join(" · ");
  if (element("fresh").textContent !== text) element("fresh").textContent = text;
  hide(element("refresh"), isLocked());
  hide(element("forget"), !token());
}

/** Hides a button, which may have the focus. */
function hide(button, isHidden) {
  if (isHidden && button === document.activeElement) element("view").focus({ preventScroll: true });
  button.hidden = isHidden;
}

/** Said by screen readers: only what changed. */
function announce(text) {
  if (text && element("live").textContent !== text) element("live").textContent = text;
}

/** Goes to another address of this page. */
function go(address, { replace = false } = {}) {
  clearTimeout(typing);
  const before = page.route;
  const isHere = new URL(address, document.baseURI).href === location.href;
  history[replace || isHere ? "replaceState" : "pushState"](null, "", new URL(address, document.baseURI));
  page.route = current();
  const isSame = viewOf(before) === viewOf(page.route) && before.url === page.route.url && before.monitor === page.route.monitor;
  remember(before);
  enter();
  if (isSame) return;
  scrollTo(0, 0);
  element("view").focus({ preventScroll: true });
}

/** The way back from a target leads to the overview as it was. */
function remember(before) {
  if (viewOf(before) === overview) page.back = overviewOf(before);
}

function follow(event) {
  const anchor = event.target.closest?.("a[href]");
  const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (!anchor || !isPlain || event.defaultPrevented || anchor.target) return;
  if (anchor.dataset.download) {
    event.preventDefault();
    download(anchor);
    return;
  }
  const url = new URL(anchor.href, document.baseURI);
  if (url.origin !== location.origin || url.pathname !== new URL("./", document.baseURI).pathname || url.hash) return;
  event.preventDefault();
  go(url.search || "./");
}

/** A link that takes a header: the answer is fetched, and offered as a file. */
async function download(anchor) {
  const name = anchor.dataset.download;
  try {
    const url = URL.createObjectURL(await bytes(anchor.getAttribute("href"), anchor.dataset.accept));
    const link = document.createElement("a");
    Object.assign(link, { href: url, download: name });
    link.dispatchEvent(new MouseEvent("click"));
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
    page.failed = null;
    announce(`${name} is downloaded`);
  } catch (problem) {
    page.failed = `There is no ${name}: ${problem.message}`;
  }
  drawFrame();
}

let typing = 0;

function filter(form, replace) {
  const values = Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, value || undefined]));
  if (values.sort === "state") values.sort = undefined;
  const address = link(page.route, { ...values, rows: undefined });
  if (address === link(page.route)) return;
  go(address, { replace });
  announce(document.querySelector(".found")?.firstChild?.textContent ?? "");
}

function submit(event) {
  const { target } = event;
  event.preventDefault();
  if (target.matches("[data-token]")) {
    setToken(new FormData(target).get("token").trim().replace(/[^\x21-\x7e]/g, "?")); // a header takes no others
    refresh();
  } else if (target.matches("[data-filters]")) {
    filter(target, false);
  } else if (target.matches("[data-zoom]")) {
    monitor.zoomTo(page.route, new FormData(target), go);
  }
}

/** A page that waits for a token has nothing to ask. */
function wake() {
  if (!isLocked()) refresh();
}

function start() {
  listen();
  document.addEventListener("click", follow);
  document.addEventListener("submit", submit);
  document.addEventListener("change", ({ target }) => {
    if (target.closest("[data-filters]")) filter(target.form, target.name === "q");
    else if (target.closest("[data-bucket]")) go(link(page.route, { bucket: target.value || undefined }));
  });
  document.addEventListener("input", ({ target }) => {
    if (target.name !== "q") return;
    clearTimeout(typing);
    typing = setTimeout(() => filter(target.form, true), TYPING);
  });
  document.addEventListener("click", ({ target }) => target.closest?.("#refresh, [data-act=refresh]") && refresh());
  element("forget").addEventListener("click", () => {
    setToken(null);
    page.parts = {};
    drawAll();
    refresh();
  });
  document.addEventListener("visibilitychange", () => (document.visibilityState === "visible" ? wake() : clearTimeout(page.timer)));
  addEventListener("online", wake);
  addEventListener("popstate", () => {
    clearTimeout(typing);
    const before = page.route;
    page.route = current();
    remember(before);
    enter();
  });
  // The server's rows are those of all targets, in an order of its own.
  const isPlain = viewOf(page.route) === overview && !hasFilter(page.route) && !page.route.sort;
  page.isServed = isPlain && document.querySelector("#view tr[data-key]") !== null;
  if (page.isServed) refresh();
  else enter();
}

start();
