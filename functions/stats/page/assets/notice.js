// What is said where there is no data, or none of now.

import { h } from "./dom.js";
import { clock, instant } from "./format.js";

/** Rows that stand where data will be. */
export function skeletonRows(columns) {
  return [0, 1, 2, 3, 4].map((index) => h("tr", { role: "row", class: "skeleton-row", "data-key": `skeleton ${index}` },
    h("td", { role: "cell", colspan: columns }, h("span", { class: "skeleton" }), index === 0 && h("span", { class: "off-screen" }, "Loading"))));
}

/** Nothing is there to be shown; `isPart` where a token may show only some of it. */
export function emptyNotice(isPart) {
  return h("section", { class: "blank", "data-kind": "empty" },
    h("h2", {}, `Nothing was probed in the last 90 days${isPart ? " that this token may see" : ""}`),
    h("p", {}, "Targets appear here by themselves, a minute after their first probe was stored."),
    h("ol", {},
      h("li", {}, "Say what is to be monitored in ", h("code", {}, "monitors.yaml"), ", or set ", h("code", {}, "WM_URL"), " for a single URL."),
      h("li", {}, "Let a schedule invoke the function ", h("code", {}, "probe"), " each minute."),
      h("li", {}, "Its records reach the database through Kafka and the function ", h("code", {}, "flush"), ".")));
}

/** The server cannot answer; `answeredAt` is when it last did, and `isServed` where what is shown came with the page. */
export function errorNotice(problem, answeredAt, retryAt, isServed) {
  const when = retryAt ? `Trying again at ${clock(retryAt)}.` : problem.kind === "broken" ? "" : "Trying again now.";
  const old = answeredAt ? `What is shown is old: it was answered at ${instant(answeredAt)}, and may not be true any more.`
    : isServed ? "What is shown is old: it came with the page, and may not be true any more." : "There is nothing to show until it answers.";
  // The time of the next try is no part of what is read out: it changes with each of them.
  return h("div", { class: "notice", "data-kind": "error" },
    h("p", { role: "alert" }, h("strong", {}, problem.detail), " ", old),
    h("p", {}, when, " ", h("button", { type: "button", class: "button", "data-act": "refresh" }, "Try now")));
}

/** Something that was asked for by hand did not come. */
export function failedNotice(text) {
  return h("div", { class: "notice", "data-kind": "bad" }, h("p", { role: "alert" }, text));
}

export function badNotice(problem) {
  return h("div", { class: "notice", "data-kind": "bad" },
    h("p", {}, h("strong", {}, "This cannot be answered. "), problem.detail));
}

/** Asks for a token; `isWrong` where the one that was given is not known. */
export function tokenForm(isWrong) {
  return h("form", { class: "blank token", "data-token": true, "data-kind": isWrong ? "refused" : "unauthorized" },
    h("h1", {}, "A token is needed"),
    h("p", {}, "What is known of the targets is shown to whoever has a token. It is kept until this tab is closed."),
    isWrong && h("p", { class: "wrong", role: "alert", id: "wrong" }, "This token is not known. It may have been replaced."),
    h("label", { "data-key": "token" }, h("span", {}, "Token"),
      h("input", { type: "password", name: "token", required: true, autocomplete: "off", spellcheck: "false", "aria-describedby": isWrong ? "wrong" : undefined, "aria-invalid": isWrong ? "true" : undefined })),
    h("button", { type: "submit", class: "button primary", "data-key": "show" }, "Show status"));
}
