// All targets: what is shown of them, filters, order, addresses, popovers, and keeping up to date.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { addressOf, launch, names, open, row, server, show, until, withPage } from "./browser.mjs";

const URL_ = server("PAGE_URL");
const STATES = { shop: "up", api: "down", checkout: "degraded", docs: "up", legacy: "stale", gone: "stale", fresh: "up", slowly: "up" };
let browser;
before(async () => { browser = await launch(); });
after(() => browser?.close());

const opened = (run, options = {}) => withPage(browser, options, async (page, context) => {
  await open(page, URL_);
  await run(page, context);
});

test("each monitor is there, with its state in words", () => opened(async (page) => {
  for (const [name, state] of Object.entries(STATES)) {
    assert.equal(await row(page, name).locator(".state").first().textContent(), state, name);
  }
  const found = await names(page);
  for (const path of ["/fast", "/slow", "/failing", "/close"]) assert.ok(found.some((name) => name.endsWith(path)), path);
}));

test("totals are those of the rows", () => opened(async (page) => {
  // All at once: data arrives all the time.
  const [totals, rows] = await page.evaluate(() => {
    const states = ["down", "stale", "degraded", "up"];
    const count = (state) => document.querySelectorAll(`tr[data-target][data-state=${state}]`).length;
    return [states.map((state) => Number(document.querySelector(`.total[data-state=${state}]`).dataset.count)), states.map(count)];
  });
  assert.deepEqual(totals, rows);
  assert.match(await page.locator(".oldest").textContent(), /Oldest data: .*\d/);
}));

test("what is worst comes first", () => opened(async (page) => {
  const order = ["down", "stale", "degraded", "up"];
  const states = await page.$$eval("tr[data-target]", (rows) => rows.map((found) => found.dataset.state));
  assert.deepEqual(states, [...states].sort((one, other) => order.indexOf(one) - order.indexOf(other)));
}));

test("what is stale or down is not green", () => opened(async (page) => {
  const colour = (name) => row(page, name).locator(".state").first().evaluate((element) => getComputedStyle(element).color);
  const isGreen = (rgb) => { const [red, green, blue] = rgb.match(/\d+/g).map(Number); return green > red + 10 && green > blue + 10; };
  assert.ok(isGreen(await colour("shop")));
  for (const name of ["legacy", "api", "checkout"]) assert.ok(!isGreen(await colour(name)), name);
  assert.match(await row(page, "legacy").textContent(), /last probe \d+ h ago/);
}));

test("shapes differ, not only colours", () => opened(async (page) => {
  const shape = (name) => row(page, name).locator(".state").first().evaluate((element) => {
    const { clipPath, borderStyle, borderRadius } = getComputedStyle(element, "::before");
    return `${clipPath} ${borderStyle} ${borderRadius}`;
  });
  const shapes = await Promise.all(["shop", "api", "checkout", "legacy"].map(shape));
  assert.equal(new Set(shapes).size, 4);
}));

test("too few probes are no percentile", () => opened(async (page) => {
  const cells = row(page, "fresh").locator(".c-latency");
  assert.match(await cells.nth(2).textContent(), /—.*too few: \d+\sof\s368/);
}));

test("a location that has gone silent is no part of what is green", () => opened(async (page) => {
  const silent = row(page, "shop").locator(".silent");
  assert.equal(await silent.textContent(), "1 of 3 locations silent");
  const colour = (element) => getComputedStyle(element).color;
  assert.equal(await silent.evaluate(colour), await row(page, "checkout").locator(".state").evaluate(colour));
  assert.match(await page.locator(".oldest").textContent(), /1 target with a silent location/);
}));

test("a target that is new has uptimes of what there is", () => opened(async (page) => {
  assert.match(await row(page, "fresh").locator(".c-uptime").last().textContent(), /\d+ (min|h) of history/);
  assert.doesNotMatch(await row(page, "api").locator(".c-uptime").last().textContent(), /of history/);
}));

