// Asking the server: with the token, if there is one, and with the entity tag of what is here already.

const KEY = "website-monitor-token";
// Answers of earlier views, so that going back shows something at once.
const KEPT = 40;
const MAX_PAGES = 200;
// Longer than any question may take the server.
const PATIENCE = 45_000;

// By address: `data`, `at` (when it was had), and the `pages` that it is of, each with its entity tag.
const answers = new Map();
let tokenHere = null;
// How often the token was another one.
let generation = 0;

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
  generation += 1;
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

/** The answer that was had last, and when; undefined where there was none. */
export function known(path, parameters) {
  return answers.get(address(path, parameters));
}

/**
 * Asks, and says what is answered and since when that is known to be so. What is as it was is the same object. Pages are put
 * together; `progress` is told what there is of them so far.
 */
export async function ask(path, parameters, progress) {
  const asker = generation;
  const first = address(path, parameters);
  const before = answers.get(first);
  const pages = [];
  let url = first;
  while (url) {
    pages.push(await askOne(url, before?.pages.find((page) => page.url === url)));
    const { next } = pages.at(-1).data;
    url = next && pages.length < MAX_PAGES ? address(path, { ...parameters, cursor: next }) : null;
    if (url) progress?.(together(pages));
  }
  const answer = together(pages, before);
  // Who had another token must not see it.
  if (asker === generation) keep(first, answer);
  return answer;
}

/** One answer of its pages; `next` is there where there are more. */
function together(pages, before) {
  const { at } = pages[0];
  const isSame = before?.pages.length === pages.length && pages.every((page, index) => page.data === before.pages[index].data);
  if (isSame) return { data: before.data, at, pages };
  const [{ data }] = pages;
  if (pages.length === 1) return { data, at, pages };
  return { data: { ...data, targets: pages.flatMap((page) => page.data.targets), next: pages.at(-1).data.next }, at, pages };
}

/** The bytes of an answer, for a download. */
export async function bytes(url, accept) {
  const response = await request(url, accept ? { accept } : {});
  return response.blob();
}

async function askOne(url, before) {
  const response = await request(url, before?.etag ? { "if-none-match": before.etag } : {});
  const at = Date.now();
  if (response.status === 304 && before) return { ...before, at };
  return { url, at, etag: response.headers.get("etag"), data: await parse(response) };
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
  if (response.status === 401 || response.status === 403) return new Problem(hasToken ? "refused" : "unauthorized", text, 0);
  if (response.status === 429 || response.status >= 500) {
    return new Problem("unavailable", `The server answers ${response.status}: ${text}.`, retryAfter);
  }
  return new Problem("bad", text, 0);
}
