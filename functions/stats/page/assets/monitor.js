// One target: its state by location, figures over time, what it spends its time on, and its last failures.

import { address } from "./api.js";
import { h, outside } from "./dom.js";
import { count, instant, many, rfc3339, share, span } from "./format.js";
import { coverageText, uptimeFigure } from "./figure.js";
import { badNotice } from "./notice.js";
import { since } from "./overview.js";
import { locationName, nameOf } from "./pick.js";
import { certificate, strip } from "./spark.js";
import { PRESETS, automaticBucket, between, bucketOf, bucketsFor, link, windowLength, windowOf } from "./route.js";
import { drawCharts, outcomesSection, latencySection } from "./series.js";
import { failuresSection, groupsSection, phasesSection } from "./parts.js";

const FAILURES = 25;

export function questions(route) {
  const target = { url: route.url, monitor: route.monitor };
  const of = { ...target, ...windowOf(route) };
  return {
    overview: ["overview", target],
    series: ["stats", { ...of, bucket: bucketOf(route) }],
    phases: ["stats", { ...of, by: "phase", compare: "previous" }],
    locations: ["stats", { ...of, by: "location", compare: "previous" }],
    failures: ["failures", { ...of, limit: FAILURES }],
  };
}

export function draw(route, parts, back) {
  const target = targetOf(route, parts);
  const name = target ? nameOf(target) : (route.monitor ?? route.url);
  const top = [
    h("p", { class: "crumb" }, h("a", { href: link(back) }, "← All targets")),
    h("div", { class: "title" }, h("h1", {}, name), target && state(target, parts.overview.data.as_of)),
  ];
  if (parts.overview?.data && !target) return [...top, unknown()];
  const problem = parts.overview?.problem?.kind === "unavailable" ? null : Object.values(parts).map((part) => part.problem).find(Boolean);
  return [
    ...top,
    target ? about(target, parts.overview.data.as_of) : h("p", { class: "skeleton" }),
    target && places(target, parts.overview.data.as_of),
    toolbar(route),
    problem && badNotice(problem),
    latencySection(route, entryOf(route, parts.series), parts.series, entryOf(route, parts.phases)?.previous),
    outcomesSection(entryOf(route, parts.series), parts.series),
    h("div", { class: "pair", "data-key": "pair" },
      phasesSection(entryOf(route, parts.phases), parts.phases),
      coverageSection(entryOf(route, parts.phases) ?? entryOf(route, parts.series), target)),
    groupsSection(entryOf(route, parts.locations), parts.locations),
    failuresSection(parts.failures),
    links(route, name),
  ];
}

export function drawn(route, parts, go) {
  const entry = entryOf(route, parts.series);
  drawCharts(entry, route, (from, to) => go(link(route, between(from, to))));
}

export function headline({ overview }, route) {
  const target = overview?.data && targetOf(route, { overview });
  return target ? `${nameOf(target)}: ${target.state} · Status` : `${route.monitor ?? route.url} · Status`;
}

export function news(before, parts) {
  const [old] = before.overview?.data?.targets ?? [];
  const [now] = parts.overview?.data?.targets ?? [];
  return old && now && old.state !== now.state ? `${nameOf(now)} is ${now.state}` : "";
}

/** To what the two fields say, in UTC. */
export function zoomTo(route, form, go) {
  const [from, to] = ["from", "to"].map((name) => Date.parse(`${form.get(name)}Z`));
  if (from < to) go(link(route, { ...between(from, to) }));
}

function targetOf(route, { overview }) {
  return overview?.data?.targets.find((target) => matches(route, target));
}

/** The figures of the target; undefined while they are not there, null where there are none. */
function entryOf(route, part) {
  if (!part?.data) return undefined;
  return part.data.stats.find((entry) => matches(route, entry)) ?? null;
}

/** A URL can be probed in the name of several monitors, or of none. */
function matches(route, { url, monitor }) {
  return (!route.url || url === route.url) && (route.monitor ? monitor === route.monitor : monitor === null);
}

function state(target, asOf) {
  return h("p", { class: "now" }, h("span", { class: "state big", "data-state": target.state }, target.state), " ", since(target, asOf));
}

function about(target, asOf) {
  const interval = target.interval_ms ? `every ${span(target.interval_ms / 1000)}` : "no schedule";
  return h("div", { class: "about" },
    h("p", {}, outside(target.url)),
    h("p", { class: "muted" }, interval, " · certificate ", certificate("certificate", target, asOf),
      target.tags.map((tag) => [" ", h("a", { class: "tag", href: link({ tag }) }, tag)])),
    h("div", { class: "periods" },
      target.windows.map((figures) => h("div", {}, h("span", { class: "label" }, `Uptime ${figures.window}`), uptimeFigure(`u ${figures.window}`, figures))),
      h("div", { class: "wide" }, h("span", { class: "label" }, "90 days"), strip("days", target, 4))));
}

