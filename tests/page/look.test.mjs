// How each view and state looks: accessible in light and dark, and no wider than a phone. With screenshots where asked for.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { addressOf, checkAccessibility, checkWidth, launch, open, secret, server, shot, withPage } from "./browser.mjs";

// What a view may have on the console: that the browser did not get something, where that is what the view is of.
const EXPECTED = { down: /503/, unauthorized: /401/, "wrong-token": /401/, "with-token": /401/, old: /ERR_INTERNET_DISCONNECTED/, bad: /400/ };
const WIDTHS = { wide: { width: 1280, height: 900 }, narrow: { width: 1024, height: 800 }, phone: { width: 360, height: 740 } };
let browser;
before(async () => { browser = await launch(); });
after(() => browser?.close());

const target = (name, ready = "[data-key=failures] .calm, [data-key=failures] table") => async (page) => {
  await open(page, server("PAGE_URL"));
  await page.goto(await addressOf(page, name));
  await page.waitForSelector("#chart-latency[data-drawn]");
  for (const selector of [ready, ".phases tr, [data-key=phases] .calm", "[data-key=locations] tbody tr"]) await page.waitForSelector(selector);
};

const VIEWS = {
  overview: (page) => open(page, server("PAGE_URL")),
  popover: async (page) => {
    await open(page, server("PAGE_URL"));
    await page.locator("tr[data-target=checkout] .c-latency .figure").nth(1).click();
    await page.waitForSelector("#tip:popover-open");
  },
  "monitor-up": target("shop"),
  "monitor-down": target("api"),
  "monitor-degraded": target("checkout"),
  "monitor-gap": target("docs"),
  "monitor-stale": target("legacy"),
  "monitor-fresh": target("fresh"),
  "monitor-slowly": target("slowly"),
  "monitor-gone": async (page) => {
    await open(page, server("PAGE_URL"));
    await page.goto(await addressOf(page, "gone"));
    for (const section of ["latency", "phases", "coverage", "locations", "failures"]) await page.waitForSelector(`[data-key=${section}] .calm`);
  },
  "monitor-month": async (page) => {
    await target("shop")(page);
    await page.click(".presets a:text-is('30d')");
    await page.waitForSelector(".presets a[aria-current]:text-is('30d')");
    await page.waitForSelector(".figures .figure");
    await page.waitForSelector("[data-key=failures] .calm, [data-key=failures] table");
  },
  "no-match": async (page) => { await page.goto(`${server("PAGE_URL")}?q=nothing`); await page.waitForSelector(".blank[data-kind=no-match]"); },
  unknown: async (page) => { await page.goto(`${server("PAGE_URL")}?url=https%3A%2F%2Fnowhere.example%2F`); await page.waitForSelector(".blank[data-kind=unknown]"); },
  empty: async (page) => { await page.goto(server("PAGE_EMPTY_URL")); await page.waitForSelector(".blank[data-kind=empty]"); },
  down: async (page) => { await page.goto(server("PAGE_DOWN_URL")); await page.waitForSelector("#notice .notice[data-kind=error]"); },
  unauthorized: async (page) => { await page.goto(server("PAGE_TOKEN_URL")); await page.waitForSelector("form[data-kind=unauthorized]"); },
  "wrong-token": async (page) => {
    await page.goto(server("PAGE_TOKEN_URL"));
    await page.fill("input[name=token]", "not-a-token-of-anybody");
    await page.press("input[name=token]", "Enter");
    await page.waitForSelector("form[data-kind=refused]");
  },
  "with-token": async (page) => {
    await page.goto(server("PAGE_TOKEN_URL"));
    await page.fill("input[name=token]", secret("PAGE_SCOPED_TOKEN"));
    await page.press("input[name=token]", "Enter");
    await page.waitForSelector("tr[data-target=shop]");
  },
  old: async (page, context) => {
    await open(page, server("PAGE_URL"));
    await context.setOffline(true);
    await page.click("#refresh");
    await page.waitForSelector("#notice .notice[data-kind=error]");
  },
  bad: async (page) => { await target("shop")(page); await page.goto(`${page.url()}&window=soon`); await page.waitForSelector(".notice[data-kind=bad]"); },
};

for (const [name, go] of Object.entries(VIEWS)) {
  for (const colorScheme of ["light", "dark"]) {
    test(`${name}, ${colorScheme}`, () => withPage(browser, { expected: EXPECTED[name], colorScheme, viewport: WIDTHS.wide }, async (page, context) => {
      await go(page, context);
      await shot(page, `${name}-${colorScheme}`);
      await checkAccessibility(page, `${name}, ${colorScheme}`);
      await checkWidth(page, name);
    }));
  }
  test(`${name} on a phone`, () => withPage(browser, { expected: EXPECTED[name], viewport: WIDTHS.phone, hasTouch: true, isMobile: true }, async (page, context) => {
    await go(page, context);
    await shot(page, `${name}-phone`);
    await checkWidth(page, name);
    await checkAccessibility(page, `${name} on a phone`);
  }));
}

for (const name of ["overview", "monitor-down"]) {
  test(`${name} on a small screen`, () => withPage(browser, { viewport: WIDTHS.narrow }, async (page, context) => {
    await VIEWS[name](page, context);
    await shot(page, `${name}-narrow`);
    await checkWidth(page, name);
  }));
}

test("while it loads", () => withPage(browser, {}, async (page) => {
  let release;
  const held = new Promise((resolve) => { release = resolve; });
  await page.route(/\/overview(\?|$)/, async (route) => { await held; await route.continue().catch(() => {}); });
  await page.goto(`${server("PAGE_EMPTY_URL")}`);
  await page.waitForSelector(".skeleton-row");
  await shot(page, "loading");
  await checkAccessibility(page, "loading");
  release();
  await page.waitForSelector(".blank[data-kind=empty]");
}));

test("without script", () => withPage(browser, { javaScriptEnabled: false }, async (page) => {
  await page.goto(server("PAGE_URL"));
  await shot(page, "no-script");
  const rows = await page.locator("tr[data-target]").count();
  assert.ok(rows >= 10, `${rows} rows`);
  assert.equal(await page.locator("tr[data-target] .state").count(), rows);
  assert.equal(await page.locator("#view a.name:is([href^='?url='], [href^='?monitor='])").count(), rows);
}));
