// One target: figures over time, what they are made of, and the window that is looked at.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { addressOf, launch, open, server, until, withPage } from "./browser.mjs";

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

/** How many colours there are in the chart, and how many of its points are not blank. */
const ink = (page, selector) => page.locator(`${selector} canvas`).evaluate((canvas) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let drawn = 0;
  for (let index = 3; index < data.length; index += 4) drawn += data[index] > 0;
  return drawn;
});

test("has a state by location, and why it is so", () => at("api", async (page) => {
  assert.equal(await page.locator(".title .state").textContent(), "down");
  assert.match(await page.locator(".places li").first().textContent(), /down.*status 503.*assertion/);
  assert.match(await page.locator(".now").textContent(), /for \d+ (min|h)/);
  assert.match(await page.locator("[data-key=failures] tbody tr").first().textContent(), /503/);
}));

test("of two locations, both are there", () => at("shop", async (page) => {
  assert.equal(await page.locator(".places li").count(), 2);
  await page.waitForSelector("[data-key=locations] tbody tr");
  assert.deepEqual(await page.$$eval("[data-key=locations] tbody th", (cells) => cells.map((cell) => cell.textContent)), ["eu-central-1", "us-east-1"]);
}));

test("charts are drawn, and are there as tables and text", () => at("api", async (page) => {
  await until("lines", async () => (await ink(page, "#chart-latency")) > 500);
  await until("bars", async () => (await ink(page, "#chart-statuses")) > 500);
  await until("errors", async () => (await ink(page, "#chart-errors")) > 100);
  assert.match(await page.locator("#chart-latency").getAttribute("aria-label"), /p50 between .* p95 at most/);
  await page.locator("[data-key=table-latency] summary").click();
  assert.ok(await page.locator("[data-key=table-latency] tbody tr").count() > 100);
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
    await until("drawn", async () => (await ink(page, "#chart-latency")) > 300);
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
  assert.match(await page.locator(".finding").textContent(), /moved/);
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
  await page.goto(`${await addressOf(page, "shop")}&window=soon`);
  await page.waitForSelector(".notice[data-kind=bad]");
}));

test("the view can be had as JSON, CSV and badge", () => at("shop", async (page) => {
  for (const [name, suffix] of [["JSON", /\.json$/], ["CSV", /\.csv$/], ["badge", /\.svg$/]]) {
    const [file] = await Promise.all([page.waitForEvent("download"), page.locator(".links a", { hasText: name }).first().click()]);
    assert.match(file.suggestedFilename(), suffix);
  }
}));
