// What is not the usual: no data, no server, no right to see it, no script.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { addressOf, launch, names, open, row, secret, server, until, withPage } from "./browser.mjs";

let browser;
before(async () => { browser = await launch(); });
after(() => browser?.close());

const enter = async (page, token) => {
  await page.fill("input[name=token]", token);
  await page.press("input[name=token]", "Enter");
};

test("nothing was ever probed: says how to start", () => withPage(browser, {}, async (page) => {
  await page.goto(server("PAGE_EMPTY_URL"));
  await page.waitForSelector(".blank[data-kind=empty]");
  assert.match(await page.locator(".blank").textContent(), /monitors\.yaml/);
}));

test("a token lets in, is kept in the tab, and is forgotten", () => withPage(browser, { expected: /401/ }, async (page) => {
  await page.goto(server("PAGE_TOKEN_URL"));
  await page.waitForSelector("form[data-kind=unauthorized]");
  assert.equal(await page.locator("tr[data-target]").count(), 0);
  await enter(page, secret("PAGE_TOKEN"));
  await page.waitForSelector("tr[data-target=shop]");
  await page.reload();
  await page.waitForSelector("tr[data-target=shop]");
  await row(page, "shop").locator("a.name").click();
  await page.waitForSelector("#chart-latency[data-drawn]");
  const [file] = await Promise.all([page.waitForEvent("download"), page.locator(".links a", { hasText: "CSV" }).click()]);
  assert.match(file.suggestedFilename(), /\.csv$/);
  await page.click("#forget");
  await page.waitForSelector("form[data-kind=unauthorized]");
  assert.equal(await page.locator("#chart-latency").count(), 0);
  await page.reload();
  await page.waitForSelector("form[data-kind=unauthorized]");
}));

test("a wrong token is said to be wrong", () => withPage(browser, { expected: /401/ }, async (page) => {
  await page.goto(server("PAGE_TOKEN_URL"));
  await page.waitForSelector("form[data-kind=unauthorized]");
  await enter(page, "not-a-token-of-anybody");
  await page.waitForSelector("form[data-kind=refused] .wrong");
  await enter(page, "schlüssel");
  await page.waitForSelector("form[data-kind=refused] .wrong");
  await enter(page, secret("PAGE_TOKEN"));
  await page.waitForSelector("tr[data-target=shop]");
}));

test("a token for a tag shows what has the tag", () => withPage(browser, { expected: /401/ }, async (page) => {
  await page.goto(server("PAGE_TOKEN_URL"));
  await page.waitForSelector("form[data-token]");
  await enter(page, secret("PAGE_SCOPED_TOKEN"));
  await page.waitForSelector("tr[data-target=shop]");
  assert.deepEqual((await names(page)).sort(), ["docs", "fresh", "shop", "slowly"]);
}));

test("no database: says what is wrong and when it will be tried again, and tries", () => withPage(browser, { expected: /503/ }, async (page) => {
  const asked = [];
  page.on("response", (response) => { if (new URL(response.url()).pathname.endsWith("/overview")) asked.push(response.status()); });
  await page.goto(server("PAGE_DOWN_URL"));
  await page.waitForSelector("#notice .notice[data-kind=error]");
  assert.match(await page.locator("#notice").textContent(), /503.*Trying again at \d\d:\d\d:\d\d/s);
  await until("asked again", async () => asked.length >= 2);
  assert.deepEqual([...new Set(asked)], [503]);
}));

test("no network: what was there stays, marked as old, and the page recovers", () => withPage(browser, { expected: /ERR_INTERNET_DISCONNECTED/ }, async (page, context) => {
  await open(page, server("PAGE_URL"));
  const before = await names(page);
  await context.setOffline(true);
  await page.click("#refresh");
  await page.waitForSelector("#notice .notice[data-kind=error]");
  assert.match(await page.locator("#notice").textContent(), /old.*answered at \d+ \w+ \d\d:\d\d,.*Trying again at/s);
  assert.deepEqual(await names(page), before);
  assert.match(await page.locator("#view").evaluate((view) => getComputedStyle(view).filter), /grayscale/, "nothing is green");
  // The browser says so to the page, which asks at once.
  await context.setOffline(false);
  await until("recovered", async () => (await page.locator("#notice .notice").count()) === 0);
}));

test("no network in the view of a target: its figures stay", () => withPage(browser, { expected: /ERR_INTERNET_DISCONNECTED/ }, async (page, context) => {
  await open(page, server("PAGE_URL"));
  await page.goto(await addressOf(page, "shop"));
  await page.waitForSelector("#chart-latency[data-drawn]");
  await page.waitForSelector("[data-key=locations] tbody tr");
  await context.setOffline(true);
  await page.click("#refresh");
  await page.waitForSelector("#notice .notice[data-kind=error]");
  assert.equal(await page.locator("#chart-latency canvas").count(), 1);
  await context.setOffline(false);
}));

test("without script, there is a table that tells", () => withPage(browser, { javaScriptEnabled: false }, async (page) => {
  await page.goto(server("PAGE_URL"));
  assert.equal(await page.locator("noscript").isVisible(), true);
  assert.match(await row(page, "api").textContent(), /down/);
  assert.match(await row(page, "shop").textContent(), /%.*ms/s);
  assert.match(await row(page, "legacy").textContent(), /stale/);
  assert.equal(await page.locator("#refresh").isVisible(), false);
}));
