//! The values of a monitors file: each from its node, or a mistake that says what is allowed.

use std::{ops::RangeInclusive, time::Duration};

use regex::Regex;
use reqwest::Method;
use shared::env::{expected_duration, parse_duration};

use super::node::{Mistakes, Node, kind};

pub(super) fn text(node: &Node<'_>, mistakes: &mut Mistakes) -> Option<String> {
    let text = node.data.as_str().map(str::to_owned);
    if text.is_none() {
        mistakes
            .at(node, format!("this is {}: expected text, in quotes where it looks like something else", kind(node)));
    }
    text
}

pub(super) fn switch(node: &Node<'_>, mistakes: &mut Mistakes) -> Option<bool> {
    let switch = node.data.as_bool();
    if switch.is_none() {
        mistakes.at(node, format!("this is {}: expected true or false", kind(node)));
    }
    switch
}

pub(super) fn number<T: TryFrom<i64> + PartialOrd + std::fmt::Display>(
    node: &Node<'_>,
    range: RangeInclusive<T>,
    mistakes: &mut Mistakes,
) -> Option<T> {
    let number = node.data.as_integer().and_then(|number| T::try_from(number).ok());
    let number = number.filter(|number| range.contains(number));
    if number.is_none() {
        mistakes
            .at(node, format!("this is {}: expected a number from {} to {}", kind(node), range.start(), range.end()));
    }
    number
}

/// A duration with its unit.
pub(super) fn duration(node: &Node<'_>, range: RangeInclusive<Duration>, mistakes: &mut Mistakes) -> Option<Duration> {
    let duration = node.data.as_str().and_then(parse_duration).filter(|duration| range.contains(duration));
    if duration.is_none() {
        mistakes.at(node, format!("this is {}: {}", kind(node), expected_duration(&range)));
    }
    duration
}

pub(super) fn method(node: &Node<'_>, mistakes: &mut Mistakes) -> Option<Method> {
    const METHODS: [Method; 7] =
        [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
    let method = METHODS.into_iter().find(|method| node.data.as_str() == Some(method.as_str()));
    if method.is_none() {
        mistakes.at(node, format!("this is {}: expected GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS", kind(node)));
    }
    method
}

/// One value, or a list of them.
pub(super) fn list<T>(
    node: &Node<'_>,
    mistakes: &mut Mistakes,
    mut read: impl FnMut(&Node<'_>, &mut Mistakes) -> Option<T>,
) -> Vec<T> {
    match node.data.as_sequence() {
        Some(nodes) => nodes.iter().filter_map(|node| read(node, mistakes)).collect(),
        None => read(node, mistakes).into_iter().collect(),
    }
}

/// A status, or a range of them such as `200-299`.
pub(super) fn status(node: &Node<'_>, mistakes: &mut Mistakes) -> Option<RangeInclusive<u16>> {
    let one = node.data.as_integer().and_then(|status| u16::try_from(status).ok()).map(|status| status..=status);
    let range = one.or_else(|| {
        let (first, last) = node.data.as_str()?.split_once('-')?;
        Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
    });
    let range = range.filter(|range| !range.is_empty() && *range.start() >= 100 && *range.end() <= 999);
    if range.is_none() {
        mistakes
            .at(node, format!("this is {}: expected a status or a range of them, as in 204 or 200-299", kind(node)));
    }
    range
}

pub(super) fn regex(node: &Node<'_>, mistakes: &mut Mistakes) -> Option<Regex> {
    let pattern = text(node, mistakes)?;
    // The last line of its error says what is wrong; those before draw it.
    let regex = Regex::new(&pattern).map_err(|error| {
        let error = error.to_string();
        format!("{pattern:?} is not a regular expression: {}", error.lines().last().unwrap_or_default())
    });
    mistakes.check(node, regex)
}
