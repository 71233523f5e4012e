// What the page makes of what it is answered: figures that are not the usual, parts that fail, and rows that are there before.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { addressOf, answerOtherwise, launch, names, open, row, server, show, until, withPage } from "./browser.mjs";

const URL_ = server("PAGE_URL");
const OVERVIEW = /\/overview(\?|$)/;
let browser;
before(async () => { browser = await launch(); });
after(() => browser?.close());

const problem = (status, detail) => (route) => route.fulfill({ status, contentType: "application/problem+json", json: { title: "no", status, detail } });
const percentile = (wanted, values) => ({ percentile: wanted, ms: 100, low_ms: 90, high_ms: 110, insufficient: false, with_timeouts_ms: 100, at_least_ms: null, ...values });
const BOUND = { with_timeouts_ms: null, at_least_ms: 10_000 };

/** The overview with other percentiles of `api`: each a pair of now and before. */
const latencies = (page, pairs) => answerOtherwise(page, OVERVIEW, ({ targets }) => {
  const api = targets.find(({ monitor }) => monitor === "api");
  const of = (index) => ({ population_size: 1000, exact: true, max_relative_error: 0, percentiles: [50, 95, 99].map((wanted, at) => percentile(wanted, pairs[at][index])) });
  Object.assign(api, { latency: of(0), previous: of(1) });
});

const cells = (page) => row(page, "api").locator(".c-latency .figure").evaluateAll((found) => found.map((cell) => `${cell.textContent} ${cell.querySelector(".trend")?.dataset.trend ?? ""}`));

test("a percentile that counts timeouts is compared as such", () => withPage(browser, {}, async (page) => {
  const now = { ms: 100, with_timeouts_ms: 300 };
  await latencies(page, [[BOUND, {}], [{}, BOUND], [now, {}]]);
  await open(page, URL_);
  const [p50, p95, p99] = await cells(page);
  assert.match(p50, /≥ 10\.0 s.*▲ at least \+9900 %.* worse$/);
  assert.match(p95, /100 ms.*▼ less.* better$/);
  assert.match(p99, /300 ms.*▲ \+200 %.* chance$/);
  await row(page, "api").locator(".c-latency .figure").nth(2).click();
  assert.match(await page.locator("#tip").textContent(), /With timeouts300 ms.*Of responses100 ms.*Interval, 95 %90 ms – 110 ms.*Change\+200 %, may be chance/);
}));

test("of two bounds, and of one on the wrong side, no change is said", () => withPage(browser, {}, async (page) => {
  await latencies(page, [[BOUND, BOUND], [{ ...BOUND, at_least_ms: 50 }, {}], [{ ms: 200, with_timeouts_ms: 200, low_ms: 190, high_ms: 210 }, {}]]);
  await open(page, URL_);
  const [p50, p95, p99] = await cells(page);
  assert.match(p50, /≥ 10\.0 s $/);
  assert.match(p95, /≥ 50 ms $/);
  assert.match(p99, /200 ms.*▲ \+100 %.* worse$/);
}));

test("where every request timed out, it is said how long they waited", () => withPage(browser, {}, async (page) => {
  const none = { ...BOUND, ms: null, low_ms: null, high_ms: null, insufficient: true };
  await latencies(page, [[none, {}], [none, {}], [none, {}]]);
  await open(page, URL_);
  for (const text of await cells(page)) assert.match(text, /^p\d\d ≥ 10\.0 s/);
}));

test("an interval is of responses alone, and says so", () => withPage(browser, {}, async (page) => {
  await open(page, URL_);
  const address = await addressOf(page, "api");
  await answerOtherwise(page, /bucket=/, ({ stats: [entry] }) => { entry.percentiles = [50, 95, 99].map((wanted) => percentile(wanted, wanted === 99 ? BOUND : {})); });
  await page.goto(address);
  await page.waitForSelector(".figures .figure");
  const texts = await page.locator(".figures > div").allTextContents();
  assert.match(texts[0], /90 ms – 110 ms$/);
  assert.doesNotMatch(texts[0], /alone/);
  assert.match(texts[2], /≥ 10\.0 s.*responses alone: 100 ms \(90 ms – 110 ms\)$/);
}));

