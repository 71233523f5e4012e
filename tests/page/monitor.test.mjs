// One target: figures over time, what they are made of, and the window that is looked at.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { addressOf, answerOtherwise, latencyPixels, launch, open, pixels, row, server, until, withPage } from "./browser.mjs";

const URL_ = server("PAGE_URL");
let browser;
before(async () => { browser = await launch(); });
after(() => browser?.close());

const at = (name, run, options = {}, more = "") => withPage(browser, options, async (page, context) => {
  await open(page, URL_);
  await page.goto(`${await addressOf(page, name)}${more}`);
  await page.waitForSelector("#chart-latency[data-drawn]");
  await run(page, context);
});

test("has a state by location, and why it is so", () => at("api", async (page) => {
  assert.equal(await page.locator(".title .state").textContent(), "down");
  assert.match(await page.locator(".places li").first().textContent(), /down.*status 503.*assertion/);
  assert.match(await page.locator(".now").textContent(), /for \d+ (min|h)/);
  assert.match(await page.locator("[data-key=failures] tbody tr").first().textContent(), /503/);
}));

test("of three locations, all are there, and that one is silent is said", () => at("shop", async (page) => {
  assert.equal(await page.locator(".places li").count(), 3);
  assert.equal(await page.locator(".title .silent").textContent(), "1 of 3 locations silent");
  assert.match(await page.locator(".places li[data-location=ap-south-1]").textContent(), /stale.*last probe \d+ (min|h) ago/);
  await page.waitForSelector("[data-key=locations] tbody tr");
  assert.deepEqual(await page.$$eval("[data-key=locations] tbody th", (cells) => cells.map((cell) => cell.textContent)), ["ap-south-1", "eu-central-1", "us-east-1"]);
}));

test("charts are drawn, and are there as tables and text", () => at("api", async (page) => {
  for (const line of ["--p50", "--p95", "--p99"]) await until(line, async () => (await pixels(page, "#chart-latency", line)) > 200);
  await until("bars", async () => (await pixels(page, "#chart-statuses", "--up")) > 500);
  await until("errors", async () => (await pixels(page, "#chart-errors", "--red")) > 100);
  assert.match(await page.locator("#chart-latency").getAttribute("aria-label"), /p50 between .* p95 at most/);
  await page.locator("[data-key=table-latency] summary").click();
  assert.ok(await page.locator("[data-key=table-latency] tbody tr").count() > 100);
}));

test("where nothing is known, the chart has a gap", () => at("docs", async (page) => {
  const hours = (from, to) => latencyPixels(page, 1 - from / 24, 1 - to / 24);
  await until("lines", async () => (await hours(24, 15)) > 100 && (await hours(7, 0)) > 100);
  assert.equal(await hours(13, 9), 0);
}));

test("of a long interval, buckets without a slot are no gaps", () => at("slowly", async (page) => {
  for (let part = 0; part < 10; part += 1) {
    await until(`part ${part}`, async () => (await latencyPixels(page, part / 10, (part + 1) / 10)) > 20);
  }
  assert.match(await page.locator("#chart-latency").getAttribute("aria-label"), / [0-3] of 1\d\d buckets without a response/);
}, {}, "&bucket=5m"));

test("the bucket is no shorter than the interval, where that is known", () => withPage(browser, {}, async (page) => {
  await open(page, URL_);
  const asked = page.waitForRequest((request) => request.url().includes("bucket="));
  await row(page, "slowly").locator("a.name").click();
  assert.match((await asked).url(), /bucket=1h/);
  await page.waitForSelector("#chart-latency[data-drawn]");
}));

test("a response between gaps is a point", () => withPage(browser, {}, async (page) => {
  await open(page, URL_);
  const address = await addressOf(page, "api");
  await answerOtherwise(page, /bucket=/, ({ stats: [{ series }] }) => series.forEach((bucket, index) => {
    if (index !== 100) Object.assign(bucket, { p50_ms: null, p95_ms: null, p99_ms: null });
  }));
  await page.goto(address);
  await page.waitForSelector("#chart-latency[data-drawn]");
  await until("a point", async () => (await latencyPixels(page)) > 4);
}));

