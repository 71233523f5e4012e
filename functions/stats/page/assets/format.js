// Numbers, shares, times and lengths of time as text.

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const UNITS = { s: SECOND, m: MINUTE, h: HOUR, d: DAY };

export { MINUTE, HOUR, DAY };

/** What there is instead of a value. */
export const NONE = "—";

export function count(number) {
  return Number.isFinite(number) ? number.toLocaleString("en") : NONE;
}

/** A number of things: "1 probe", "2 probes". */
export function many(number, one, more = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : more}`;
}

/** A length of time in milliseconds, to three digits. */
export function duration(ms) {
  if (!Number.isFinite(ms)) return NONE;
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  const seconds = ms / SECOND;
  return `${seconds.toFixed(seconds < 9.995 ? 2 : 1)} s`;
}

export function range(low, high) {
  return `${duration(low)} – ${duration(high)}`;
}

/** A share, cut and not rounded: 100 % is all of it. */
export function share(value, digits = 2) {
  if (!Number.isFinite(value)) return NONE;
  if (value >= 1) return "100 %";
  const unit = 10 ** digits;
  // The share has six digits; what floating point takes from them is given back.
  const cut = Math.floor(value * 100 * unit + 1e-4) / unit;
  return `${cut.toFixed(digits)} %`;
}

/** A change, relative to what was before. */
export function change(now, before) {
  const percent = (now / before - 1) * 100;
  const digits = Math.abs(percent) < 9.5 ? 1 : 0;
  return `${percent < 0 ? "−" : "+"}${Math.abs(percent).toFixed(digits)} %`;
}

/** How long something takes or took, roughly. */
export function age(ms) {
  if (!Number.isFinite(ms)) return NONE;
  const length = Math.max(0, ms);
  if (length < 99.5 * SECOND) return `${Math.round(length / SECOND)} s`;
  if (length < 99.5 * MINUTE) return `${Math.round(length / MINUTE)} min`;
  if (length < 48 * HOUR) return `${Math.round(length / HOUR)} h`;
  return `${Math.floor(length / DAY)} d`;
}

/** Seconds as a length of time with two units: "3 d 4 h", "12 min 30 s". */
export function span(seconds) {
  if (!Number.isFinite(seconds)) return NONE;
  const parts = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  let rest = Math.round(seconds);
  const found = [];
  for (const [unit, length] of parts) {
    const whole = Math.floor(rest / length);
    rest -= whole * length;
    if (whole > 0 || found.length > 0) found.push(`${whole} ${unit}`);
  }
  return found.slice(0, 2).filter((part) => !part.startsWith("0 ")).join(" ") || "0 s";
}

/** "26 Nov 10:47", in UTC. */
export function instant(value) {
  const date = new Date(value ?? NaN);
  return Number.isNaN(date.getTime()) ? NONE : `${day(date)} ${clock(date).slice(0, 5)}`;
}

export function day(value) {
  const date = new Date(value);
  return `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}`;
}

/** "10:47:05", in UTC. */
export function clock(value) {
  return new Date(value).toISOString().slice(11, 19);
}

/** The instant as the server takes it, without what is less than a second. */
export function rfc3339(ms) {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

/** The length of "24h" or "5m" in milliseconds; NaN of anything else. */
export function length(text) {
  const found = /^(\d+)([smhd])$/.exec(text ?? "");
  return found ? Number(found[1]) * UNITS[found[2]] : NaN;
}

/** "24h" in words. */
export function words(text) {
  const found = /^(\d+)([smhd])$/.exec(text ?? "");
  if (!found) return text === "all" ? "everything" : "this window";
  const unit = { s: "second", m: "minute", h: "hour", d: "day" }[found[2]];
  return many(Number(found[1]), unit);
}
