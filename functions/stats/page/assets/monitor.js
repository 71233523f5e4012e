// One target: its state by location, figures over time, what it spends its time on, and its last failures.

import { address, known } from "./api.js";
import { h, outside } from "./dom.js";
import { count, instant, many, rfc3339, share, span } from "./format.js";
import { coverageText, uptimeFigure } from "./figure.js";
import { badNotice } from "./notice.js";
import { silence, since } from "./overview.js";
import { locationName, nameOf } from "./pick.js";
import { certificate, strip } from "./spark.js";
import { PRESETS, automaticBucket, between, bucketOf, bucketsFor, hasEnds, link, named, windowLength, windowOf } from "./route.js";
import { drawCharts, outcomesSection, latencySection, section } from "./series.js";
import { failuresSection, groupsSection, phasesSection } from "./parts.js";

const FAILURES = 25;
// Beyond this, an instant is none.
const LAST = 8e15;
// What interval was known when a view was entered. It stays as it was then: a chart does not change its buckets by itself.
let entered = { address: null, interval: 0 };

export function questions(route) {
  const target = named(route);
  const of = { ...target, ...windowOf(route) };
  return {
    overview: ["overview", target],
    series: ["stats", { ...of, bucket: bucketOf(route, intervalOf(route)) }],
    phases: ["stats", { ...of, by: "phase", compare: "previous" }],
    locations: ["stats", { ...of, by: "location", compare: "previous" }],
    failures: ["failures", { ...of, limit: FAILURES }],
  };
}

/** The interval of the target in milliseconds, if it was known at once; 0 otherwise. */
function intervalOf(route) {
  if (entered.address !== link(route)) {
    const found = [known("overview", named(route)), known("overview", {})].map((answer) => answer && targetOf(route, { overview: answer })).find(Boolean);
    entered = { address: link(route), interval: found?.interval_ms ?? 0 };
  }
  return entered.interval;
}

export function draw(route, parts, back) {
  const target = targetOf(route, parts);
  const name = target ? nameOf(target) : (route.monitor ?? route.url);
  const top = [
    h("p", { class: "crumb" }, h("a", { href: link(back) }, "← All targets")),
    h("div", { class: "title" }, h("h1", {}, name), target && state(target, parts.overview.data.as_of)),
  ];
  if (parts.overview?.data && !target) return [...top, unknown()];
  const asOf = parts.overview?.data?.as_of;
  // What cannot be had for now is said where it would be.
  const problem = Object.values(parts).map((part) => part.problem).find((found) => found?.kind === "bad");
  const bucket = bucketOf(route, intervalOf(route));
  const [series, phases] = [entryOf(route, parts.series), entryOf(route, parts.phases)];
  return [
    ...top,
    target ? about(target, asOf) : !parts.overview?.problem && h("p", { class: "skeleton" }),
    target && places(target, asOf),
    toolbar(route, asOf),
    problem && badNotice(problem),
    latencySection(bucket, series, parts.series, phases?.previous),
    outcomesSection(series, parts.series),
    h("div", { class: "pair", "data-key": "pair" },
      phasesSection(phases, parts.phases),
      phases ? coverageSection(phases, parts.phases, target) : coverageSection(series, parts.series, target)),
    groupsSection(entryOf(route, parts.locations), parts.locations),
    failuresSection(parts.failures, (failure) => matches(route, failure)),
    links(route, parts, name, bucket),
  ];
}

export function drawn(route, parts, go) {
  const entry = entryOf(route, parts.series);
  drawCharts(entry, bucketOf(route, intervalOf(route)), (from, to) => go(link(route, between(from, to))));
}

export function headline({ overview }, route) {
  const target = overview?.data && targetOf(route, { overview });
  return target ? `${nameOf(target)}: ${target.state} · Status` : `${route.monitor ?? route.url} · Status`;
}

export function news(before, parts, route) {
  const [old, now] = [before, parts].map((some) => targetOf(route, some));
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
  return route.monitor ? monitor === route.monitor : monitor === null && url === route.url;
}

function state(target, asOf) {
  return h("p", { class: "now" }, h("span", { class: "state big", "data-state": target.state }, target.state), " ", since(target, asOf), " ", silence(target));
}

function about(target, asOf) {
  const interval = target.interval_ms ? `every ${span(target.interval_ms / 1000)}` : "no schedule";
  return h("div", { class: "about" },
    h("p", {}, outside(target.url)),
    target.urls && h("p", { class: "note" }, `URLs of the last 90 days: ${target.urls.map(({ url, since }) => `${url} (since ${since.slice(0, 16).replace("T", " ")} UTC)`).join(", ")}`),
    h("p", { class: "muted" }, interval, " · certificate ", certificate("certificate", target, asOf),
      target.tags.map((tag) => [" ", h("a", { class: "tag", href: link({ tag }) }, tag)])),
    h("div", { class: "periods" },
      target.windows.map((figures) => h("div", {}, h("span", { class: "label" }, `Uptime ${figures.window}`), uptimeFigure(`u ${figures.window}`, figures, target.interval_ms))),
      h("div", { class: "wide" }, h("span", { class: "label" }, "90 days"), strip("days", target, 4))));
}