test("the legend leaves nothing out", () => at("api", async (page) => {
  await until("bars", async () => (await pixels(page, "#chart-statuses", "--up")) > 500);
  const before = await pixels(page, "#chart-statuses", "--up");
  const box = await page.locator("#chart-statuses .u-legend th", { hasText: "2xx" }).boundingBox();
  await page.mouse.click(box.x + 5, box.y + 5);
  await page.mouse.move(0, 0);
  await page.waitForTimeout(200);
  assert.equal(await pixels(page, "#chart-statuses", "--up"), before);
}));

test("dragging over the chart zooms, and back leads back", () => at("shop", async (page) => {
  const box = await page.locator("#chart-latency .u-over").boundingBox();
  await page.mouse.move(box.x + box.width * 0.4, box.y + 40);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.6, box.y + 60, { steps: 5 });
  await page.mouse.up();
  await until("from and to", async () => new URL(page.url()).searchParams.has("from"));
  const query = new URL(page.url()).searchParams;
  const hours = (Date.parse(query.get("to")) - Date.parse(query.get("from"))) / 3_600_000;
  assert.ok(hours > 4 && hours < 5.7, `${hours} h of 24`);
  await page.waitForSelector(".ends summary:not(:text-is('Other ends'))");
  assert.equal(await page.locator(".presets a[aria-current]").count(), 0);
  await page.goBack();
  await page.waitForSelector(".presets a[aria-current]:text-is('24h')");
}));

test("the window can be changed without a mouse", () => at("shop", async (page) => {
  await page.getByRole("link", { name: "Zoom out" }).press("Enter");
  await until("two days", async () => {
    const query = new URL(page.url()).searchParams;
    assert.ok(Date.parse(query.get("to")) <= Date.now(), "a window never ends in the future");
    return Math.abs(Date.parse(query.get("to")) - Date.parse(query.get("from")) - 48 * 3_600_000) <= 120_000;
  });
  await page.locator(".ends summary").click();
  await page.fill("input[name=from]", "2026-01-01T00:00");
  const to = await page.inputValue("input[name=to]");
  await page.fill("input[name=from]", new Date(Date.parse(`${to}Z`) - 3_600_000).toISOString().slice(0, 16));
  await page.click(".ends button");
  await until("an hour", async () => {
    const query = new URL(page.url()).searchParams;
    return Date.parse(query.get("to")) - Date.parse(query.get("from")) === 3_600_000;
  });
}));

for (const window of ["1h", "6h", "7d", "30d", "90d"]) {
  test(`the last ${window}`, () => at("shop", async (page) => {
    const answered = page.waitForResponse((response) => response.url().includes("bucket=") && response.url().includes(`window=${window}`));
    await page.click(`.presets a:text-is('${window}')`);
    const answer = await answered;
    assert.equal(answer.status(), 200);
    assert.match(answer.url(), { "1h": /bucket=1m/, "6h": /bucket=5m/, "7d": /bucket=1h/, "30d": /bucket=1d/, "90d": /bucket=1d/ }[window]);
    await page.waitForSelector(".figures .figure");
    await until("drawn", async () => (await latencyPixels(page)) > 100);
  }));
}

test("the bucket can be chosen", () => at("shop", async (page) => {
  const answered = page.waitForResponse((response) => response.url().includes("bucket=1h"));
  await page.selectOption("select[data-bucket]", "1h");
  assert.equal((await answered).status(), 200);
  assert.equal(new URL(page.url()).searchParams.get("bucket"), "1h");
}));

test("says which phase moved most", () => at("checkout", async (page) => {
  await page.waitForSelector(".finding");
  assert.match(await page.locator(".finding").textContent(), /^(DNS|Connect|TLS|First byte|Download) moved most: .* → .* of the mean request \(\+\d.* %\)\./);
  assert.ok(await page.locator(".phases tbody tr").count() >= 1);
  await page.locator(".phases tbody .figure").first().hover();
  await page.waitForSelector("#tip:popover-open");
  assert.match(await page.locator("#tip").textContent(), /requests in which the phase happened/);
}));

test("too few are no percentile here either", () => at("fresh", async (page) => {
  assert.match(await page.locator(".figures").textContent(), /too few: \d+\sof\s368/);
}));