test("a target that is silent for more than a day is in every order, and explains itself", () => opened(async (page) => {
  const all = (await names(page)).sort();
  const heads = await page.$$eval("thead a", (links) => links.map((found) => found.textContent));
  assert.equal(heads.length, 10);
  for (const head of [...heads, ...heads]) {
    await page.click(`thead a:text-is('${head}')`);
    await until(head, async () => (await page.locator("th[aria-sort]").textContent()) === head);
    assert.deepEqual((await names(page)).sort(), all, head);
  }
  assert.match(await row(page, "gone").textContent(), /stale.*last probe \d+ h ago.*no probe/s);
  for (const figure of await row(page, "gone").locator(".figure").all()) {
    await figure.hover();
    await until("says what it is", async () => (await figure.getAttribute("aria-describedby")) === "tip" && page.locator("#tip .tip-title").isVisible());
  }
}));

test("an order that there is not is none", () => opened(async (page) => {
  const all = (await names(page)).length;
  for (const sort of ["__proto__", "-constructor", "uptime24h"]) {
    await open(page, `${URL_}?sort=${sort}`);
    assert.equal((await names(page)).length, all, sort);
  }
}));

test("gaps, bad days and certificates are seen", () => opened(async (page) => {
  assert.equal(await row(page, "docs").locator(".spark-gap").count(), 1);
  assert.match(await row(page, "docs").locator(".c-spark button").getAttribute("aria-label"), /without a response/);
  assert.ok(await row(page, "docs").locator(".part").count() > 0, "coverage is marked");
  assert.ok(await row(page, "shop").locator(".strip path[data-day=minor], .strip path[data-day=major], .strip path[data-day=severe]").count() > 0);
  assert.ok(await row(page, "fresh").locator(".strip path[data-day=none]").count() > 0);
  assert.equal(await row(page, "docs").locator(".certificate").getAttribute("data-level"), "soon");
  assert.match(await row(page, "docs").locator(".certificate").textContent(), /[89] d/);
}));

test("filters by tag, location, state and text, each with an address", () => opened(async (page) => {
  await page.selectOption("select[name=tag]", "public");
  await until("four of public", async () => (await names(page)).length === 4);
  assert.deepEqual((await names(page)).sort(), ["docs", "fresh", "shop", "slowly"]);
  assert.equal(new URL(page.url()).searchParams.get("tag"), "public");
  await page.selectOption("select[name=tag]", "");
  await page.selectOption("select[name=location]", "us-east-1");
  await until("shop alone", async () => (await names(page)).join() === "shop");
  await page.selectOption("select[name=location]", "");
  await page.selectOption("select[name=state]", "stale");
  await until("what is old", async () => (await names(page)).join() === "gone,legacy");
  await page.selectOption("select[name=state]", "");
  await page.fill("input[name=q]", "CHECK");
  await until("checkout alone", async () => (await names(page)).join() === "checkout");
  assert.equal(new URL(page.url()).searchParams.get("q"), "CHECK");
  assert.equal(await page.evaluate(() => document.activeElement.name), "q", "the focus stays");
  await page.fill("input[name=q]", "no such target");
  await page.waitForSelector(".blank[data-kind=no-match]");
  await page.click(".blank a");
  await until("all are back", async () => (await names(page)).length >= 10);
  assert.equal(await page.inputValue("input[name=q]"), "");
}));