function places(target, asOf) {
  return h("section", { class: "panel", "aria-labelledby": "h-now", "data-key": "now" },
    h("h2", { id: "h-now" }, "Now, by location"),
    target.locations.length === 0 && h("p", { class: "calm" }, "No location probed it in the last 24 hours."),
    h("ul", { class: "places" }, target.locations.map((at) => h("li", { "data-location": at.location },
      h("span", { class: "state", "data-state": at.state }, at.state),
      h("b", {}, locationName(at.location)),
      h("span", { class: "muted" }, since(at, asOf)),
      h("span", { class: "why" }, [at.status !== null && `status ${at.status}`, at.error, at.reason].filter(Boolean).join(" · ") || "no answer to speak of")))));
}

/** What is looked at, by the server's clock: nobody knows how right that of the browser is. */
function toolbar(route, asOf) {
  const windowMs = windowLength(route);
  const chosen = hasEnds(route) ? null : (route.window ?? "24h");
  const bucket = bucketsFor(windowMs).includes(route.bucket) ? route.bucket : "";
  const last = Date.parse(asOf);
  const to = hasEnds(route) ? Date.parse(route.to) : last;
  const from = to - windowMs;
  const isKnown = Math.abs(from - windowMs) < LAST && Math.abs(to + windowMs) < LAST;
  // No window ends in the future.
  const move = (text, start, end) => {
    const ahead = Math.max(end - last, 0);
    return h("a", { class: "button", "data-key": text, href: link(route, between(start - ahead, end - ahead)) }, text);
  };
  const field = (name, ms) => h("label", {}, h("span", {}, name === "from" ? "From (UTC)" : "To (UTC)"),
    h("input", { type: "datetime-local", name, required: true, "data-value": rfc3339(ms).slice(0, 16), value: rfc3339(ms).slice(0, 16) }));
  return h("div", { class: "toolbar", "data-key": "toolbar" },
    h("nav", { class: "presets", "aria-label": "Window" }, PRESETS.map((preset) => h("a", {
      href: link(route, { window: preset === "24h" ? undefined : preset, from: undefined, to: undefined, bucket: undefined }),
      "aria-current": chosen === preset ? "true" : undefined }, preset))),
    h("label", { class: "inline" }, h("span", {}, "Bucket"), h("select", { "data-bucket": true, "data-value": bucket },
      h("option", { value: "" }, `automatic (${automaticBucket(windowMs, intervalOf(route))})`),
      bucketsFor(windowMs).map((value) => h("option", { value, selected: value === bucket }, value)))),
    isKnown && h("div", { class: "moves", "data-key": "moves" },
      move("← Earlier", from - windowMs / 2, to - windowMs / 2), hasEnds(route) && move("Later →", from + windowMs / 2, to + windowMs / 2),
      move("Zoom in", from + windowMs / 4, to - windowMs / 4), move("Zoom out", from - windowMs / 2, to + windowMs / 2)),
    isKnown && h("details", { class: "ends", "data-key": "ends" }, h("summary", {}, hasEnds(route) ? `${instant(from)} – ${instant(to)}` : "Other ends"),
      h("form", { "data-zoom": true }, field("from", from), field("to", to), h("button", { class: "button", type: "submit" }, "Show"))));
}

function coverageSection(entry, part, target) {
  return section("coverage", "Uptime and coverage", entry, part, () => {
    const [uptime, coverage] = [entry.uptime ?? {}, entry.coverage ?? {}];
    const row = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
    return [h("dl", { class: "facts" },
      row(["Uptime by probes", entry.to && h("small", { class: "muted" }, ` until ${instant(entry.to)}`)], uptimeFigure("uptime", entry)), row("Uptime by time", share(uptime.by_time, 4)),
      row("Up for", span(uptime.up_seconds)), row("Down for", span(uptime.down_seconds)),
      row("Seen", coverageText(coverage)), row("Missed", many(coverage.missed ?? 0, "slot")), row("Late", count(coverage.late ?? NaN)),
      row("Probes", `${count(entry.probes)} (${count(entry.retried)} tried again)`), row("Timeouts", count(entry.timeouts)),
      row("Counted", `${instant(entry.from)} – ${instant(entry.to)}`)),
    target?.locations.length > 1 && h("p", { class: "note" }, "Times are the sums of all locations.")];
  });
}

function links(route, { overview }, name, bucket) {
  const of = { ...named(route), ...windowOf(route) };
  const stats = address("stats", { ...of, bucket });
  const file = `${name.replace(/[^\w.-]+/g, "-")}-${hasEnds(route) ? "custom" : (route.window ?? "24h")}`;
  // A badge is of one target.
  const isOne = route.monitor || !(overview?.data?.targets.filter(({ url }) => url === route.url).length > 1);
  const badge = hasEnds(route) ? null : address("badge.svg", { ...named(route), metric: "uptime", window: route.window ?? "24h" });
  const get = (text, href, suffix, accept) => h("a", { href, "data-download": `${file}.${suffix}`, "data-accept": accept }, text);
  return h("p", { class: "links", "data-key": "links" }, "This view as ",
    get("JSON", stats, "json", "application/json"), ", ", get("CSV", stats, "csv", "text/csv"),
    badge && isOne ? [", ", get("badge", badge, "svg", "image/svg+xml")] : badge ? ", and no badge, as this URL has several targets" : ", and no badge, which takes a window that ends now", " · failures as ",
    get("JSON", address("failures", { ...of, limit: 200 }), "failures.json", "application/json"));
}

function unknown() {
  return h("section", { class: "blank", "data-kind": "unknown" }, h("h2", {}, "This target is not known"),
    h("p", {}, "Nothing was probed under this address in the last 90 days, or it is not among what may be seen here."));
}
