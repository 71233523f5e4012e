// Figures over time: the sections with charts, and the same as tables.

import { h, offScreen } from "./dom.js";
import { NONE, count, duration, instant, many } from "./format.js";
import { errorBound, find, interval, needed, percentileFigure, shown } from "./figure.js";
import { latencyChart, stackedChart } from "./chart.js";
import { windowWords } from "./parts.js";

// A table of more would only be long.
const ROWS = 300;
const CLASSES = ["2xx", "3xx", "1xx", "4xx", "5xx", "other"];
const WANTED = [50, 95, 99];

export function latencySection(bucketName, entry, part, previous) {
  return section("latency", "Latency", entry, part, () => [
    h("div", { class: "figures" }, WANTED.map((wanted) => h("div", {}, h("span", { class: "label" }, `p${wanted}`),
      percentileFigure(`s${wanted}`, wanted, entry, previous, windowWords(entry)), h("small", { class: "muted" }, intervalOf(entry, wanted)))),
      h("div", {}, h("span", { class: "label" }, "Responses"), h("span", { class: "plain" }, count(entry.population_size)), h("small", { class: "muted" }, `error: ${entry.exact ? "none" : errorBound(entry)}`))),
    h("div", { class: "chart", id: "chart-latency", role: "img", "aria-label": latencyText(entry), "data-own": true, "data-key": "chart" }),
    h("p", { class: "note" }, "Drag over the chart, or use “Zoom in”, to look closer. ", weakness(entry, bucketName)),
    table("latency", "Latency by bucket; in brackets: of too few responses", ["Begin", "Responses", "p50", "p95", "p99"], entry.series, (bucket) =>
      [instant(bucket.bucket), count(bucket.population_size), ...WANTED.map((wanted) => bucketText(bucket, wanted))]),
  ]);
}

export function outcomesSection(entry, part) {
  return section("outcomes", "Statuses and errors", entry, part, () => {
    const errors = errorNames(entry);
    return [
      h("div", { class: "pair charts" },
        h("div", {}, h("h3", {}, "Responses by status"), h("div", { class: "chart", id: "chart-statuses", role: "img", "aria-label": statusText(entry), "data-own": true, "data-key": "chart" })),
        h("div", {}, h("h3", {}, "Failures by kind"),
          h("div", { class: "chart", id: "chart-errors", role: "img", "aria-label": errorText(entry), "data-own": true, hidden: errors.length === 0, "data-key": "chart" }),
          errors.length === 0 && h("p", { class: "calm", "data-key": "calm" }, "No errors in this window."))),
      table("outcomes", "Statuses and errors by bucket", ["Begin", "Probes", "Statuses", "No response", "Errors", "Missed"], entry.series, (bucket) =>
        [instant(bucket.bucket), count(bucket.probes), named(bucket.statuses), count(bucket.failures), named(bucket.errors), count(bucket.missed)]),
    ];
  });
}

/** A percentile of a bucket, in brackets where it is of too few. */
function bucketText(bucket, wanted) {
  const text = duration(bucket[`p${wanted}_ms`] ?? NaN);
  return text !== NONE && bucket.population_size < needed(wanted) ? `(${text})` : text;
}

/** Whether there could have been something in a bucket: with a long interval, in most buckets nothing is due. */
function isDue({ coverage, probes }) {
  return coverage?.expected !== 0 || probes > 0;
}

/** Fills the places that the sections left for charts. */
export function drawCharts(entry, bucket, zoom) {
  if (!entry?.series?.length) return;
  const times = entry.series.map(({ bucket }) => Date.parse(bucket) / 1000);
  const ends = [Date.parse(entry.from ?? entry.series[0].bucket) / 1000, Date.parse(entry.to ?? entry.last_probe_at) / 1000];
  const base = { times, ends, bucket, zoom };
  const of = (pick) => entry.series.map(pick);
  // Null is a gap; what is undefined is passed over.
  const lines = WANTED.map((wanted) => of((b) => (isDue(b) ? b[`p${wanted}_ms`] : undefined)));
  latencyChart(document.getElementById("chart-latency"), { ...base, lines });
  const statuses = [...CLASSES.filter((name) => entry.statuses[name]).map((name) => [name, of((b) => b.statuses[name] ?? 0)]),
    ...(entry.failures ? [["no response", of((b) => b.failures)]] : [])];
  stackedChart(document.getElementById("chart-statuses"), { ...base, stacks: statuses });
  const errors = errorNames(entry).map((name) => [name, of((b) => (name === "missed" ? b.missed : (b.errors[name] ?? 0)))]);
  stackedChart(document.getElementById("chart-errors"), { ...base, stacks: errors });
}

