// Charts over time, drawn by uPlot: percentiles as lines, counts as stacked bars. All of a page have one time axis.

import { clock, count, day, duration } from "./format.js";

const { uPlot } = globalThis;
const SYNC = "time";
const HEIGHT = 230;
const LOW_HEIGHT = 150;
const KINDS = { "2xx": "--up", "3xx": "--blue", "1xx": "--cyan", "4xx": "--amber", "5xx": "--red", other: "--grey", "no response": "--ink-2",
  assertion: "--red", timeout: "--violet", connect: "--amber", tls: "--cyan", dns: "--blue", redirect: "--pink", blocked: "--grey", protocol: "--brown", body: "--olive", missed: "--ink-2" };

// What is drawn in which element, so that new data goes into the chart that is there.
const charts = new WeakMap();
const elements = new Set();

const observer = new ResizeObserver((entries) => entries.forEach(({ target }) => resize(target)));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);

/** p50, p95 and p99 with the band between the first and the last. */
export function latencyChart(element, { times, ends, zoom, bucket, lines }) {
  const [p50, p95, p99] = ["--p50", "--p95", "--p99"];
  const line = (label, colour, dash) => ({ label, stroke: () => css(colour), width: 1.5, dash, points: { size: 4, filter: alone }, value: (_, ms) => duration(ms ?? NaN) });
  draw(element, `latency ${bucket}`, [times, ...lines], ends, zoom, () => ({
    height: HEIGHT,
    series: [time(), line("p50", p50), line("p95", p95), line("p99", p99, [4, 3])],
    bands: [{ series: [3, 1], fill: () => css("--band") }],
    axes: [timeAxis(), valueAxis((ms) => (ms === 0 ? "0" : duration(ms).replace(".0 ", " ").replace(".00 ", " ")))],
  }));
}

/** Which values are points, where not all are: those between gaps, of which no line is drawn. */
function alone(chart, series, isEach) {
  if (isEach) return null;
  const found = [];
  // The value before, where it is not known yet whether it is alone.
  let before = null;
  let isLinked = false;
  const end = () => { if (before !== null && !isLinked) found.push(before); };
  chart.data[series].forEach((value, index) => {
    if (value === undefined) return;
    if (value === null) {
      end();
      [before, isLinked] = [null, false];
    } else {
      isLinked = before !== null;
      before = index;
    }
  });
  end();
  return found;
}

/** Counts on top of each other; the first is at the bottom. */
export function stackedChart(element, { times, ends, zoom, bucket, stacks }) {
  if (!element || stacks.length === 0) return;
  // The highest is drawn first, and covered from below: each reaches down to the ground.
  const names = stacks.map(([name]) => name).reverse();
  const raw = stacks.map(([, values]) => values).reverse();
  const sums = times.map(() => 0);
  const stacked = [...raw].reverse().map((values) => values.map((value, index) => (sums[index] += value))).reverse();
  const bars = uPlot.paths.bars({ size: [0.86, 40], align: 1 });
  const series = names.map((label, index) => ({
    label, fill: () => css(KINDS[label] ?? "--grey"), width: 0, paths: bars, points: { show: false },
    value: (chart, _, __, at) => (at === null || at === undefined ? "—" : count(element.raw[index][at])),
  }));
  element.raw = raw;
  draw(element, `stacked ${bucket} ${names}`, [times, ...stacked], ends, zoom, () => ({
    height: LOW_HEIGHT, series: [time(), ...series], axes: [timeAxis(), valueAxis((value) => (Number.isInteger(value) ? count(value) : ""))],
  }));
}

/** Draws, or gives new data to what was drawn with the same parts. */
function draw(element, kind, data, ends, zoom, build) {
  if (!element) return;
  const before = charts.get(element);
  const now = { kind, data, ends, zoom, build };
  if (before?.kind === kind) {
    charts.set(element, { ...now, chart: before.chart });
    const text = (drawn) => JSON.stringify([drawn.data, drawn.ends], (_, value) => (value === undefined ? "" : value));
    const isSame = text(before) === text(now);
    if (!isSame) before.chart.setData(data);
    return;
  }
  before?.chart.destroy();
  charts.set(element, now);
  now.chart = new uPlot(options(element, build()), data, element);
  element.dataset.drawn = "true";
  elements.add(element);
  observer.observe(element);
  for (const old of elements) if (!old.isConnected) forget(old);
}

function options(element, own) {
  return {
    width: Math.max(200, element.clientWidth),
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    cursor: { drag: { x: true, y: false, setScale: false }, sync: { key: SYNC, setSeries: false, filters: { pub: isMove } }, points: { size: 6 } },
    legend: { live: true },
    scales: { x: { range: () => charts.get(element).ends }, y: { range: (_, __, most) => [0, (most || 1) * 1.08] } },
    hooks: { setSelect: [(chart) => select(element, chart)] },
    ...own,
  };
}

/** The charts of a page show the same instant; what is selected in one is its own. */
function isMove(type) {
  return type === "mousemove" || type === "mouseleave";
}

function select(element, chart) {
  const { left, width } = chart.select;
  if (width < 5) return; // a click is no selection
  const [from, to] = [left, left + width].map((x) => chart.posToVal(x, "x") * 1000);
  chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  charts.get(element).zoom(from, to);
}

function time() {
  return { label: "UTC", value: (_, seconds) => (seconds === null || seconds === undefined ? "—" : `${day(seconds * 1000)} ${clock(seconds * 1000).slice(0, 5)}`) };
}

function timeAxis() {
  return { ...axis(), values: timeTexts, space: 64, size: 30, grid: { show: false } };
}

/** Hours where the day is clear, days where it is not. */
function timeTexts(_, splits) {
  return splits.map((seconds) => {
    const text = clock(seconds * 1000).slice(0, 5);
    return text === "00:00" ? day(seconds * 1000) : text;
  });
}

function valueAxis(text) {
  return { ...axis(), size: 62, values: (_, splits) => splits.map(text) };
}

function axis() {
  return { stroke: () => css("--ink-2"), grid: { stroke: () => css("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
}

function css(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function resize(element) {
  const { chart } = charts.get(element) ?? {};
  const width = element.clientWidth;
  if (chart && width > 0 && width !== chart.width) chart.setSize({ width, height: chart.height });
}

/** The other colours, also in the legend. */
function repaint() {
  for (const element of elements) {
    const drawn = charts.get(element);
    if (!element.isConnected || !drawn) continue;
    drawn.chart.destroy();
    drawn.chart = new uPlot(options(element, drawn.build()), drawn.data, element);
  }
}

function forget(element) {
  observer.unobserve(element);
  elements.delete(element);
  charts.get(element)?.chart.destroy();
  charts.delete(element);
}
