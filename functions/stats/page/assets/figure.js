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

/** What is shown of a percentile: with timeouts, since a request that took too long is no fast one. Where none got a
 * response, how long they waited is all that is known. */
export function shown(percentile) {
  if (!percentile || percentile.insufficient && percentile.ms !== null) return null;
  return percentile.at_least_ms ?? percentile.with_timeouts_ms ?? percentile.ms;
}

export function percentileText(percentile) {
  const ms = shown(percentile);
  if (ms === null || ms === undefined) return NONE;
  return percentile.at_least_ms === null ? duration(ms) : `≥ ${duration(ms)}`;
}

/** Whether timeouts make it another one than that of responses alone, which the interval is of. */
export function isCensored(percentile) {
  return percentile.at_least_ms !== null || percentile.with_timeouts_ms !== null && percentile.with_timeouts_ms !== percentile.ms;
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
  if (!now || now.ms === null && now.at_least_ms === null) {
    return figure(name, build, undefined, offScreen(`${label} `), h("span", { class: "muted" }, NONE), offScreen(" no response"));
  }
  if (now.insufficient && now.ms !== null) {
    const few = `too few: ${count(latency.population_size)}\u00a0of\u00a0${needed(wanted)}`;
    return figure(name, build, undefined, offScreen(`${label} `), h("span", { class: "muted" }, NONE), h("small", { class: "few" }, few));
  }
  return figure(name, build, undefined, offScreen(`${label} `), percentileText(now), trend(now, before));
}

/** The change against before: one that the intervals cannot tell from chance is muted. */
export function trend(now, before) {
  const { kind, isMore, text } = compared(now, before);
  if (!kind) return h("small", { class: "trend" }, "");
  if (kind === "same") return h("small", { class: "trend", "data-trend": kind }, "=", offScreen(" as before"));
  return h("small", { class: "trend", "data-trend": kind }, h("span", { "aria-hidden": "true" }, isMore ? "▲ " : "▼ "), text || offScreen("less"), offScreen(" against before"));
}

/** What can be said of now against before: nothing of two that are both "at least", nor where a bound is on the wrong side. */
function compared(now, before) {
  const [ms, old] = [shown(now), shown(before)];
  const isBound = now?.at_least_ms !== null;
  const wasBound = before?.at_least_ms !== null;
  if (!ms || !old || isBound && (wasBound || ms <= old) || wasBound && ms >= old) return {};
  const text = change(ms, old);
  if (isBound) return { kind: "worse", isMore: true, text: `at least ${text}` };
  if (wasBound) return { kind: "better", isMore: false, text: "" };
  if (Math.abs(ms / old - 1) < 0.005) return { kind: "same", isMore: false, text };
  // The intervals are of responses alone: of what counts timeouts, they say nothing.
  const isSure = !isCensored(now) && !isCensored(before) && isClear(now, before);
  return { kind: isSure ? (ms > old ? "worse" : "better") : "chance", isMore: ms > old, text };
}

/** Whether two intervals are apart. */
export function isClear(now, before) {
  const isAbove = (low, high) => low !== null && high !== null && low > high;
  return Boolean(now && before) && (isAbove(now.low_ms, before.high_ms) || isAbove(before.low_ms, now.high_ms));
}

function percentileFacts(wanted, latency, previous, window) {
  const now = find(latency, wanted);
  const before = find(previous, wanted);
  const size = latency?.population_size ?? 0;
  const { kind, text } = now && before ? compared(now, before) : {};
  return facts(
    `p${wanted}, ${window}`,
    [
      now && isCensored(now) && ["With timeouts", percentileText(now)],
      ["Of responses", duration(now?.ms ?? NaN)],
      ["Interval, 95 %", interval(now)],
      ["Population", "responses of any status"],
      ["Sample size", count(size)],
      ["Error", errorBound(latency)],
      before && ["Before", shown(before) === null ? `${NONE} (${count(previous.population_size)} responses)`
        : isCensored(before) ? `${percentileText(before)} with timeouts` : `${percentileText(before)} (${interval(before)})`],
      kind && ["Change", `${text || "less"}${kind === "chance" ? ", may be chance" : ""}`],
    ],
    now?.insufficient && now.ms !== null && `Too few: ${count(size)} of the ${needed(wanted)} responses that a p${wanted} takes. Its value is little more than an extreme.`,
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
export function uptimeFigure(name, figures, interval) {
  const value = figures.uptime?.by_probes;
  const covered = figures.coverage?.share;
  const isPartial = Number.isFinite(covered) && covered < COVERED;
  const level = value === null || value === undefined ? "none" : value >= FAIR ? "good" : value >= POOR ? "fair" : "poor";
  return figure(
    name, () => uptimeFacts(figures), undefined,
    h("span", { class: "uptime", "data-level": level }, share(value)),
    isPartial && h("small", { class: "part" }, share(covered, 0), offScreen(" seen")),
    isYoung(figures, interval ?? 0) && h("small", { class: "part" }, age(Date.parse(figures.to) - Date.parse(figures.first_probe_at)), offScreen(" of history")),
  );
}

/** Whether the first probe of a window came so late that its figures are of a shorter one; the first slot may be an interval away. */
function isYoung({ from, to, first_probe_at: first }, interval) {
  const end = Date.parse(to);
  return Boolean(first) && end - Date.parse(first) + interval < COVERED * (end - Date.parse(from));
}

export function uptimeFacts(figures) {
  const [uptime, coverage] = [figures.uptime ?? {}, figures.coverage ?? {}];
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
      ["Missed, late", `${count(coverage.missed ?? NaN)}, ${count(coverage.late ?? NaN)}`],
      figures.first_probe_at && ["First probe", instant(figures.first_probe_at)],
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