test("sorts by each column, and says so", () => opened(async (page) => {
  await page.click("thead a:text-is('Target')");
  await until("by name", async () => (await page.locator("th[aria-sort=ascending]").textContent()) === "Target");
  const rising = await names(page);
  assert.deepEqual(rising, [...rising].sort((one, other) => one.localeCompare(other, "en")));
  await page.click("thead a:text-is('Target')");
  await page.waitForSelector("th[aria-sort=descending]");
  assert.deepEqual(await names(page), [...rising].reverse());
  for (const [text, sort] of [["30 d", "uptime"], ["p95", "p95"], ["Certificate", "certificate"], ["State", null]]) {
    await page.click(`thead a:text-is('${text}')`);
    await until(text, async () => (await page.locator("th[aria-sort]").textContent()) === text);
    assert.equal(new URL(page.url()).searchParams.get("sort"), sort);
  }
  await page.click("thead a:text-is('Certificate')");
  await until("docs expires first", async () => (await names(page))[0] === "docs");
}));

test("addresses lead to views, and back and forward between them", () => opened(async (page) => {
  const api = await addressOf(page, "api");
  await page.goto(`${URL_}?tag=shop&sort=-name`);
  await until("shops by name", async () => (await names(page)).join() === "shop,checkout,api");
  await row(page, "checkout").locator("a.name").click();
  await page.waitForSelector("h1:text-is('checkout')");
  assert.equal(new URL(page.url()).searchParams.get("monitor"), "checkout");
  await page.click(".presets a:text-is('7d')");
  await page.waitForSelector(".presets a[aria-current]:text-is('7d')");
  await page.goBack();
  await page.waitForSelector(".presets a[aria-current]:text-is('24h')");
  await page.goBack();
  await until("the filter is back", async () => (await names(page)).join() === "shop,checkout,api");
  await page.goForward();
  await page.waitForSelector("h1:text-is('checkout')");
  await page.click(".crumb a");
  await until("the way back keeps the filter", async () => (await names(page)).join() === "shop,checkout,api");
  await page.goto(api);
  await page.waitForSelector("h1:text-is('api')");
}));

test("links open in a new tab", () => opened(async (page, context) => {
  const [tab] = await Promise.all([context.waitForEvent("page"), row(page, "docs").locator("a.name").click({ modifiers: ["Control"] })]);
  await tab.waitForSelector("h1:text-is('docs')");
  assert.equal(await page.locator("h1").textContent(), "All targets");
}));

test("figures explain themselves on hover and focus, and Escape closes that", () => opened(async (page) => {
  const figure = row(page, "shop").locator(".c-latency .figure").nth(1);
  await figure.hover();
  await page.waitForSelector("#tip:popover-open");
  const text = await page.locator("#tip").textContent();
  for (const part of ["Population", "Sample size", "Interval, 95 %", "Error"]) assert.ok(text.includes(part), part);
  assert.equal(await figure.getAttribute("aria-describedby"), "tip");
  await page.keyboard.press("Escape");
  await until("closed", async () => !(await page.locator("#tip").isVisible()));
  await row(page, "shop").locator("a.tag").last().focus();
  await page.keyboard.press("Tab");
  await page.waitForSelector("#tip:popover-open");
  assert.match(await page.locator("#tip").textContent(), /Uptime, 24 hours.*By probes.*By time/s);
  await page.keyboard.press("Tab");
  await until("the next one", async () => /Uptime, 7 days/.test(await page.locator("#tip").textContent()));
}));

test("figures explain themselves on a tap", () => opened(async (page) => {
  await row(page, "fresh").locator(".c-latency .figure").nth(2).tap();
  await page.waitForSelector("#tip:popover-open");
  assert.match(await page.locator("#tip").textContent(), /Too few: \d+ of the 368/);
  await page.locator("h1").tap();
  await until("closed", async () => !(await page.locator("#tip").isVisible()));
}, { hasTouch: true, isMobile: true, viewport: { width: 360, height: 740 } }));

