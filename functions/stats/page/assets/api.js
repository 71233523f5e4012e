// Asking the server: with the token, if there is one, and with the entity tag of what is here already.

const KEY = "website-monitor-token";
// Answers of earlier views, so that going back shows something at once.
const KEPT = 40;
const MAX_PAGES = 20;
// Longer than any question may take the server.
const PATIENCE = 45_000;

const answers = new Map();
let tokenHere = null;

/** Why there is no answer: `unauthorized`, `refused` (by the token), `bad` (a parameter) or `unavailable`. */
export class Problem extends Error {
  constructor(kind, detail, retryAfter) {
    super(detail);
    Object.assign(this, { kind, detail, retryAfter });
  }
}

export function token() {
  try {
    return sessionStorage.getItem(KEY) ?? tokenHere;
  } catch {
    return tokenHere; // storage may be forbidden: then the token lasts as long as the page
  }
}

export function setToken(value) {
  tokenHere = value;
  answers.clear();
  try {
    if (value) sessionStorage.setItem(KEY, value);
    else sessionStorage.removeItem(KEY);
  } catch {
    // as above
  }
}

/** The address of a question, relative to the page. */
export function address(path, parameters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters ?? {})) {
    if (value !== undefined && value !== null) query.set(name, value);
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

/** The answer that was had last, if any. */
export function known(path, parameters) {
  const answer = answers.get(address(path, parameters));
  return answer?.all ?? answer?.data;
}

/** Asks; `changed` says whether anything is other than it was. Pages are put together. */
export async function ask(path, parameters) {
  const first = address(path, parameters);
  let { data, changed } = await askOne(first);
  if (!data.next) return { data, changed };
  const targets = [...data.targets];
  for (let page = 1; data.next && page < MAX_PAGES; page += 1) {
    const more = await askOne(address(path, { ...parameters, cursor: data.next }));
    data = more.data;
    changed ||= more.changed;
    targets.push(...data.targets);
  }
  const before = answers.get(first);
  return { data: changed || !before.all ? (before.all = { ...before.data, targets, next: data.next }) : before.all, changed };
}

/** The bytes of an answer, for a download. */
export async function bytes(url, accept) {
  const response = await request(url, accept ? { accept } : {});
  return response.blob();
}

async function askOne(url) {
  const before = answers.get(url);
  const response = await request(url, before ? { "if-none-match": before.etag } : {});
  if (response.status === 304) {
    keep(url, before);
    return { data: before.data, changed: false };
  }
  const answer = { etag: response.headers.get("etag") ?? "", data: await parse(response) };
  keep(url, answer);
  return { data: answer.data, changed: !before || before.etag !== answer.etag || !answer.etag };
}

async function parse(response) {
  try {
    return await response.json();
  } catch {
    throw new Problem("unavailable", "The answer broke off.");
  }
}

function keep(url, answer) {
  answers.delete(url);
  answers.set(url, answer);
  if (answers.size > KEPT) answers.delete(answers.keys().next().value);
}

async function request(url, headers) {
  const bearer = token();
  const sent = bearer ? { ...headers, authorization: `Bearer ${bearer}` } : headers;
  let response;
  try {
    // The entity tag is kept here, so that the browser's own cache is not needed.
    response = await fetch(new URL(url, document.baseURI), { headers: sent, cache: "no-store", credentials: "same-origin", signal: AbortSignal.timeout(PATIENCE) });
  } catch (error) {
    throw new Problem("unavailable", error.name === "TimeoutError" ? "The server does not answer." : "The server cannot be reached.");
  }
  if (response.ok || response.status === 304) return response;
  throw await problem(response, Boolean(bearer));
}

async function problem(response, hasToken) {
  const said = await response.json().catch(() => ({}));
  const errors = (said.errors ?? []).map(({ parameter, detail }) => `${parameter}: ${detail}`);
  const text = [said.detail, ...errors].filter(Boolean).join("; ") || said.title || "no reason was given";
  const retryAfter = Number(response.headers.get("retry-after")) || 0;
  if (response.status === 401) return new Problem(hasToken ? "refused" : "unauthorized", text, 0);
  if (response.status === 429 || response.status >= 500) {
    return new Problem("unavailable", `The server answers ${response.status}: ${text}.`, retryAfter);
  }
  return new Problem("bad", text, 0);
}
