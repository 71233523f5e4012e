// What the tests share: a browser, pages that may say nothing on their console, and waiting for what is to come.

import assert from "node:assert/strict";
import { mkdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { chromium } from "playwright-core";

const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const WAIT = 20_000;

/** The address of a server that the tests are given. */
export function server(name) {
  const url = process.env[name];
  assert.ok(url, `${name} has to be set: see README.md`);
  return url.endsWith("/") ? url : `${url}/`;
}

export function secret(name) {
  assert.ok(process.env[name], `${name} has to be set: see README.md`);
  return process.env[name];
}

export async function launch() {
  const isRoot = process.getuid?.() === 0;
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: isRoot ? ["--no-sandbox"] : [] });
}

/** Runs a test in a page of its own. What the page says on its console fails it, unless `expected` matches. */
export async function withPage(browser, options, run) {
  const { expected, ...rest } = options;
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, reducedMotion: "reduce", ...rest });
  const page = await context.newPage();
  const said = [];
  page.setDefaultTimeout(WAIT);
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && said.push(message.text()));
  page.on("pageerror", (error) => said.push(String(error.stack ?? error)));
  if (rest.javaScriptEnabled !== false) {
    await page.addInitScript(() => addEventListener("securitypolicyviolation", (event) => console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`)));
  }
  try {
    await run(page, context);
    const unexpected = said.filter((text) => !expected?.test(text));
    assert.deepEqual(unexpected, [], "the page complains");
  } finally {
    await context.close();
  }
}

/** Goes somewhere, and waits until there are figures. */
export async function open(page, url) {
  await page.goto(url);
  await page.waitForSelector("#view [data-target] .figure, #view .figures .figure, #view .blank");
}

/** What axe finds is none. */
export async function checkAccessibility(page, what) {
  // As the developer tools do: the policy of the page is about its own scripts.
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  const found = violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => `${node.target} ${node.failureSummary}`).join(" | ")}`);
  assert.deepEqual(found, [], `axe: ${what}`);
}

export async function shot(page, name) {
  const folder = process.env.PAGE_SHOTS;
  if (!folder) return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
}

/** Nothing of the page is beyond its right edge. */
export async function checkWidth(page, what) {
  const [content, visible] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  assert.ok(content <= visible, `${what}: ${content} px in ${visible} px`);
}

/** How many pixels of a chart have the colour of one of its lines or bars, from one part of its width to another. */
export function pixels(page, selector, colour, from = 0, to = 1) {
  return page.locator(selector).evaluate((chart, [name, begin, end]) => {
    const canvas = chart.querySelector("canvas");
    const over = chart.querySelector(".u-over");
    const scale = canvas.width / canvas.clientWidth;
    const wanted = getComputedStyle(document.documentElement).getPropertyValue(name).trim().slice(1).match(/../g).map((hex) => parseInt(hex, 16));
    const [x, width] = [over.offsetLeft + over.offsetWidth * begin, over.offsetWidth * (end - begin)].map((length) => Math.round(length * scale));
    // A copy, as the browser warns of canvases that are read often.
    const copy = Object.assign(document.createElement("canvas"), { width, height: canvas.height }).getContext("2d", { willReadFrequently: true });
    copy.drawImage(canvas, -x, 0);
    const { data } = copy.getImageData(0, 0, width, canvas.height);
    let found = 0;
    for (let at = 0; at < data.length; at += 4) found += data[at + 3] > 60 && wanted.every((value, index) => Math.abs(data[at + index] - value) < 30);
    return found;
  }, [colour, from, to]);
}

/** The same of all lines of latency: of a single response, one is on top of the others. */
export async function latencyPixels(page, from, to) {
  const found = await Promise.all(["--p50", "--p95", "--p99"].map((line) => pixels(page, "#chart-latency", line, from, to)));
  return found.reduce((sum, number) => sum + number, 0);
}

/** Changes what the server answers on its way to the page; `change` may say another status. */
export async function answerOtherwise(page, pattern, change) {
  await page.route(pattern, async (route) => {
    const headers = { ...route.request().headers() };
    delete headers["if-none-match"];
    const json = await (await route.fetch({ headers })).json();
    const status = change(json, route.request()) ?? 200;
    await route.fulfill({ status, json });
  });
}

/** Lets the page be seen or not. */
export function show(page, state) {
  return page.evaluate((value) => {
    Object.defineProperty(document, "visibilityState", { configurable: true, get: () => value });
    document.dispatchEvent(new Event("visibilitychange"));
  }, state);
}

/** Tries until something holds. */
export async function until(what, holds, { patience = WAIT, pause = 100 } = {}) {
  const end = Date.now() + patience;
  for (;;) {
    const found = await holds();
    if (found) return found;
    assert.ok(Date.now() < end, `never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

/** The names of the targets in the table, in their order. */
export function names(page) {
  return page.$$eval("#view tr[data-target]", (rows) => rows.map((row) => row.dataset.target));
}

export function row(page, name) {
  return page.locator(`#view tr[data-target="${name}"]`);
}

/** The address of a target, as the overview links to it. */
export async function addressOf(page, name) {
  return new URL(await row(page, name).locator("a.name").getAttribute("href"), page.url()).href;
}
