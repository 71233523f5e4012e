// Small drawings of a row: latency by hour, availability by day.

import { h, s } from "./dom.js";
import { DAY, count, day, duration, instant, many, share } from "./format.js";
import { facts, figure } from "./figure.js";

const WIDTH = 104;
const HEIGHT = 28;
const PAD = 2;
const STEP = 2;
const FULL = 0.9;
const SHOWN_DAYS = 8;

/** Latency by hour: p50 as a line, up to p95 as an area. An hour without a response is a gap. */
export function sparkline(name, target) {
  const { hours } = target;
  if (hours.length === 0) return h("span", { class: "muted" }, "no probe");
  const seen = hours.filter(({ p50_ms }) => p50_ms !== null);
  if (seen.length === 0) return h("span", { class: "muted" }, "no response");
  const top = Math.max(...seen.map(({ p95_ms, p50_ms }) => p95_ms ?? p50_ms));
  const x = (index) => PAD + (index * (WIDTH - 2 * PAD)) / Math.max(1, hours.length - 1);
  const y = (ms) => HEIGHT - PAD - (ms / top) * (HEIGHT - 2 * PAD);
  const gaps = hours.length - seen.length;
  const label = `p50 by hour from ${duration(Math.min(...seen.map((hour) => hour.p50_ms)))} to ${duration(Math.max(...seen.map((hour) => hour.p50_ms)))}`
    + `, p95 up to ${duration(top)}${gaps ? `, ${many(gaps, "hour")} without a response` : ""}`;
  const drawing = s("svg", { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT, "aria-hidden": "true", preserveAspectRatio: "none" },
    gapBars(hours, x),
    s("path", { class: "spark-area", d: area(hours, x, y) }),
    s("path", { class: "spark-line", d: line(hours, x, y) }));
  return figure(name, () => sparkFacts(target, seen, top, gaps), label, drawing);
}

function sparkFacts({ hours, latency }, seen, top, gaps) {
  const slowest = seen.reduce((most, hour) => ((hour.p95_ms ?? 0) > (most.p95_ms ?? 0) ? hour : most));
  return facts("Latency by hour, 24 hours", [
    ["p50", `${duration(Math.min(...seen.map((hour) => hour.p50_ms)))} – ${duration(Math.max(...seen.map((hour) => hour.p50_ms)))}`],
    ["p95 at most", `${duration(top)}, at ${instant(slowest.at)}`],
    ["Population", "responses of any status"],
    ["Sample size", `${count(latency.population_size)}, ${count(Math.round(latency.population_size / seen.length))} an hour`],
    ["Without a response", many(gaps, "hour")],
  ], "The line is p50, the area reaches up to p95. A p95 of less than 72 responses is close to the slowest of them.");
}

/** The parts of a series between its gaps. */
function runs(hours) {
  const found = [];
  let run = [];
  hours.forEach((hour, index) => {
    if (hour.p50_ms !== null) run.push([index, hour]);
    else if (run.length > 0) [, run] = [found.push(run), []];
  });
  return run.length > 0 ? [...found, run] : found;
}

function line(hours, x, y) {
  const point = ([index, hour]) => `${x(index).toFixed(1)} ${y(hour.p50_ms).toFixed(1)}`;
  // A single hour between gaps is a dot: a line of no length with round ends.
  return runs(hours).map((run) => `M${run.map(point).join("L")}${run.length === 1 ? "h0.01" : ""}`).join("");
}

function area(hours, x, y) {
  return runs(hours).filter((run) => run.length > 1).map((run) => {
    const upper = run.map(([index, hour]) => `${x(index).toFixed(1)} ${y(hour.p95_ms ?? hour.p50_ms).toFixed(1)}`);
    const lower = run.map(([index, hour]) => `${x(index).toFixed(1)} ${y(hour.p50_ms).toFixed(1)}`).reverse();
    return `M${[...upper, ...lower].join("L")}Z`;
  }).join("");
}

