// What the page weighs, where it comes from, and under which policy it runs.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { addressOf, launch, open, server, withPage } from "./browser.mjs";

const LIMIT = 100_000;
const ASSETS = new URL("../../functions/stats/page/assets/", import.meta.url);
let browser;
before(async () => { browser = await launch(); });
after(() => browser?.close());

test("weighs under 100 KB, and comes from one place", () => withPage(browser, {}, async (page, context) => {
  const session = await context.newCDPSession(page);
  await session.send("Network.enable");
  const found = new Map();
  session.on("Network.responseReceived", ({ requestId, response }) => found.set(requestId, { url: response.url, bytes: 0 }));
  session.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => { if (found.has(requestId)) found.get(requestId).bytes = encodedDataLength; });
  await page.goto(server("PAGE_URL"), { waitUntil: "networkidle" });
  const origin = new URL(server("PAGE_URL")).origin;
  const own = [...found.values()].filter(({ url }) => !url.startsWith("data:"));
  assert.deepEqual(own.filter(({ url }) => new URL(url).origin !== origin), []);
  const isData = ({ url }) => /\/(overview|stats|failures)(\?|$)/.test(url);
  const bytes = own.filter((one) => !isData(one)).reduce((sum, one) => sum + one.bytes, 0);
  console.log(`${bytes} bytes in ${own.filter((one) => !isData(one)).length} files, ${own.filter(isData).reduce((sum, one) => sum + one.bytes, 0)} of data`);
  assert.ok(bytes > 10_000 && bytes < LIMIT, `${bytes} bytes`);
}));

test("runs under a strict policy", () => withPage(browser, {}, async (page) => {
  const response = await page.goto(server("PAGE_URL"));
  const policy = response.headers()["content-security-policy"];
  for (const part of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "require-trusted-types-for 'script'"]) assert.ok(policy.includes(part), part);
  assert.ok(!policy.includes("unsafe"));
}));

test("no text of a target becomes markup", () => withPage(browser, {}, async (page) => {
  await page.route(/\/overview(\?|$)/, async (route) => {
    const answer = await (await route.fetch({ url: new URL("overview", server("PAGE_URL")).href })).json();
    Object.assign(answer.targets[0], { monitor: "<img src=x onerror=alert(1)>", url: "javascript:alert(1)", tags: ["<b>bold</b>"] });
    await route.fulfill({ json: answer });
  });
  await open(page, server("PAGE_URL"));
  await page.waitForSelector("text=<img src=x onerror=alert(1)>");
  assert.equal(await page.locator("#view img, #view .tag b, a[href^='javascript:']").count(), 0);
  assert.equal(await page.locator(".tag", { hasText: "bold" }).textContent(), "<b>bold</b>");
  await page.goto(new URL(`?url=${encodeURIComponent("javascript:alert(1)")}&monitor=${encodeURIComponent("<img src=x onerror=alert(1)>")}`, page.url()).href);
  await page.waitForSelector(".about");
  assert.equal(await page.locator("#view img, a[href^='javascript:']").count(), 0);
}));

test("uPlot is that of npm", async () => {
  const require = createRequire(import.meta.url);
  const folder = dirname(require.resolve("uplot/package.json"));
  for (const [own, theirs] of [["uPlot.iife.min.js", "dist/uPlot.iife.min.js"], ["uPlot.min.css", "dist/uPlot.min.css"], ["uPlot.LICENSE", "LICENSE"]]) {
    assert.deepEqual(await readFile(new URL(own, ASSETS)), await readFile(join(folder, theirs)), own);
  }
});