test("a target that nobody knows is said to be unknown", () => withPage(browser, {}, async (page) => {
  await page.goto(`${URL_}?url=https%3A%2F%2Fnowhere.example%2F&monitor=nowhere`);
  await page.waitForSelector(".blank[data-kind=unknown]");
}));

test("a window that makes no sense is told", () => withPage(browser, { expected: /400/ }, async (page) => {
  await open(page, URL_);
  const address = await addressOf(page, "shop");
  for (const window of ["window=soon", "window=999999999d"]) {
    await page.goto(`${address}&${window}`);
    await page.waitForSelector(".notice[data-kind=bad]");
    assert.equal(await page.locator("#view .skeleton").count(), 0, window);
  }
  // An end without a beginning is none.
  await page.goto(`${address}&from=2026-01-01T00:00:00Z`);
  await page.waitForSelector(".presets a[aria-current]:text-is('24h')");
  await page.waitForSelector("#chart-latency[data-drawn]");
}));

test("zooms in twice without a mouse", () => at("shop", async (page) => {
  const hours = () => {
    const query = new URL(page.url()).searchParams;
    return Math.round((Date.parse(query.get("to")) - Date.parse(query.get("from"))) / 3_600_000);
  };
  await page.getByRole("link", { name: "Zoom in" }).focus();
  await page.keyboard.press("Enter");
  await until("half a day", async () => hours() === 12);
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Zoom in");
  await page.keyboard.press("Enter");
  await until("a quarter", async () => hours() === 6);
}));

test("what is typed stays while new data comes", () => at("shop", async (page) => {
  await page.locator(".ends summary").click();
  await page.fill("input[name=from]", "2026-01-01T00:00");
  await page.focus("input[name=to]");
  await page.evaluate(() => document.getElementById("refresh").click());
  await page.waitForTimeout(1_500);
  assert.equal(await page.inputValue("input[name=from]"), "2026-01-01T00:00");
}));

test("the window ends where the server's clock is, not that of the browser", () => withPage(browser, {}, async (page) => {
  await page.clock.setSystemTime(Date.now() + 5 * 86_400_000);
  await open(page, URL_);
  const { as_of: asOf } = await (await fetch(new URL("overview", URL_))).json();
  await page.goto(await addressOf(page, "shop"));
  await page.waitForSelector("input[name=to]", { state: "attached" });
  const ahead = Date.parse(`${await page.inputValue("input[name=to]")}Z`) - Date.parse(asOf);
  assert.ok(ahead >= 0 && ahead <= 120_000, `${ahead} ms`);
  assert.match(await page.locator("#fresh").textContent(), /As of .* answered /);
}));

test("a target that is silent for more than a day says so, and nothing waits", () => withPage(browser, {}, async (page) => {
  await open(page, URL_);
  await page.goto(await addressOf(page, "gone"));
  for (const section of ["latency", "outcomes", "phases", "coverage", "locations"]) {
    assert.equal(await page.locator(`[data-key=${section}] .calm`).textContent(), "Nothing was probed in this window.");
  }
  assert.match(await page.locator("[data-key=now]").textContent(), /No location probed it in the last 24 hours/);
  for (const figure of await page.locator(".about .figure").all()) await figure.hover();
}));

test("an attempt that was made again is no verdict", () => withPage(browser, {}, async (page) => {
  await open(page, URL_);
  const address = await addressOf(page, "api");
  await answerOtherwise(page, /failures\?/, ({ failures }) => { Object.assign(failures[0], { attempt: 1, retried: true }); });
  await page.goto(address);
  const first = page.locator(".failures tbody tr").first();
  assert.match(await first.textContent(), /failed, retried.*\(attempt 1, tried again\)/);
  assert.equal(await first.locator(".state").count(), 0);
}));

test("the view can be had as JSON, CSV and badge", () => at("shop", async (page) => {
  for (const [name, suffix] of [["JSON", /\.json$/], ["CSV", /\.csv$/], ["badge", /\.svg$/]]) {
    const [file] = await Promise.all([page.waitForEvent("download"), page.locator(".links a", { hasText: name }).first().click()]);
    assert.match(file.suggestedFilename(), suffix);
  }
}));