function places(target, asOf) {
  return h("section", { class: "panel", "aria-labelledby": "h-now", "data-key": "now" },
    h("h2", { id: "h-now" }, "Now, by location"),
    h("ul", { class: "places" }, target.locations.map((at) => h("li", { "data-location": at.location },
      h("span", { class: "state", "data-state": at.state }, at.state),
      h("b", {}, locationName(at.location)),
      h("span", { class: "muted" }, since(at, asOf)),
      h("span", { class: "why" }, [at.status !== null && `status ${at.status}`, at.error, at.reason].filter(Boolean).join(" · ") || "no answer to speak of")))));
}

function toolbar(route) {
  const windowMs = windowLength(route);
  const chosen = route.from ? null : (route.window ?? "24h");
  const bucket = bucketsFor(windowMs).includes(route.bucket) ? route.bucket : "";
  const to = route.to ? Date.parse(route.to) : Math.floor(Date.now() / 60_000) * 60_000;
  const from = to - windowMs;
  const isKnown = Number.isFinite(from);
  const move = (text, start, end) => h("a", { class: "button", href: link(route, between(start, end)) }, text);
  const field = (name, ms) => h("label", {}, h("span", {}, name === "from" ? "From (UTC)" : "To (UTC)"),
    h("input", { type: "datetime-local", name, required: true, "data-value": rfc3339(ms).slice(0, 16), value: rfc3339(ms).slice(0, 16) }));
  return h("div", { class: "toolbar", "data-key": "toolbar" },
    h("nav", { class: "presets", "aria-label": "Window" }, PRESETS.map((preset) => h("a", {
      href: link(route, { window: preset === "24h" ? undefined : preset, from: undefined, to: undefined, bucket: undefined }),
      "aria-current": chosen === preset ? "true" : undefined }, preset))),
    h("label", { class: "inline" }, h("span", {}, "Bucket"), h("select", { "data-bucket": true, "data-value": bucket },
      h("option", { value: "" }, `automatic (${automaticBucket(windowMs)})`),
      bucketsFor(windowMs).map((value) => h("option", { value, selected: value === bucket }, value)))),
    isKnown && h("div", { class: "moves" },
      move("← Earlier", from - windowMs / 2, to - windowMs / 2), route.from && move("Later →", from + windowMs / 2, to + windowMs / 2),
      move("Zoom in", from + windowMs / 4, to - windowMs / 4), move("Zoom out", from - windowMs / 2, to + windowMs / 2)),
    isKnown && h("details", { class: "ends" }, h("summary", {}, route.from ? `${instant(from)} – ${instant(to)}` : "Other ends"),
      h("form", { "data-zoom": true }, field("from", from), field("to", to), h("button", { class: "button", type: "submit" }, "Show"))));
}

function coverageSection(entry, target) {
  const body = () => {
    const { uptime = {}, coverage = {} } = entry;
    const row = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
    return h("dl", { class: "facts" },
      row("Uptime by probes", uptimeFigure("uptime", entry)), row("Uptime by time", share(uptime.by_time, 4)),
      row("Up for", span(uptime.up_seconds)), row("Down for", span(uptime.down_seconds)),
      row("Seen", coverageText(coverage)), row("Missed", many(coverage.missed ?? 0, "slot")), row("Late", count(coverage.late ?? NaN)),
      row("Probes", `${count(entry.probes)} (${count(entry.retried)} tried again)`), row("Timeouts", count(entry.timeouts)),
      row("Counted", `${instant(entry.from)} – ${instant(entry.to)}`));
  };
  const isSeveral = target?.locations.length > 1;
  return h("section", { class: "panel", "aria-labelledby": "h-coverage", "data-key": "coverage" },
    h("h2", { id: "h-coverage" }, "Uptime and coverage"),
    entry ? body() : h("p", { class: entry === null ? "muted" : "skeleton" }, entry === null ? "Nothing was probed in this window." : ""),
    entry && isSeveral && h("p", { class: "note" }, "Times are the sums of all locations."));
}

function links(route, name) {
  const of = { url: route.url, monitor: route.monitor, ...windowOf(route) };
  const stats = address("stats", { ...of, bucket: bucketOf(route) });
  const file = `${name.replace(/[^\w.-]+/g, "-")}-${route.from ? "custom" : (route.window ?? "24h")}`;
  const badge = route.from ? null : address("badge.svg", { url: route.url, monitor: route.monitor, metric: "uptime", window: route.window ?? "24h" });
  const get = (text, href, suffix, accept) => h("a", { href, "data-download": `${file}.${suffix}`, "data-accept": accept }, text);
  return h("p", { class: "links", "data-key": "links" }, "This view as ",
    get("JSON", stats, "json", "application/json"), ", ", get("CSV", stats, "csv", "text/csv"),
    badge ? [", ", get("badge", badge, "svg", "image/svg+xml")] : ", and no badge, which takes a window that ends now", " · failures as ",
    get("JSON", address("failures", { ...of, limit: 200 }), "failures.json", "application/json"));
}

function unknown() {
  return h("section", { class: "blank", "data-kind": "unknown" }, h("h2", {}, "This target is not known"),
    h("p", {}, "Nothing was probed under this address in the last 90 days, or it is not among what may be seen here."));
}