test("the server's rows are taken over, not thrown away", () => withPage(browser, {}, async (page) => {
  let release;
  const held = new Promise((resolve) => { release = resolve; });
  await page.route(OVERVIEW, async (route) => { await held; await route.continue().catch(() => {}); });
  await page.goto(URL_);
  await page.waitForSelector("#view tr[data-target=shop]");
  await page.waitForFunction(() => performance.getEntriesByName(new URL("overview", document.baseURI).href).length >= 0 && document.readyState === "complete");
  await page.waitForTimeout(300);
  assert.equal(await page.locator(".skeleton-row").count(), 0);
  const handle = await page.$("#view tr[data-target=shop]");
  assert.equal(await handle.evaluate((found) => found.querySelectorAll(".figure").length), 0);
  release();
  await page.waitForSelector("#view tr[data-target=shop] .figure");
  assert.ok(await handle.evaluate((found) => found.isConnected && found.querySelector(".figure") !== null));
}));

test("the server's rows stay where the first answer fails, and are old", () => withPage(browser, { expected: /503/ }, async (page) => {
  await page.route(OVERVIEW, problem(503, "the database is away"));
  await page.goto(URL_);
  await page.waitForSelector("#notice .notice[data-kind=error]");
  assert.match(await page.locator("#notice").textContent(), /old: it came with the page/);
  assert.ok((await names(page)).length >= 10);
  assert.equal(await page.locator("#view.is-old").count(), 1);
  await page.unroute(OVERVIEW);
  await page.click("[data-act=refresh]");
  await page.waitForSelector("#view tr[data-target=shop] .figure");
  assert.equal(await page.locator("#view.is-old").count(), 0);
}));

for (const [status, kind] of [[400, "bad"], [404, "bad"], [401, "unauthorized"], [403, "unauthorized"]]) {
  test(`${status} for the overview is no reason to wait`, () => withPage(browser, { expected: new RegExp(status) }, async (page) => {
    await page.route(OVERVIEW, problem(status, "not like this"));
    await page.goto(`${URL_}?tag=shop`);
    await page.waitForSelector(`#view [data-kind=${kind}]`);
    assert.equal(await page.locator(".skeleton").count(), 0);
  }));
}

test("401 after a while takes everything away, and nothing is asked until there is a token", () => withPage(browser, { expected: /401/ }, async (page, context) => {
  await open(page, URL_);
  let asked = 0;
  await page.route(OVERVIEW, (route) => { asked += 1; return problem(401, "a token is needed")(route); });
  await page.click("#refresh");
  await page.waitForSelector("form[data-kind=unauthorized]");
  assert.equal((await names(page)).length, 0);
  assert.equal(await page.evaluate(() => document.activeElement.id), "view", "the focus is not lost");
  await show(page, "hidden");
  await show(page, "visible");
  await context.setOffline(true);
  await context.setOffline(false);
  await page.waitForTimeout(500);
  assert.equal(asked, 1);
}));

test("503 and then 200: the figures are old, and then new again", () => withPage(browser, { expected: /503/ }, async (page) => {
  await open(page, URL_);
  await page.route(OVERVIEW, problem(503, "the database is away"));
  await page.click("#refresh");
  await page.waitForSelector("#notice .notice[data-kind=error]");
  assert.equal(await page.locator("#view.is-old tr[data-target=shop]").count(), 1);
  // In another view it is old still.
  await row(page, "api").locator("a.name").click();
  await page.waitForSelector("h1:text-is('api')");
  await page.goBack();
  await page.waitForSelector("#view.is-old tr[data-target=shop]");
  assert.equal(await page.locator("#notice .notice[data-kind=error]").count(), 1);
  await page.unroute(OVERVIEW);
  await page.focus("[data-act=refresh]");
  await page.keyboard.press("Enter");
  await until("recovered", async () => (await page.locator("#notice .notice").count()) === 0);
  assert.equal(await page.locator("#view.is-old").count(), 0);
  assert.equal(await page.evaluate(() => document.activeElement.id), "view", "the focus is not lost");
}));

test("what was answered long ago is old when it is come back to", () => withPage(browser, {}, async (page) => {
  await page.clock.install();
  await open(page, URL_);
  await row(page, "api").locator("a.name").click();
  await page.waitForSelector("#chart-latency[data-drawn]");
  await show(page, "hidden");
  await page.clock.fastForward(300_000);
  let release;
  const held = new Promise((resolve) => { release = resolve; });
  await page.route(OVERVIEW, async (route) => { await held; await route.continue().catch(() => {}); });
  await page.goBack();
  await page.waitForSelector("#view.is-old tr[data-target=shop]");
  release();
  await page.waitForSelector("#view:not(.is-old) tr[data-target=shop]");
}));

