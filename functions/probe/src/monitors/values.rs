//! The values of a monitors file: each from its node, or a mistake that says what is allowed.

use std::{ops::RangeInclusive, time::Duration};

use regex::Regex;
use regex_syntax::hir::{Look, LookSet};
use reqwest::Method;
use shared::env::{expected_duration, parse_duration};

use super::{
    document::{Node, Value},
    node::Mistakes,
};

pub(super) fn text(node: &Node, mistakes: &mut Mistakes) -> Option<String> {
    let text = node.as_text().map(str::to_owned);
    if text.is_none() {
        let quoted = node.kind();
        let expected = match node.value {
            Value::Null => "expected text, in quotes if it begins with #; or remove the key".to_owned(),
            Value::Bool(_) | Value::Number(_) => format!("expected text, in quotes: '{quoted}'"),
            _ => "expected text".to_owned(),
        };
        mistakes.at(node, format!("this is {quoted}: {expected}"));
    }
    text
}

/// Text that is not empty: an empty one is in every answer.
pub(super) fn some_text(node: &Node, mistakes: &mut Mistakes) -> Option<String> {
    let text = text(node, mistakes)?;
    if text.is_empty() {
        mistakes.at(node, "this is empty, and so in every answer: expected some text");
    }
    Some(text)
}

pub(super) fn switch(node: &Node, mistakes: &mut Mistakes) -> Option<bool> {
    let switch = node.as_bool();
    if switch.is_none() {
        mistakes.at(node, format!("this is {}: expected true or false", node.kind()));
    }
    switch
}

/// A whole number, however it is written: 14 may be `14.0` too.
pub(super) fn number<T: TryFrom<i64> + PartialOrd + std::fmt::Display>(
    node: &Node,
    range: RangeInclusive<T>,
    mistakes: &mut Mistakes,
) -> Option<T> {
    let number = node.as_integer().and_then(|number| T::try_from(number).ok());
    let number = number.filter(|number| range.contains(number));
    if number.is_none() {
        let (kind, first, last) = (node.kind(), range.start(), range.end());
        mistakes.at(node, format!("this is {kind}: expected a whole number from {first} to {last}"));
    }
    number
}

/// A duration with its unit.
pub(super) fn duration(node: &Node, range: RangeInclusive<Duration>, mistakes: &mut Mistakes) -> Option<Duration> {
    let duration = node.as_text().and_then(parse_duration).filter(|duration| range.contains(duration));
    if duration.is_none() {
        mistakes.at(node, format!("this is {}: {}", node.kind(), expected_duration(&range)));
    }
    duration
}

pub(super) fn method(node: &Node, mistakes: &mut Mistakes) -> Option<Method> {
    const METHODS: [Method; 7] =
        [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
    let method = METHODS.into_iter().find(|method| node.as_text() == Some(method.as_str()));
    if method.is_none() {
        mistakes.at(node, format!("this is {}: expected GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS", node.kind()));
    }
    method
}

/// One value, or a list of them, which may be empty.
pub(super) fn list<T>(
    node: &Node,
    mistakes: &mut Mistakes,
    mut read: impl FnMut(&Node, &mut Mistakes) -> Option<T>,
) -> Vec<T> {
    match node.as_list() {
        Some(nodes) => nodes.iter().filter_map(|node| read(node, mistakes)).collect(),
        None => read(node, mistakes).into_iter().collect(),
    }
}

/// One expectation, or a list of them, which is not empty.
pub(super) fn expectations<T>(
    node: &Node,
    mistakes: &mut Mistakes,
    read: impl FnMut(&Node, &mut Mistakes) -> Option<T>,
) -> Vec<T> {
    if node.as_list().is_some_and(<[Node]>::is_empty) {
        mistakes
            .at(node, "this is an empty list, of which no answer could be right or wrong: expected something in it");
    }
    list(node, mistakes, read)
}

/// A status, or a range of them such as `200-299`.
pub(super) fn status(node: &Node, mistakes: &mut Mistakes) -> Option<RangeInclusive<u16>> {
    let one = node.as_integer().and_then(|status| u16::try_from(status).ok()).map(|status| status..=status);
    let of_three_digits = |text: &str| {
        let is_status = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| is_status)
    };
    let range = one.or_else(|| {
        let (first, last) = node.as_text()?.split_once('-')?;
        Some(of_three_digits(first.trim_end_matches(' '))?..=of_three_digits(last.trim_start_matches(' '))?)
    });
    let range = range.filter(|range| [range.start(), range.end()].iter().all(|status| (100..=999).contains(*status)));
    if range.as_ref().is_some_and(RangeInclusive::is_empty) {
        mistakes
            .at(node, format!("this is {}, which ends before it begins: expected the lower status first", node.kind()));
        return None;
    }
    if range.is_none() {
        let kind = node.kind();
        mistakes.at(node, format!("this is {kind}: expected a status or a range of them, as in 204 or 200-299"));
    }
    range
}

pub(super) fn regex(node: &Node, mistakes: &mut Mistakes) -> Option<Regex> {
    let pattern = some_text(node, mistakes)?;
    // The last line of its error says what is wrong; those before draw it.
    let regex = Regex::new(&pattern).map_err(|error| {
        let error = error.to_string();
        format!("{pattern:?} is not a regular expression: {}", error.lines().last().unwrap_or_default())
    });
    let regex = mistakes.check(node, regex)?;
    if !pattern.is_empty() && matches_every_text(&pattern) {
        mistakes.at(node, format!("{pattern:?} matches every text: expected a pattern that some text does not match"));
    }
    Some(regex)
}

/// Whether a pattern matches the empty text at the start of each text, or at its end.
fn matches_every_text(pattern: &str) -> bool {
    let Ok(pattern) = regex_syntax::parse(pattern) else { return false };
    let looks = pattern.properties().look_set();
    let is_only = |allowed: [Look; 3]| allowed.into_iter().fold(looks, LookSet::remove).is_empty();
    pattern.properties().minimum_len() == Some(0)
        && (is_only([Look::Start, Look::StartLF, Look::StartCRLF]) || is_only([Look::End, Look::EndLF, Look::EndCRLF]))
}
