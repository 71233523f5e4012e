// What a target's figures are made of: phases, locations, and the failures one by one.

import { h, offScreen, s } from "./dom.js";
import { NONE, change, count, duration, instant, words } from "./format.js";
import { facts, figure, find, interval, isClear, needed, percentileFigure, uptimeFigure } from "./figure.js";
import { locationName } from "./pick.js";
import { section } from "./series.js";

const PHASES = ["dns", "connect", "tls", "first_byte", "download"];
const NAMES = { dns: "DNS", connect: "Connect", tls: "TLS", first_byte: "First byte", download: "Download" };
const BAR = 400;
// A change of the mean below this share of it is nothing to look at.
const WORTH_SAYING = 0.01;

/** The window of an answer in words. */
export function windowWords(entry) {
  return entry.window === "custom" ? `${instant(entry.from)} – ${instant(entry.to)}` : words(entry.window);
}

export function phasesSection(entry, part) {
  return section("phases", "Where the time goes", entry, part, () => {
    const groups = PHASES.map((name) => entry.groups.find(({ group }) => group.phase === name)).filter((found) => found?.population_size);
    if (groups.length === 0) return h("p", { class: "calm" }, "No phase came to its end in this window.");
    return [
      h("p", { class: "finding" }, moved(groups)),
      bars("Now", groups), bars("Before", groups.map((group) => group.previous).map((figures, index) => figures && { ...figures, group: groups[index].group })),
      box("Phases", h("table", { class: "plain-table phases" },
        h("caption", { class: "off-screen" }, "Phases now, and in the window before"),
        h("thead", {}, h("tr", {}, ["Phase", "Mean", "Change", "p50", "p95", "p99"].map((text, index) => h("th", { scope: "col", class: index ? "n" : undefined }, text)))),
        h("tbody", {}, groups.map(phaseRow)))),
    ];
  });
}

function phaseRow(group) {
  const { phase } = group.group;
  const before = group.previous;
  return h("tr", { "data-key": phase },
    h("th", { scope: "row" }, h("span", { class: "dot", "data-phase": phase }), NAMES[phase]),
    h("td", { class: "n" }, figure(`mean ${phase}`, () => meanFacts(group), undefined, duration(group.mean_ms))),
    h("td", { class: "n" }, before?.mean_ms ? difference(group.mean_ms - before.mean_ms) : NONE),
    [50, 95, 99].map((wanted) => h("td", { class: "n" }, figure(`${phase} ${wanted}`, () => phaseFacts(group, wanted), undefined, ownPercentile(group, wanted)))));
}

function ownPercentile(group, wanted) {
  const found = find(group, wanted);
  return !found || found.insufficient ? [h("span", { class: "muted" }, NONE), offScreen("too few")] : duration(found.ms);
}

function meanFacts(group) {
  const before = group.previous;
  return facts(`${NAMES[group.group.phase]}, mean`, [
    ["Mean", duration(group.mean_ms)], ["Before", before?.mean_ms ? duration(before.mean_ms) : NONE],
    ["Change", before?.mean_ms ? change(group.mean_ms, before.mean_ms) : NONE],
    ["Least, largest", `${duration(group.min_ms)}, ${duration(group.max_ms)}`], ...sample(group)]);
}

function phaseFacts(group, wanted) {
  const [now, before] = [find(group, wanted), find(group.previous, wanted)];
  return facts(`${NAMES[group.group.phase]}, p${wanted}`, [
    ["Value", duration(now?.ms ?? NaN)], ["Interval, 95 %", interval(now)],
    ["Before", before && !before.insufficient ? `${duration(before.ms)} (${interval(before)})` : NONE], ...sample(group)],
  now?.insufficient && `Too few: ${count(group.population_size)} of the ${needed(wanted)} requests that a p${wanted} takes. Its value is little more than an extreme.`);
}

function sample(group) {
  return [["Population", "requests in which the phase happened"], ["Sample size", count(group.population_size)],
    ["Error", group.exact ? "none" : `within ${(Math.ceil(group.max_relative_error * 1e4) / 100).toFixed(2)} %`]];
}

/**
 * What each phase takes of a mean request. A connection that is there already has no DNS, connect and TLS, so that a phase
 * counts by how many of the requests had it; these, and not the means themselves, add up.
 */
function parted(groups) {
  const most = Math.max(...groups.map((figures) => figures?.population_size ?? 0));
  return groups.map((figures) => (figures?.mean_ms ? (figures.mean_ms * figures.population_size) / most : 0));
}

/** The phase that moved the mean most is the one to look at. */
function moved(groups) {
  const [now, before] = [parted(groups), parted(groups.map(({ previous }) => previous))];
  const changes = groups.map((group, index) => ({ group, now: now[index], before: before[index] })).filter(({ group }) => group.previous?.mean_ms);
  if (changes.length === 0) return "There is no window before to compare with.";
  const by = (change) => Math.abs(change.now - change.before);
  const most = changes.reduce((one, other) => (by(other) > by(one) ? other : one));
  // Less is nothing to look at.
  if (by(most) < 0.05 || by(most) < WORTH_SAYING * most.before) return "No phase moved against the window before.";
  const { group } = most;
  const isSure = isClear(find(group, 50), find(group.previous, 50));
  return [h("b", {}, NAMES[group.group.phase]), ` moved most: ${duration(most.before)} → ${duration(most.now)} of the mean request (${change(most.now, most.before)}).`,
    !isSure && " This may be chance."];
}

