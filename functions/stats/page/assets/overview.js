// All targets: totals, filters, and a row of each.

import { token } from "./api.js";
import { h, offScreen } from "./dom.js";
import { age, count, many } from "./format.js";
import { ago, percentileFigure, uptimeFigure } from "./figure.js";
import { certificate, sparkline, strip } from "./spark.js";
import { STATES, distinct, hasFilter, locationName, nameOf, pick, silent, sortsWith } from "./pick.js";
import { link, targetLink } from "./route.js";
import { badNotice, emptyNotice, skeletonRows } from "./notice.js";

const ROWS = 200;
const COLUMNS = 12;

export function questions() {
  return { overview: ["overview", {}] };
}

export function draw(route, { overview }) {
  const { data, problem } = overview ?? {};
  if (!data && problem?.kind === "bad") return [h("h1", {}, "All targets"), badNotice(problem)];
  if (data && data.targets.length === 0) return [h("h1", {}, "All targets"), emptyNotice(Boolean(token()))];
  const found = data ? pick(data.targets, route) : [];
  const shown = route.rows === "all" ? found : found.slice(0, ROWS);
  return [
    h("h1", {}, "All targets"),
    data?.next && h("p", { class: "notice", "data-kind": "plain", "data-key": "more" }, `Only the first ${count(data.targets.length)} targets are here. What is counted is of these.`),
    data ? totals(data, route) : h("div", { class: "totals skeleton", "aria-hidden": "true" }),
    filters(data, route, found.length),
    h("div", { class: "table-box", role: "region", "aria-label": "Targets", tabindex: "0", "data-key": "targets", "aria-busy": data ? undefined : "true" },
      h("table", { class: "targets", role: "table" },
        h("caption", { class: "off-screen" }, "Targets, with uptime and latency"),
        head(route),
        h("tbody", { role: "rowgroup" }, data ? shown.map((target) => row(target, data.as_of)) : skeletonRows(COLUMNS)))),
    data && found.length === 0 && noMatch(route),
    found.length > shown.length && h("p", { class: "more" }, h("a", { href: link(route, { rows: "all" }) }, `Show all ${count(found.length)} targets`)),
  ];
}

/** What changed for the worse or the better, in words; nothing on the first time. */
export function news(before, { overview }) {
  const old = before?.overview?.data;
  if (!old || !overview?.data) return "";
  const states = new Map(old.targets.map((target) => [key(target), target.state]));
  const changed = overview.data.targets.filter((target) => states.has(key(target)) && states.get(key(target)) !== target.state);
  return changed.slice(0, 5).map((target) => `${nameOf(target)} is ${target.state}`).join(", ");
}

export function headline({ overview }) {
  const down = overview?.data?.targets.filter(({ state }) => state === "down").length;
  return down ? `${down} down · Status` : "Status";
}

function key(target) {
  return `${target.monitor ?? ""}\n${target.url}`;
}

function totals({ targets, as_of: asOf, next }, route) {
  const chips = STATES.map((state) => {
    const number = targets.filter((target) => target.state === state).length;
    const isOn = route.state === state;
    return h("li", {}, h("a", { href: link(route, { state: isOn ? undefined : state, rows: undefined }), class: "total", "data-state": state, "data-count": number, "aria-current": isOn ? "true" : undefined },
      h("b", {}, count(number)), h("span", { class: "state", "data-state": state }, state)));
  });
  const seen = targets.filter(({ last_probe_at: at }) => at);
  const oldest = seen.reduce((most, target) => (!most || target.last_probe_at < most.last_probe_at ? target : most), null);
  const partly = targets.filter((target) => silent(target) > 0).length;
  return h("div", { class: "totals" }, h("ul", {}, chips),
    h("p", { class: "oldest" }, h("span", {}, `${next ? "at least " : ""}${many(targets.length, "target")}`),
      partly > 0 && h("span", { class: "silent" }, `${many(partly, "target")} with a silent location`),
      h("span", {}, "Oldest data: ",
      oldest ? [h("b", {}, age(Date.parse(asOf) - Date.parse(oldest.last_probe_at))), ` (${nameOf(oldest)})`] : "none")));
}

function filters(data, route, number) {
  const targets = data?.targets ?? [];
  const tags = distinct(targets.flatMap((target) => target.tags));
  const locations = distinct(targets.flatMap((target) => target.locations.map((at) => locationName(at.location))));
  return h("form", { class: "filters", "data-filters": true, role: "search", "aria-label": "Filter targets" },
    h("label", {}, h("span", {}, "Search"), h("input", { type: "search", name: "q", "data-value": route.q ?? "", value: route.q ?? "", autocomplete: "off", placeholder: "name, URL or tag" })),
    select("tag", "Tag", tags, route.tag),
    select("location", "Location", locations, route.location),
    select("state", "State", STATES, route.state),
    h("label", { class: "sort" }, h("span", {}, "Sort"), options("sort", sortsWith(route.sort), route.sort ?? "state")),
    h("p", { class: "found" }, data ? `${count(number)} of ${count(targets.length)} shown` : "", hasFilter(route) && [" · ", h("a", { href: link({ sort: route.sort }) }, "Clear filters")]));
}