test("a part that fails is old by itself", () => withPage(browser, { expected: /503/ }, async (page) => {
  await open(page, URL_);
  await page.goto(await addressOf(page, "shop"));
  for (const part of ["#chart-latency[data-drawn]", "[data-key=locations] tbody tr", ".phases tr", ".links"]) await page.waitForSelector(part);
  await page.route(/by=location/, problem(503, "too much at once"));
  await page.click("#refresh");
  await page.waitForSelector("[data-key=locations].is-old tbody tr");
  assert.match(await page.locator("[data-key=locations] [data-old]").textContent(), /As of \d+ \w+ \d\d:\d\d: .*too much at once/);
  assert.equal(await page.locator(".is-old").count(), 1);
  assert.equal(await page.locator(".notice:visible").count(), 0);
}));

test("a part that was never answered says why, and nothing waits for it", () => withPage(browser, { expected: /503/ }, async (page) => {
  await open(page, URL_);
  const address = await addressOf(page, "shop");
  await page.route(/\/stats\?/, problem(503, "too much at once"));
  await page.goto(address);
  for (const part of ["latency", "outcomes", "phases", "coverage", "locations"]) {
    await page.waitForSelector(`[data-key=${part}] :text('too much at once')`);
  }
  assert.equal(await page.locator("#view .skeleton").count(), 0);
}));

test("an answer of a question that was overtaken is shown all the same", () => withPage(browser, {}, async (page) => {
  await open(page, URL_);
  await page.goto(await addressOf(page, "shop"));
  for (const part of ["#chart-latency[data-drawn]", "[data-key=locations] tbody tr", "[data-key=failures] .calm, [data-key=failures] table"]) await page.waitForSelector(part);
  await page.waitForLoadState("networkidle");
  let release;
  const held = new Promise((resolve) => { release = resolve; });
  const stored = page.waitForResponse(OVERVIEW);
  await page.route(/\/failures/, async (route) => { await held; await route.continue().catch(() => {}); }, { times: 1 });
  await page.route(OVERVIEW, async (route) => {
    if (route.request().headers()["if-none-match"] === '"changed"') return route.fulfill({ status: 304, headers: { etag: '"changed"' } });
    const json = await (await route.fetch({ headers: {} })).json();
    json.targets[0].state = "degraded";
    return route.fulfill({ json, headers: { etag: '"changed"' } });
  });
  await page.click("#refresh");
  await (await stored).finished();
  await page.waitForTimeout(300);
  assert.equal(await page.locator(".title .state").textContent(), "up");
  await page.click("#refresh");
  await until("shown", async () => (await page.locator(".title .state").textContent()) === "degraded");
  release();
}));

test("an error in what is drawn is said, and the page goes on", () => withPage(browser, { expected: /TypeError|ReferenceError/ }, async (page) => {
  await open(page, URL_);
  await answerOtherwise(page, OVERVIEW, ({ targets }) => { targets[0].windows = null; });
  await page.click("#refresh");
  await page.waitForSelector("#notice .notice[data-kind=error]");
  assert.match(await page.locator("#notice").textContent(), /cannot show/);
  await page.unroute(OVERVIEW);
  await page.click("[data-act=refresh]");
  await until("recovered", async () => (await page.locator("#notice .notice").count()) === 0);
}));

test("several monitors of one URL are told apart", () => withPage(browser, {}, async (page) => {
  const twice = ({ targets, failures }) => {
    if (failures?.length) failures.push({ ...failures[0], monitor: null, reason: "of none" });
    const api = targets?.find(({ monitor }) => monitor === "api");
    if (api) targets.push({ ...api, monitor: null });
  };
  await open(page, URL_);
  const { targets } = await (await fetch(new URL("overview", URL_))).json();
  const address = new URL(await addressOf(page, "api"));
  await answerOtherwise(page, OVERVIEW, twice);
  await answerOtherwise(page, /\/failures/, twice);
  address.searchParams.delete("monitor");
  address.searchParams.set("url", targets.find(({ monitor }) => monitor === "api").url);
  await page.goto(address.href);
  await page.waitForSelector(".failures tbody tr");
  assert.equal(await page.locator(".failures tbody tr").count(), 1);
  assert.match(await page.locator(".failures tbody tr").textContent(), /of none/);
  // Once the other one is known.
  await page.locator(".links a:text-is('badge')").waitFor({ state: "detached" });
}));

test("a download that fails is seen", () => withPage(browser, { expected: /503/ }, async (page) => {
  await open(page, URL_);
  await page.goto(await addressOf(page, "shop"));
  await page.waitForSelector(".links a");
  await page.route(/badge/, problem(503, "no badges today"));
  await page.locator(".links a", { hasText: "badge" }).click();
  await page.waitForSelector("#notice .notice:has-text('no badges today')");
}));
