// Figures as text, each with what it is of and how much is known of it.

import { h, offScreen } from "./dom.js";
import { NONE, age, change, count, duration, instant, range, share, span, words } from "./format.js";
import { tip } from "./popover.js";

// So many values it takes for an interval with both ends, as the server reckons: max(p, 1 - p) ^ n is at most 2.5 %.
const RISK = 0.025;
const FAIR = 0.999;
const POOR = 0.99;
const COVERED = 0.98;

/** A figure that explains itself. */
export function figure(name, build, label, ...content) {
  return h("button", { type: "button", class: "figure", "data-tip": tip(name, build), "aria-label": label }, ...content);
}

/** What is in a popover: a title, facts, and a sentence where something has to be said. */
export function facts(title, rows, ...sentences) {
  const pairs = rows.filter((row) => row && row[1] !== undefined && row[1] !== null);
  return [
    h("p", { class: "tip-title" }, title),
    h("dl", {}, pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    sentences.filter(Boolean).map((text) => h("p", {}, text)),
  ];
}

export function needed(percentile) {
  const fraction = Math.max(percentile, 100 - percentile) / 100;
  return Math.ceil(Math.log(RISK) / Math.log(fraction));
}

/** What is shown of a percentile: with timeouts, since a request that took too long is no fast one. */
export function shown(percentile) {
  if (!percentile || percentile.insufficient) return null;
  return percentile.at_least_ms ?? percentile.with_timeouts_ms ?? percentile.ms;
}

export function percentileText(percentile) {
  const ms = shown(percentile);
  if (ms === null || ms === undefined) return NONE;
  return percentile.at_least_ms === null ? duration(ms) : `≥ ${duration(ms)}`;
}

export function find(latency, wanted) {
  return latency?.percentiles?.find(({ percentile }) => percentile === wanted) ?? null;
}

/** A percentile with its trend, or why there is none. */
export function percentileFigure(name, wanted, latency, previous, window = "24 hours") {
  const now = find(latency, wanted);
  const before = find(previous, wanted);
  const build = () => percentileFacts(wanted, latency, previous, window);
  const label = `p${wanted}`;
  if (!now || latency.population_size === 0) {
    return figure(name, build, undefined, offScreen(`${label} `), h("span", { class: "muted" }, NONE), offScreen(" no response"));
  }
  if (now.insufficient) {
    const few = `too few: ${count(latency.population_size)}\u00a0of\u00a0${needed(wanted)}`;
    return figure(name, build, undefined, offScreen(`${label} `), h("span", { class: "muted" }, NONE), h("small", { class: "few" }, few));
  }
  return figure(name, build, undefined, offScreen(`${label} `), percentileText(now), trend(now, before));
}

/** The change against before: one that the intervals cannot tell from chance is muted. */
export function trend(now, before) {
  const [ms, old] = [shown(now), shown(before)];
  if (!ms || !old) return h("small", { class: "trend" }, "");
  const isFlat = Math.abs(ms / old - 1) < 0.005;
  if (isFlat) return h("small", { class: "trend", "data-trend": "same" }, "=", offScreen(" as before"));
  const kind = isClear(now, before) ? (ms > old ? "worse" : "better") : "chance";
  return h("small", { class: "trend", "data-trend": kind }, h("span", { "aria-hidden": "true" }, ms > old ? "▲ " : "▼ "), change(ms, old), offScreen(" against before"));
}

function isClear(now, before) {
  return now.low_ms > before.high_ms || now.high_ms < before.low_ms;
}

function percentileFacts(wanted, latency, previous, window) {
  const now = find(latency, wanted);
  const before = find(previous, wanted);
  const size = latency?.population_size ?? 0;
  const isComparable = now && before && !now.insufficient && !before.insufficient && now.ms && before.ms;
  const timeouts = now && (now.at_least_ms !== null ? `≥ ${duration(now.at_least_ms)}` : now.with_timeouts_ms !== null && now.with_timeouts_ms !== now.ms ? duration(now.with_timeouts_ms) : null);
  return facts(
    `p${wanted}, ${window}`,
    [
      ["Of responses", now?.ms === null || !now ? NONE : duration(now.ms)],
      ["Interval, 95 %", interval(now)],
      ["With timeouts", timeouts],
      ["Population", "responses of any status"],
      ["Sample size", count(size)],
      ["Error", errorBound(latency)],
      before && ["Before", before.insufficient ? `${NONE} (${count(previous.population_size)} responses)` : `${duration(before.ms)} (${range(before.low_ms, before.high_ms)})`],
      isComparable && ["Change", `${change(now.ms, before.ms)}${isClear(now, before) ? "" : ", may be chance"}`],
    ],
    now?.insufficient && `Too few: ${count(size)} of the ${needed(wanted)} responses that a p${wanted} takes. Its value is little more than an extreme.`,
    now?.at_least_ms !== null && now && "Its rank falls among requests that timed out: it is at least this.",
  );
}

export function interval(percentile) {
  if (!percentile || percentile.low_ms === null && percentile.high_ms === null) return `${NONE} (too few)`;
  if (percentile.high_ms === null) return `from ${duration(percentile.low_ms)}, no upper end`;
  if (percentile.low_ms === null) return `up to ${duration(percentile.high_ms)}, no lower end`;
  return range(percentile.low_ms, percentile.high_ms);
}

export function errorBound(latency) {
  if (!latency || latency.exact) return "none, all are counted";
  return `within ${(Math.ceil(latency.max_relative_error * 1e4) / 100).toFixed(2)} %`;
}

/** The uptime of a window, with a mark where the window was not looked at in full. */
export function uptimeFigure(name, figures) {
  const value = figures.uptime?.by_probes;
  const covered = figures.coverage?.share;
  const isPartial = Number.isFinite(covered) && covered < COVERED;
  const level = value === null || value === undefined ? "none" : value >= FAIR ? "good" : value >= POOR ? "fair" : "poor";
  return figure(
    name, () => uptimeFacts(figures), undefined,
    h("span", { class: "uptime", "data-level": level }, share(value)),
    isPartial && h("small", { class: "part", "data-part": true }, share(covered, 0), offScreen(" seen")),
  );
}

export function uptimeFacts(figures) {
  const { uptime = {}, coverage = {} } = figures;
  const slots = figures.up + figures.degraded + figures.down;
  const isNone = uptime.by_probes === null || uptime.by_probes === undefined;
  return facts(
    figures.window && figures.window !== "custom" ? `Uptime, ${words(figures.window)}` : "Uptime",
    [
      ["By probes", share(uptime.by_probes, 4)],
      ["By time", share(uptime.by_time, 4)],
      ["Down for", Number.isFinite(uptime.down_seconds) ? span(uptime.down_seconds) : null],
      ["Population", "slots with a verdict"],
      ["Sample size", count(slots)],
      ["Up, degraded, down", `${count(figures.up)}, ${count(figures.degraded)}, ${count(figures.down)}`],
      ["Error", "none, every slot is counted"],
      ["Coverage", coverageText(coverage)],
      ["Missed, late", `${count(coverage.missed)}, ${count(coverage.late ?? NaN)}`],
      figures.from && ["From", instant(figures.from)],
      figures.to && ["To", instant(figures.to)],
    ],
    isNone && "Nothing was probed in this window.",
  );
}

export function coverageText(coverage) {
  if (!coverage || coverage.expected === null || coverage.expected === undefined) return `${count(coverage?.observed ?? 0)} slots, schedule not known`;
  return `${share(coverage.share)}: ${count(coverage.observed)} of ${count(coverage.expected)}`;
}

/** How long ago something was, as a time that machines can read. */
export function ago(at, asOf, before = "", after = " ago") {
  return h("time", { datetime: at }, `${before}${age(Date.parse(asOf) - Date.parse(at))}${after}`);
}