/** Where nothing is known, the ground says so. */
function gapBars(hours, x) {
  const half = (x(1) - x(0)) / 2;
  const d = hours.map(({ p50_ms }, index) => (p50_ms === null ? `M${(x(index) - half).toFixed(1)} ${HEIGHT - 1.5}h${(2 * half).toFixed(1)}` : "")).join("");
  return d && s("path", { class: "spark-gap", d });
}

/** What a day was like: `none`, `ok`, `minor`, `major` or `severe`, by the share of its slots that were down. */
export function severity({ up, degraded, down }) {
  const all = up + degraded + down;
  if (all === 0) return "none";
  const part = down / all;
  if (part === 0) return "ok";
  if (part < 0.01) return "minor";
  return part < 0.1 ? "major" : "severe";
}

const TOPS = { none: 20, ok: 8, minor: 5, major: 2, severe: 0 };

/** Availability by day. The worse, the higher, so that it does not take colours to see it. */
export function strip(name, target, step = STEP) {
  const { days } = target;
  const width = days.length * step;
  const paths = { none: "", ok: "", minor: "", major: "", severe: "", part: "" };
  days.forEach((one, index) => {
    const kind = severity(one);
    const x = index * step;
    const bar = (top, bottom) => `M${x} ${top}h${step - 0.5}V${bottom}h-${step - 0.5}z`;
    paths[kind] += bar(TOPS[kind], 22);
    if (isPartial(one)) paths.part += bar(24, 26);
  });
  const worst = days.filter((one) => one.down > 0).length;
  const empty = days.filter((one) => severity(one) === "none").length;
  const label = `${many(days.length, "day")}: ${worst} with failures, ${empty} without data`;
  const drawing = s("svg", { class: "strip", viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, "aria-hidden": "true", preserveAspectRatio: "none" },
    Object.entries(paths).filter(([, d]) => d).map(([kind, d]) => s("path", { "data-day": kind, d })));
  return figure(name, () => stripFacts(days), label, drawing);
}

function isPartial(one) {
  const seen = one.up + one.degraded + one.down;
  return seen > 0 && one.expected !== null && seen < FULL * one.expected;
}

function stripFacts(days) {
  const bad = days.filter((one) => one.down > 0);
  const worst = [...bad].sort((one, other) => downShare(other) - downShare(one)).slice(0, SHOWN_DAYS);
  const rows = worst.sort((one, other) => Date.parse(other.at) - Date.parse(one.at))
    .map((one) => [day(one.at), `${count(one.down)} of ${count(one.up + one.degraded + one.down)} down, ${share(downShare(one))}`]);
  const empty = days.filter((one) => severity(one) === "none").length;
  return facts(`Availability by day, ${many(days.length, "day")}`, [
    ["Days with failures", count(bad.length)],
    ["Degraded", many(days.reduce((sum, one) => sum + one.degraded, 0), "slot")],
    ["Days without data", count(empty)],
    ["Days seen in part", count(days.filter(isPartial).length)],
    ["Population", "slots with a verdict"],
    ["Error", "none, every slot is counted"],
    ...rows,
  ], bad.length > rows.length && `These are the ${rows.length} worst.`, "A mark below a day: less than 90 % of its slots are known.");
}

function downShare({ up, degraded, down }) {
  return down / (up + degraded + down);
}

/** What is left of a certificate. */
export function certificate(name, target, asOf) {
  const expires = target.certificate_expires_at;
  if (!expires) return h("span", { class: "muted" }, "—");
  const left = (Date.parse(expires) - Date.parse(asOf)) / DAY;
  const level = left < 0 ? "expired" : left < 14 ? "soon" : "fine";
  const text = { expired: "expired", soon: `! ${Math.floor(left)} d`, fine: `${Math.floor(left)} d` }[level];
  const build = () => facts("Certificate", [[left < 0 ? "Expired" : "Expires", instant(expires)], ["Days left", `${Math.floor(left)}`], ["As of", instant(asOf)]]);
  return figure(name, build, undefined, h("time", { class: "certificate", "data-level": level, datetime: expires }, text));
}
