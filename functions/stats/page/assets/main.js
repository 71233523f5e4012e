// The page: which view, when to ask, and what to do where there is no answer.

import { Problem, ask, bytes, known, setToken, token } from "./api.js";
import { redraw } from "./dom.js";
import { clock } from "./format.js";
import { errorNotice, tokenForm } from "./notice.js";
import * as overview from "./overview.js";
import * as monitor from "./monitor.js";
import { forgetTips, listen, refreshTip } from "./popover.js";
import { current, link, overviewOf } from "./route.js";

const PERIOD = 30_000;
const RETRIES = [5_000, 10_000, 20_000, 30_000];
const TYPING = 250;

const element = (id) => document.getElementById(id);
const page = { route: current(), parts: {}, problem: null, answeredAt: null, retryAt: null, failures: 0, turn: 0, timer: 0, back: {} };

function viewOf(route) {
  return route.url || route.monitor ? monitor : overview;
}

/** Shows a view: at once what is known of it, then what the server says. */
function enter(isSame) {
  const view = viewOf(page.route);
  page.parts = {};
  for (const [name, question] of Object.entries(view.questions(page.route))) {
    const data = known(...question);
    if (data) page.parts[name] = { data };
  }
  if (!isSame || page.problem?.kind === "bad") page.problem = null;
  drawAll();
  return refresh();
}

/** Asks all that the view needs, and shows what is new. */
async function refresh() {
  clearTimeout(page.timer);
  const turn = ++page.turn;
  const { route } = page;
  const view = viewOf(route);
  const isFirst = Object.keys(page.parts).length === 0;
  const asked = Object.entries(view.questions(route)).map(async ([name, question]) => {
    const part = await answer(question);
    if (isFirst && turn === page.turn && part.data) {
      page.parts = { ...page.parts, [name]: part };
      drawAll();
    }
    return [name, part];
  });
  const parts = Object.fromEntries(await Promise.all(asked));
  if (turn !== page.turn) return;
  settle(view, parts);
}

async function answer(question) {
  try {
    return await ask(...question);
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    return { problem };
  }
}

/** Takes the answers over; what failed for now keeps what was there before. */
function settle(view, parts) {
  const all = Object.values(parts);
  const problems = all.map(({ problem }) => problem).filter(Boolean);
  const locked = problems.find(({ kind }) => kind === "unauthorized" || kind === "refused");
  // What is the matter with a part of a view is said there; the page works as long as the overview is answered.
  const unavailable = parts.overview.problem?.kind === "unavailable" ? parts.overview.problem : null;
  const before = page.parts;
  const hadProblem = page.problem;
  page.problem = locked ?? unavailable ?? null;
  if (locked) {
    setToken(null);
    page.parts = {};
  } else {
    const kept = Object.entries(parts).map(([name, part]) => [name, part.problem?.kind === "unavailable" ? { data: before[name]?.data, problem: part.problem } : part]);
    page.parts = Object.fromEntries(kept);
  }
  if (!page.problem) page.answeredAt = Date.now();
  page.failures = unavailable ? page.failures + 1 : 0;
  schedule();
  const isNew = problems.length > 0 || hadProblem || all.some(({ changed }) => changed);
  if (isNew) {
    drawAll();
    announce(view.news(before, page.parts));
  } else {
    drawFrame();
  }
}

function schedule() {
  clearTimeout(page.timer);
  page.retryAt = null;
  const isLocked = page.problem && page.problem.kind !== "unavailable";
  if (isLocked) return;
  const pause = page.problem ? Math.max(RETRIES[Math.min(page.failures, RETRIES.length) - 1], (page.problem.retryAfter ?? 0) * 1000) : PERIOD;
  if (page.problem) page.retryAt = Date.now() + pause;
  // A page that nobody sees asks nothing; see `visibilitychange`.
  if (document.visibilityState === "visible") page.timer = setTimeout(refresh, pause);
}

function drawAll() {
  const view = viewOf(page.route);
  const isLocked = page.problem?.kind === "unauthorized" || page.problem?.kind === "refused";
  forgetTips();
  const content = isLocked ? tokenForm(page.problem.kind === "refused") : view.draw(page.route, page.parts, page.back);
  redraw(element("view"), content);
  if (!isLocked) view.drawn?.(page.route, page.parts, go);
  refreshTip();
  document.title = isLocked ? "Status" : view.headline(page.parts, page.route);
  drawFrame();
}

/** What is around the view. */
function drawFrame() {
  const { problem, answeredAt, retryAt } = page;
  const isOld = problem?.kind === "unavailable";
  const hasData = Object.values(page.parts).some(({ data }) => data);
  redraw(element("notice"), isOld ? errorNotice(problem, hasData ? answeredAt : null, retryAt) : null);
  element("view").classList.toggle("is-old", isOld && hasData);
  element("view").classList.toggle("is-blank", isOld && !hasData);
  const text = answeredAt ? `Answered ${clock(answeredAt)}` : "";
  if (element("fresh").textContent !== text) element("fresh").textContent = text;
  element("refresh").hidden = Boolean(problem && !isOld);
  element("forget").hidden = !token();
}

/** Said by screen readers: only what changed. */
function announce(text) {
  if (text && element("live").textContent !== text) element("live").textContent = text;
}

/** Goes to another address of this page. */
function go(address, { replace = false } = {}) {
  const before = page.route;
  const isHere = new URL(address, document.baseURI).href === location.href;
  history[replace || isHere ? "replaceState" : "pushState"](null, "", new URL(address, document.baseURI));
  page.route = current();
  const isSame = viewOf(before) === viewOf(page.route) && before.url === page.route.url && before.monitor === page.route.monitor;
  remember(before);
  enter(isSame);
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
  try {
    const url = URL.createObjectURL(await bytes(anchor.getAttribute("href"), anchor.dataset.accept));
    const link = document.createElement("a");
    Object.assign(link, { href: url, download: anchor.dataset.download });
    link.dispatchEvent(new MouseEvent("click"));
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
    announce(`${anchor.dataset.download} is downloaded`);
  } catch (problem) {
    announce(`No download: ${problem.message}`);
  }
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
    Object.assign(page, { parts: {}, answeredAt: null });
    refresh();
  });
  document.addEventListener("visibilitychange", () => (document.visibilityState === "visible" ? refresh() : clearTimeout(page.timer)));
  addEventListener("online", refresh);
  addEventListener("popstate", () => {
    const before = page.route;
    page.route = current();
    remember(before);
    enter(viewOf(before) === viewOf(page.route));
  });
  enter(false);
}

start();