function select(name, label, values, chosen) {
  const known = chosen && !values.includes(chosen) ? [...values, chosen] : values;
  return h("label", {}, h("span", {}, label), options(name, [["", "any"], ...known.map((value) => [value, value])], chosen ?? ""));
}

function options(name, pairs, chosen) {
  return h("select", { name, "data-value": chosen }, pairs.map(([value, text]) => h("option", { value, selected: value === chosen }, text)));
}

function head(route) {
  const column = (text, sort, attributes = {}) => {
    const now = route.sort ?? "state";
    const isOn = now.replace(/^-/, "") === sort;
    const next = now === sort ? `-${sort}` : sort;
    return h("th", { scope: "col", role: "columnheader", "aria-sort": isOn ? (now.startsWith("-") ? "descending" : "ascending") : undefined, ...attributes },
      h("a", { href: link(route, { sort: next === "state" ? undefined : next }) }, text));
  };
  const tall = { rowspan: 2 };
  const number = { class: "n" };
  return h("thead", { role: "rowgroup" },
    h("tr", { role: "row" },
      column("State", "state", tall), column("Target", "name", tall),
      h("th", { colspan: 4, scope: "colgroup", role: "columnheader", class: "group" }, "Uptime"),
      h("th", { colspan: 4, scope: "colgroup", role: "columnheader", class: "group" }, "Latency, 24 hours"),
      h("th", { rowspan: 2, scope: "col", role: "columnheader" }, "90 days"), column("Certificate", "certificate", tall)),
    h("tr", { role: "row" },
      column("24 h", "uptime24h", number), column("7 d", "uptime7d", number), column("30 d", "uptime", number), column("90 d", "uptime90d", number),
      column("p50", "p50", number), column("p95", "p95", number), column("p99", "p99", number),
      h("th", { scope: "col", role: "columnheader" }, "By hour")));
}

function row(target, asOf) {
  const id = key(target);
  const cell = (label, attributes, ...content) => h("td", { role: "cell", "data-label": label, ...attributes }, ...content);
  const labels = ["24 h", "7 d", "30 d", "90 d"];
  return h("tr", { role: "row", "data-key": id, "data-target": nameOf(target), "data-state": target.state },
    cell("State", { class: "c-state" }, h("span", { class: "state", "data-state": target.state }, target.state), since(target, asOf), silence(target)),
    h("th", { scope: "row", role: "rowheader", class: "c-target" },
      h("a", { href: targetLink(target), class: target.monitor ? "name" : "name is-url" }, nameOf(target)),
      target.monitor && h("span", { class: "url" }, target.url),
      target.tags.length > 0 && h("span", { class: "tags" }, offScreen("tags: "), target.tags.map((tag) => [h("a", { class: "tag", href: link({ tag }) }, tag), " "]))),
    target.windows.map((figures, index) => cell(labels[index], { class: "n c-uptime" }, uptimeFigure(`u${index}\n${id}`, figures, target.interval_ms))),
    [50, 95, 99].map((wanted) => cell(`p${wanted}`, { class: "n c-latency" }, percentileFigure(`p${wanted}\n${id}`, wanted, target.latency, target.previous))),
    cell("By hour", { class: "c-spark" }, sparkline(`h\n${id}`, target)),
    cell("90 days", { class: "c-strip" }, strip(`d\n${id}`, target)),
    cell("Certificate", { class: "c-certificate" }, certificate(`c\n${id}`, target, asOf)));
}

/** For how long the state holds, or what else is to be said of it. */
export function since(target, asOf) {
  if (target.state === "stale") {
    return target.last_probe_at ? ago(target.last_probe_at, asOf, "last probe ") : h("span", { class: "muted" }, "no probe");
  }
  return target.since ? ago(target.since, asOf, "for ", "") : h("span", { class: "muted" }, "over 24 h");
}

/** That locations are silent while others go on: what is said of the target is then not all that should be known. */
export function silence(target) {
  const number = silent(target);
  return number > 0 && h("span", { class: "silent" }, `${number} of ${many(target.locations.length, "location")} silent`);
}

function noMatch(route) {
  return h("div", { class: "blank", "data-kind": "no-match" }, h("h2", {}, "No target matches"),
    h("p", {}, "Nothing here has all of what the filters ask for. ", h("a", { href: link({ sort: route.sort }) }, "Clear filters")));
}