function errorNames(entry) {
  const kinds = Object.entries(entry.errors).sort(([, one], [, other]) => other - one).map(([name]) => name);
  return entry.missed ? [...kinds, "missed"] : kinds;
}

/** A panel that says what it is waiting for, or that there is nothing. */
export function section(id, title, entry, part, build) {
  const isOld = part?.problem && part.data;
  const body = part?.problem && !part.data ? h("p", { class: "muted" }, part.problem.detail)
    : entry === undefined ? h("div", { class: "skeleton tall", "data-key": "wait" }, offScreen("Loading"))
      : entry === null ? h("p", { class: "calm", "data-key": "none" }, "Nothing was probed in this window.")
        : build();
  return h("section", { class: isOld ? "panel is-old" : "panel", "aria-labelledby": `h-${id}`, "data-key": id }, h("h2", { id: `h-${id}` }, title),
    isOld && h("p", { class: "note", "data-old": true }, `As of ${instant(part.at)}: ${part.problem.detail}`), body);
}

function table(id, caption, heads, series, cells) {
  const rows = series.slice(-ROWS);
  const cut = series.length > rows.length ? `, the last ${count(rows.length)} of ${count(series.length)}` : "";
  return h("details", { class: "as-table", "data-key": `table-${id}` }, h("summary", {}, "As a table"),
    h("div", { class: "table-box", role: "region", "aria-label": caption, tabindex: "0" },
      h("table", { class: "plain-table" }, h("caption", { class: "off-screen" }, `${caption}${cut}`),
        h("thead", {}, h("tr", {}, heads.map((text) => h("th", { scope: "col" }, text)))),
        h("tbody", {}, rows.map((bucket) => h("tr", {}, cells(bucket).map((text, index) => h(index ? "td" : "th", index ? {} : { scope: "row" }, text))))))));
}

function named(counts) {
  return Object.entries(counts).map(([name, number]) => `${name}: ${count(number)}`).join(", ") || NONE;
}

function intervalOf(entry, wanted) {
  const found = find(entry, wanted);
  if (!found || found.insufficient) return "";
  // The interval is of responses alone; a headline that counts timeouts as well may be outside it.
  return shown(found) === found.ms && found.at_least_ms === null ? interval(found) : `responses alone: ${duration(found.ms)} (${interval(found)})`;
}

/** How far the percentiles of single buckets can be believed. */
function weakness(entry, bucket) {
  const sizes = entry.series.map(({ population_size: size }) => size).filter(Boolean).sort((one, other) => one - other);
  if (sizes.length === 0) return "";
  const typical = sizes[Math.floor(sizes.length / 2)];
  const weak = WANTED.filter((wanted) => typical < needed(wanted));
  if (weak.length === 0) return `A bucket of ${bucket} has ${many(typical, "response")}, enough for each percentile.`;
  return `A bucket of ${bucket} has some ${many(typical, "response")}: too few for its ${weak.map((wanted) => `p${wanted} (${needed(wanted)})`).join(", ")}, which is close to an extreme there.`;
}

function latencyText(entry) {
  const due = entry.series.filter(isDue);
  const seen = due.filter(({ p50_ms }) => p50_ms !== null);
  if (seen.length === 0) return "No response in this window";
  const slowest = seen.reduce((most, bucket) => (bucket.p95_ms > most.p95_ms ? bucket : most));
  const medians = seen.map(({ p50_ms }) => p50_ms);
  return `Latency over time: p50 between ${duration(Math.min(...medians))} and ${duration(Math.max(...medians))}, p95 at most ${duration(slowest.p95_ms)} at ${instant(slowest.bucket)}, `
    + `${count(due.length - seen.length)} of ${many(due.length, "bucket")} without a response. The same is below as a table.`;
}

function statusText(entry) {
  return `Responses by status over time: ${named(entry.statuses)}, no response: ${count(entry.failures)}. The same is below as a table.`;
}

function errorText(entry) {
  return `Failures by kind over time: ${named(entry.errors)}, missed: ${count(entry.missed)}. The same is below as a table.`;
}