test("what did not change costs a 304, and changes nothing", () => opened(async (page) => {
  await page.evaluate(() => {
    globalThis.changes = 0;
    new MutationObserver((records) => { globalThis.changes += records.length; }).observe(document.getElementById("view"), { subtree: true, childList: true, attributes: true, characterData: true });
  });
  // Data arrives all the time: two questions in quick succession have nothing between them, sooner or later.
  await until("an answer that is not modified", async () => {
    const answered = page.waitForResponse((response) => new URL(response.url()).pathname.endsWith("/overview"));
    await page.evaluate(() => { globalThis.changes = 0; });
    await page.click("#refresh");
    const status = (await answered).status();
    // Time to draw what there is to draw.
    await page.waitForTimeout(300);
    const changes = await page.evaluate(() => globalThis.changes);
    if (status !== 304) return false;
    assert.equal(changes, 0);
    return true;
  }, { patience: 60_000, pause: 0 });
}));

test("new data appears by itself, and focus, scroll and popovers stay", { timeout: 150_000 }, () => opened(async (page) => {
  const live = row(page, "fresh").or(page.locator("tr[data-target$='/fast']")).last();
  const figure = live.locator(".c-uptime .figure").first();
  await figure.scrollIntoViewIfNeeded();
  await figure.click();
  await figure.focus();
  await page.waitForSelector("#tip:popover-open");
  const sample = () => page.locator("#tip").textContent();
  const [text, y, handle] = [await sample(), await page.evaluate(() => scrollY), await figure.elementHandle()];
  await until("another sample", async () => (await sample()) !== text, { patience: 120_000, pause: 500 });
  assert.ok(await handle.evaluate((element) => element === document.activeElement));
  assert.equal(await page.evaluate(() => scrollY), y);
  assert.ok(await page.locator("#tip").isVisible());
}, { viewport: { width: 1280, height: 500 } }));

test("the pages of a long answer are put together", () => withPage(browser, {}, async (page) => {
  await page.route(/\/overview(\?|$)/, async (route) => {
    const answer = await (await route.fetch()).json();
    await route.fulfill({ json: { ...answer, targets: answer.targets.slice(0, 3), next: "more" } });
  });
  await page.route(/cursor=/, async (route) => {
    const answer = await (await route.fetch({ url: route.request().url().replace(/[?&]cursor=[^&]*/, "") })).json();
    await route.fulfill({ json: { ...answer, targets: answer.targets.slice(3) } });
  });
  await open(page, URL_);
  await until("the second page", async () => (await names(page)).length >= 10);
  const found = await names(page);
  assert.equal(new Set(found).size, found.length);
}));

test("of a long answer, the first page is shown while the others are on their way", () => withPage(browser, {}, async (page) => {
  let release;
  const held = new Promise((resolve) => { release = resolve; });
  const answer = await (await fetch(new URL("overview", URL_))).json();
  await page.route(/\/overview(\?|$)/, (route) => route.fulfill({ json: { ...answer, targets: answer.targets.slice(0, 3), next: "more" } }));
  await page.route(/cursor=/, async (route) => { await held; await route.fulfill({ json: { ...answer, targets: answer.targets.slice(3) } }); });
  await open(page, URL_);
  assert.equal((await names(page)).length, 3);
  assert.match(await page.locator("[data-key=more]").textContent(), /Only the first 3 targets/);
  assert.match(await page.locator(".oldest").textContent(), /at least 3 targets/);
  release();
  await until("all", async () => (await names(page)).length === answer.targets.length);
  assert.equal(await page.locator("[data-key=more]").count(), 0);
}));

test("a page that is not seen asks nothing, and asks when it is seen again", () => withPage(browser, {}, async (page) => {
  await page.clock.install();
  await open(page, URL_);
  await page.waitForLoadState("networkidle");
  let asked = 0;
  page.on("request", (request) => { if (request.url().endsWith("overview")) asked += 1; });
  await page.clock.fastForward(31_000);
  await until("asked by itself", async () => asked === 1);
  await page.waitForLoadState("networkidle");
  await page.waitForTimeout(300);
  await show(page, "hidden");
  await page.clock.fastForward(300_000);
  await page.waitForTimeout(300);
  assert.equal(asked, 1);
  await show(page, "visible");
  await until("asked", async () => asked === 2);
}));
