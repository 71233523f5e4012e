// What is looked at, as the query string says it: every view has an address of its own.

import { HOUR, DAY, MINUTE, length } from "./format.js";

const NAMES = ["tag", "location", "state", "q", "sort", "rows", "url", "monitor", "window", "from", "to", "bucket"];
const OVERVIEW = ["tag", "location", "state", "q", "sort", "rows"];
const BUCKETS = ["1m", "5m", "1h", "1d"];
// More would be refused.
const MAX_BUCKETS = 5000;
// Fewer are no course of anything.
const FEW = 6;

export const PRESETS = ["1h", "6h", "24h", "7d", "30d", "90d"];

/** The route that the address bar says; what is not there is undefined. */
export function current() {
  const query = new URLSearchParams(location.search);
  const named = NAMES.map((name) => [name, query.get(name) ?? undefined]);
  return Object.fromEntries(named.filter(([, value]) => value !== undefined && value !== ""));
}

/** The address of a route with some changes. */
export function link(route, changes = {}) {
  const query = new URLSearchParams();
  for (const name of NAMES) {
    const value = name in changes ? changes[name] : route[name];
    if (value !== undefined && value !== null && value !== "") query.set(name, value);
  }
  const text = query.toString();
  return text ? `?${text}` : "./";
}

/** What names a target: its monitor through any change of its URL, or its URL where it has no monitor. */
export function named({ url, monitor }) {
  return monitor ? { monitor } : { url };
}

/** The address of one target. */
export function targetLink(target) {
  return link(named(target));
}

/** The part of a route that the overview has. */
export function overviewOf(route) {
  return Object.fromEntries(OVERVIEW.filter((name) => route[name]).map((name) => [name, route[name]]));
}

/** Whether the window has ends of its own. */
export function hasEnds(route) {
  return Boolean(route.from && route.to);
}

/** The window of a route as the server takes it. */
export function windowOf(route) {
  return hasEnds(route) ? { from: route.from, to: route.to } : { window: route.window ?? "24h" };
}

/** How long that is, in milliseconds; NaN where the address says something else. */
export function windowLength(route) {
  if (hasEnds(route)) return Date.parse(route.to) - Date.parse(route.from);
  return length(route.window ?? "24h");
}

/** The buckets that fit into a window. */
export function bucketsFor(windowMs) {
  if (!(windowMs > 0)) return BUCKETS;
  return BUCKETS.filter((bucket) => {
    const parts = windowMs / length(bucket);
    return parts >= 1 && parts <= MAX_BUCKETS - 1;
  });
}

/** The bucket that shows a window well: some hundred of them, and none that has no probe because none was due. */
export function automaticBucket(windowMs, intervalMs = 0) {
  const fitting = windowMs <= 3 * HOUR ? "1m" : windowMs <= 2 * DAY ? "5m" : windowMs <= 15 * DAY ? "1h" : "1d";
  if (length(fitting) >= intervalMs) return fitting;
  return bucketsFor(windowMs).find((bucket) => length(bucket) >= intervalMs && windowMs / length(bucket) >= FEW) ?? fitting;
}

export function bucketOf(route, intervalMs) {
  const windowMs = windowLength(route);
  return bucketsFor(windowMs).includes(route.bucket) ? route.bucket : automaticBucket(windowMs, intervalMs);
}

/** A window of other ends, to whole minutes. */
export function between(fromMs, toMs) {
  const from = Math.floor(fromMs / MINUTE) * MINUTE;
  const to = Math.max(Math.ceil(toMs / MINUTE) * MINUTE, from + MINUTE);
  const text = (ms) => `${new Date(ms).toISOString().slice(0, 19)}Z`;
  return { from: text(from), to: text(to), window: undefined, bucket: undefined };
}
