// Which targets are shown, and in which order.

import { find, shown } from "./figure.js";

const STATES = ["down", "stale", "degraded", "up"];

const FIGURES = {
  state: (target) => STATES.indexOf(target.state),
  name: nameOf,
  uptime24h: (target) => target.windows[0]?.uptime?.by_probes,
  uptime: (target) => target.windows[2]?.uptime?.by_probes,
  uptime7d: (target) => target.windows[1]?.uptime?.by_probes,
  uptime90d: (target) => target.windows[3]?.uptime?.by_probes,
  p50: (target) => shown(find(target.latency, 50)),
  p95: (target) => shown(find(target.latency, 95)),
  p99: (target) => shown(find(target.latency, 99)),
  certificate: (target) => (target.certificate_expires_at ? Date.parse(target.certificate_expires_at) : null),
};

export { STATES };

const SORTS = [
  ["state", "State, worst first"], ["name", "Name"], ["uptime", "Uptime, worst first"], ["-p95", "p95, slowest first"],
  ["p95", "p95, fastest first"], ["certificate", "Certificate, soonest first"],
];

const COLUMNS = { uptime24h: "Uptime of 24 h", uptime7d: "Uptime of 7 d", uptime: "Uptime of 30 d", uptime90d: "Uptime of 90 d" };

/** The orders to choose from, with that of now, where it is one to which only a heading leads. */
export function sortsWith(now = "state") {
  const name = now.replace(/^-/, "");
  if (!Object.hasOwn(FIGURES, name) || SORTS.some(([sort]) => sort === now)) return SORTS;
  const text = COLUMNS[name] ?? name[0].toUpperCase() + name.slice(1);
  return [...SORTS, [now, `${text}, ${now.startsWith("-") ? "falling" : "rising"}`]];
}

export function nameOf(target) {
  return target.monitor ?? target.url;
}

/** How many locations have gone silent while others go on; 0 where the target itself is stale. */
export function silent(target) {
  return target.state === "stale" ? 0 : target.locations.filter(({ state }) => state === "stale").length;
}

/** Those of the targets that the route asks for, in its order. */
export function pick(targets, route) {
  const words = (route.q ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const isAsked = (target) => (!route.tag || target.tags.includes(route.tag))
    && (!route.state || target.state === route.state)
    && (!route.location || target.locations.some((at) => locationName(at.location) === route.location))
    && words.every((word) => text(target).includes(word));
  return sorted(targets.filter(isAsked), route.sort ?? "state");
}

export function hasFilter(route) {
  return Boolean(route.tag || route.location || route.state || route.q);
}

export function locationName(name) {
  return name === "" ? "unnamed" : name;
}

/** Each value once, in order. */
export function distinct(values) {
  return [...new Set(values)].sort((one, other) => one.localeCompare(other, "en"));
}

function text(target) {
  return [target.monitor ?? "", target.url, ...target.tags].join("\n").toLowerCase();
}

function sorted(targets, sort) {
  const isFalling = sort.startsWith("-");
  const name = sort.replace(/^-/, "");
  const figure = Object.hasOwn(FIGURES, name) ? FIGURES[name] : FIGURES.state;
  const byName = (one, other) => nameOf(one).localeCompare(nameOf(other), "en") || one.url.localeCompare(other.url, "en");
  return [...targets].sort((one, other) => {
    const [a, b] = [figure(one), figure(other)];
    const [isNoA, isNoB] = [a === null || a === undefined, b === null || b === undefined];
    // What has no figure comes last, either way.
    if (isNoA || isNoB) return isNoA - isNoB || byName(one, other);
    const order = typeof a === "string" ? a.localeCompare(b, "en") : a - b;
    return (isFalling ? -order : order) || byName(one, other);
  });
}