function difference(ms) {
  if (Math.abs(ms) < 0.05) return "=";
  return `${ms < 0 ? "−" : "+"}${duration(Math.abs(ms))}`;
}

/** The means one after the other, on the scale of the longer of the two windows. */
function bars(label, groups) {
  const found = groups.filter((group) => group?.mean_ms);
  if (found.length === 0) return null;
  const lengths = parted(found);
  const total = lengths.reduce((sum, length) => sum + length, 0);
  let x = 0;
  const drawn = found.map((group, index) => {
    const width = (lengths[index] / total) * BAR;
    const part = s("rect", { x: x.toFixed(1), y: 0, width: Math.max(0.5, width - 1).toFixed(1), height: 12, "data-phase": group.group.phase });
    x += width;
    return part;
  });
  return h("div", { class: "phase-bar", "data-key": `bar ${label}` }, h("span", {}, label),
    s("svg", { viewBox: `0 0 ${BAR} 12`, preserveAspectRatio: "none", "aria-hidden": "true" }, drawn), h("span", { class: "n" }, duration(total)));
}

function box(label, content) {
  return h("div", { class: "table-box", role: "region", "aria-label": label, tabindex: "0" }, content);
}

export function groupsSection(entry, part) {
  return section("locations", "By location", entry, part, () => {
    const groups = [...entry.groups].sort((one, other) => one.group.location.localeCompare(other.group.location, "en"));
    return box("Figures by location", h("table", { class: "plain-table" }, h("caption", { class: "off-screen" }, "Figures by location, with the change against the window before"),
      h("thead", {}, h("tr", {}, ["Location", "Uptime", "p50", "p95", "p99", "Probes", "Down"].map((text, index) => h("th", { scope: "col", class: index ? "n" : undefined }, text)))),
      h("tbody", {}, groups.map((group) => {
        const name = locationName(group.group.location);
        return h("tr", { "data-key": name }, h("th", { scope: "row" }, name), h("td", { class: "n" }, uptimeFigure(`l ${name}`, group)),
          [50, 95, 99].map((wanted) => h("td", { class: "n" }, percentileFigure(`l${wanted} ${name}`, wanted, group, group.previous, windowWords(entry)))),
          h("td", { class: "n" }, count(group.probes)), h("td", { class: "n" }, count(group.down)));
      }))));
  });
}

/** The failures of a target, of those that its URL has. */
export function failuresSection(part, isOwn) {
  const data = part?.data && { ...part.data, failures: part.data.failures.filter(isOwn) };
  return section("failures", "Last failures", data, part, () => [
    data.rows_from && h("p", { class: "note" }, `Single probes are kept for a while: before ${instant(data.rows_from)}, not every failure that is counted above is listed.`),
    data.failures.length === 0 ? h("p", { class: "calm" }, data.rows_from ? "None is listed." : "No failure in this window.")
      : box("Failures, newest first", h("table", { class: "plain-table failures", role: "table" }, h("caption", { class: "off-screen" }, "The last failures, newest first"),
        h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, ["Time", "Location", "Outcome", "Reason", "Took"].map((text) => h("th", { scope: "col", role: "columnheader", class: text === "Took" ? "n" : undefined }, text)))),
        h("tbody", { role: "rowgroup" }, data.failures.map(failureRow)))),
    data.more && h("p", { class: "note" }, `These are the newest ${count(data.failures.length)}; there are more in this window.`),
  ]);
}

function failureRow(failure) {
  const kind = [failure.status !== null && `status ${failure.status}`, failure.error].filter(Boolean).join(" · ");
  const tries = failure.retried ? `attempt ${failure.attempt}, tried again` : failure.attempt > 1 ? `attempt ${failure.attempt}` : null;
  // What was tried again is no verdict.
  const outcome = failure.retried ? h("span", { class: "muted" }, "failed, retried")
    : h("span", { class: "state", "data-state": failure.outcome === "missed" ? "stale" : "down" }, failure.outcome);
  const cell = { role: "cell" };
  return h("tr", { role: "row" },
    h("th", { scope: "row", role: "rowheader" }, h("time", { datetime: failure.probed_at }, `${instant(failure.probed_at)}:${failure.probed_at.slice(17, 19)}`)),
    h("td", cell, locationName(failure.location)),
    h("td", cell, outcome),
    h("td", { ...cell, class: "reason" }, kind && h("b", {}, kind), kind && failure.reason && ": ", failure.reason ?? (kind ? "" : NONE),
      tries && h("small", { class: "muted" }, ` (${tries})`)),
    h("td", { ...cell, class: "n" }, duration(failure.response_time_ms ?? NaN)));
}
