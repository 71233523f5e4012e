//! Settings of a monitor that are right by themselves and wrong together: it could never be up, or something that is
//! expected could never fail.
//!
//! A `connect_timeout` above `timeout` is none of them, since the sooner of the two counts; nor are retries that do not fit
//! the interval or the invocation, which are left out.

use std::ops::RangeInclusive;

use reqwest::{Method, header::ACCEPT_ENCODING};
use shared::env::print_duration;

use super::{
    Monitor,
    body::Body,
    document::Node,
    expect::{ExpectBody, Selects},
    node::{Fields, Mistakes},
    secrets::NOT_HERE,
};

/// Statuses that are followed where they come with a `Location`.
const REDIRECTS: [u16; 5] = [301, 302, 303, 307, 308];

/// Finds the contradictions of a monitor, whose fields may come from the defaults.
pub(super) fn find(fields: &Fields<'_>, monitor: &Monitor, mistakes: &mut Mistakes) {
    let settings = &monitor.settings;
    let expect = &settings.expect;
    // The place of an expectation; where it comes from the defaults, that of what does not go with it here.
    let place = |key: &str, other: &str| {
        let of_defaults = || fields.own(other).or_else(|| fields.known("expect")?.get(key));
        fields.own("expect").and_then(|expect| expect.get(key)).or_else(of_defaults)
    };
    let mut wrong = |node: Option<&Node>, text: String| {
        if let Some(node) = node {
            mistakes.at(node, text);
        }
    };

    if settings.method == Method::HEAD && !expect.body.is_empty() {
        wrong(
            place("body", "method"),
            "an answer to HEAD has no body: use GET, or expect nothing of the body".to_owned(),
        );
    }
    let accepted = settings.headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !expect.body.is_empty() && !accepted.contains(NOT_HERE) && asks_for_other_codings(accepted) {
        let text = "the header accept-encoding asks for a coding that probe does not undo: expected gzip, deflate and identity \
                    only, or nothing of the body";
        wrong(place("body", "headers"), text.to_owned());
    }
    if expect.certificate_days.is_some() && monitor.target.0.scheme() == "http" {
        if settings.max_redirects == 0 {
            let text = "there is no certificate at an http:// URL: use https://, or remove certificate_days";
            wrong(place("certificate_days", "url"), text.to_owned());
        } else if fields.known("redirects").is_none() {
            let text = "there is no certificate at an http:// URL: use https://, or, if it redirects there, say so with \
                        redirects: {max: 1}";
            wrong(place("certificate_days", "url"), text.to_owned());
        }
    }
    if let Some(degraded_after) = settings.degraded_after.filter(|degraded_after| *degraded_after >= settings.timeout) {
        let [degraded_after, timeout] = [degraded_after, settings.timeout].map(print_duration);
        let node =
            fields.own("degraded_after").or_else(|| fields.own("timeout")).or_else(|| fields.known("degraded_after"));
        let text = format!(
            "an answer that takes longer than degraded_after ({degraded_after}) is given up after timeout ({timeout}): expected \
             less than the timeout"
        );
        wrong(node, text);
    }
    let only = |is_such: &dyn Fn(u16) -> bool| expect.status.iter().all(|range| range.clone().all(is_such));
    if only(&|status| status < 200) {
        let text = "a server sends another status after each status below 200: expected a status of 200 or above";
        wrong(place("status", "expect"), text.to_owned());
    }
    if settings.max_redirects > 0 && only(&|status| REDIRECTS.contains(&status)) {
        let text = "redirects with such a status are followed, so that it is not the answer's: add redirects: {max: 0}";
        wrong(place("status", "redirects"), text.to_owned());
    }
    if only(&|status| matches!(status, 100..=199 | 204 | 304)) {
        let empty = Body::new(String::new(), false);
        if let Some(error) = expect.body.iter().find_map(|expected| expected.check(&empty, &|text| text.into()).err()) {
            let statuses = print(&expect.status);
            wrong(
                place("body", "expect"),
                format!("an answer with the status {statuses} has no body, and {error}: remove one of them"),
            );
        }
    }
    if let Some(path) = expect
        .body
        .iter()
        .enumerate()
        .find_map(|(index, one)| expect.body.iter().take(index).find_map(|other| contradicts(one, other)))
    {
        wrong(place("body", "expect"), format!("what is expected of {path} cannot be together: remove one of them"));
    }
}

/// Whether a server may answer with a coding that is not undone. `*` stands for any coding, and `q=0` refuses one.
fn asks_for_other_codings(accepted: &str) -> bool {
    accepted.split(',').any(|member| {
        let (coding, weight) = member.split_once(';').unwrap_or((member, ""));
        let coding = coding.trim().to_ascii_lowercase();
        let is_refused = weight.split_once('=').is_some_and(|(_, weight)| weight.trim().parse() == Ok(0.0));
        !is_refused && !matches!(coding.as_str(), "" | "gzip" | "x-gzip" | "deflate" | "identity")
    })
}

/// The path of which two expectations contradict each other.
fn contradicts<'expect>(one: &'expect ExpectBody, other: &ExpectBody) -> Option<&'expect str> {
    let (ExpectBody::Json { path, selects: one }, ExpectBody::Json { path: other_path, selects: other }) = (one, other)
    else {
        return None;
    };
    let is_contradiction = match (one, other) {
        (Selects::Only(one), Selects::Only(other)) => one != other,
        (Selects::Nothing, other) => *other != Selects::Nothing,
        (one, Selects::Nothing) => *one != Selects::Nothing,
        _ => false,
    };
    (is_contradiction && path.is_same(other_path)).then(|| path.text())
}

fn print(ranges: &[RangeInclusive<u16>]) -> String {
    let print = |range: &RangeInclusive<u16>| match (range.start(), range.end()) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    };
    ranges.iter().map(print).collect::<Vec<_>>().join(" or ")
}
