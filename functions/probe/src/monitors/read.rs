//! A monitor from the keys of a file.

use std::{ops::RangeInclusive, time::Duration};

use reqwest::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use serde_json::Value;
use shared::{
    env::{Hidden, print_duration},
    record::{MAX_NAME_BYTES, MAX_TAGS},
};
use url::Url;

use super::{
    Defaults, Monitor, Settings,
    expect::{Expect, ExpectBody, ExpectText, Selects, query},
    node::{Fields, Mistakes, Node, kind},
    secrets::{NOT_HERE, Secrets},
    values,
};
use crate::config::check_url;

const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(800);
/// Headers that say how the request itself is sent.
const OF_THE_CLIENT: [HeaderName; 4] = [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE];
const INTERVALS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);

/// The monitor, as far as nothing is wrong with it, and whether it is enabled. Keys that it does not have are those of the
/// defaults of its file.
pub(super) fn monitor(
    node: &Node<'_>,
    file_defaults: Option<&Node<'_>>,
    defaults: &Defaults,
    secrets: &Secrets,
    mistakes: &mut Mistakes,
) -> Option<(Monitor, bool)> {
    let mut fields = Fields::of("a monitor", node, file_defaults, mistakes)?;
    let id = fields.get("id");
    let url = fields.get("url");
    for (key, value) in [("id", id), ("url", url)] {
        if value.is_none() {
            mistakes.at(node, format!("{key} is missing"));
        }
    }
    let id = id.and_then(|node| name(node, mistakes));
    let url = url.and_then(|node| target(node, secrets, mistakes));
    let (settings, is_enabled) = settings(&mut fields, defaults, secrets, mistakes);
    fields.finish(mistakes);
    let (url, target) = url?;
    Some((Monitor { id: Some(id?), url, target, settings }, is_enabled))
}

/// Finds what is wrong with the defaults of a file, which may have every key but those that tell monitors apart.
pub(super) fn check_defaults(node: &Node<'_>, defaults: &Defaults, secrets: &Secrets, mistakes: &mut Mistakes) {
    if let Some(mut fields) = Fields::of("defaults", node, None, mistakes) {
        settings(&mut fields, defaults, secrets, mistakes);
        fields.finish(mistakes);
    }
}

/// The settings of a monitor, and whether it is enabled. Where a mistake was found, something else stands there.
fn settings(
    fields: &mut Fields<'_, '_>,
    defaults: &Defaults,
    secrets: &Secrets,
    mistakes: &mut Mistakes,
) -> (Settings, bool) {
    fn set<T>(setting: &mut T, value: Option<Option<T>>) {
        if let Some(Some(value)) = value {
            *setting = value;
        }
    }
    let mut settings = Settings::new(defaults);
    let mut is_enabled = true;
    set(&mut settings.method, fields.get("method").map(|node| values::method(node, mistakes)));
    settings.headers = headers(fields.get_both("headers"), secrets, mistakes);
    settings.body = fields.get("body").and_then(|node| expanded(node, secrets, mistakes));
    set(&mut settings.timeout, fields.get("timeout").map(|node| values::duration(node, TIMEOUTS, mistakes)));
    let connect_timeout = fields.get("connect_timeout").map(|node| values::duration(node, TIMEOUTS, mistakes));
    set(&mut settings.connect_timeout, connect_timeout);
    set(&mut settings.interval, fields.get("interval").map(|node| interval(node, defaults.tick, mistakes)));
    set(&mut settings.max_redirects, fields.get("redirects").map(|node| redirects(node, mistakes)));
    set(&mut settings.retries, fields.get("retries").map(|node| values::number(node, 0..=10, mistakes)));
    set(&mut settings.expect, fields.get("expect").map(|node| expect(node, mistakes)));
    settings.degraded_after = fields.get("degraded_after").and_then(|node| values::duration(node, TIMEOUTS, mistakes));
    set(&mut settings.locations, fields.get("locations").map(|node| Some(values::list(node, mistakes, name))));
    set(&mut settings.tags, fields.get("tags").map(|node| tags(node, mistakes)));
    set(&mut is_enabled, fields.get("enabled").map(|node| values::switch(node, mistakes)));
    (settings, is_enabled)
}

fn tags(node: &Node<'_>, mistakes: &mut Mistakes) -> Option<Vec<String>> {
    let tags = values::list(node, mistakes, name);
    if tags.len() > MAX_TAGS {
        mistakes.at(node, format!("these are {} tags: expected at most {MAX_TAGS}", tags.len()));
    }
    Some(tags)
}

/// An interval, which has to fit the tick: slots are counted in ticks, or ticks in slots.
fn interval(node: &Node<'_>, tick: Duration, mistakes: &mut Mistakes) -> Option<Duration> {
    let interval = values::duration(node, INTERVALS, mistakes)?;
    let divides = |one: Duration, other: Duration| other.as_millis().is_multiple_of(one.as_millis().max(1));
    if !divides(interval, tick) && !divides(tick, interval) {
        let tick = print_duration(tick);
        mistakes.at(
            node,
            format!(
                "{} is neither a multiple of the schedule's {tick} (WM_PROBE_TICK) nor goes into it without remainder",
                kind(node)
            ),
        );
    }
    Some(interval)
}

/// A name that a record may carry.
fn name(node: &Node<'_>, mistakes: &mut Mistakes) -> Option<String> {
    let text = values::text(node, mistakes)?;
    let is_good = (1..=MAX_NAME_BYTES).contains(&text.len()) && !text.chars().any(char::is_control);
    let good =
        if is_good { Ok(text) } else { Err(format!("{text:?} is no name: expected 1 to {MAX_NAME_BYTES} bytes")) };
    mistakes.check(node, good)
}

/// The URL as it is written, and as it is requested.
fn target(node: &Node<'_>, secrets: &Secrets, mistakes: &mut Mistakes) -> Option<(String, Hidden<Url>)> {
    let written = values::text(node, mistakes)?;
    let text = mistakes.check(node, secrets.expand(&written))?;
    if text.contains(NOT_HERE) {
        return Some((written, Hidden(Url::parse("http://not.here.invalid/").ok()?)));
    }
    // What is wrong with a secret is told without it.
    let checked = check_url(&text).map_err(|error| {
        if text == written { error } else { format!("{written:?} with its references is not a URL that can be probed") }
    });
    mistakes.check(node, checked)?;
    let url = Url::parse(&text).map_err(|error| error.to_string());
    Some((written, Hidden(mistakes.check(node, url)?)))
}

fn expanded(node: &Node<'_>, secrets: &Secrets, mistakes: &mut Mistakes) -> Option<Hidden<String>> {
    let text = values::text(node, mistakes)?;
    mistakes.check(node, secrets.expand(&text)).map(Hidden)
}

/// The headers of the defaults and those of the monitor, which take their places.
fn headers(both: [Option<&Node<'_>>; 2], secrets: &Secrets, mistakes: &mut Mistakes) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for node in both.into_iter().flatten() {
        let Some(entries) = node.data.as_mapping() else {
            mistakes.at(node, format!("headers is {}: expected names and their values", kind(node)));
            continue;
        };
        for (key, node) in entries {
            let value = expanded(node, secrets, mistakes).and_then(|Hidden(text)| {
                let value = HeaderValue::from_str(&text).map_err(|_| "a header cannot have this value".to_owned());
                mistakes.check(node, value)
            });
            let name = header_name(key, mistakes);
            if let Some(name) = name.as_ref().filter(|name| OF_THE_CLIENT.contains(name)) {
                mistakes.at(key, format!("{:?} is set by the client itself", name.as_str()));
            }
            if let (Some(name), Some(mut value)) = (name, value) {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
    }
    headers
}

fn header_name(node: &Node<'_>, mistakes: &mut Mistakes) -> Option<HeaderName> {
    let text = values::text(node, mistakes)?;
    mistakes.check(node, text.parse().map_err(|_| format!("{text:?} is no name of a header")))
}

fn redirects(node: &Node<'_>, mistakes: &mut Mistakes) -> Option<usize> {
    let mut fields = Fields::of("redirects", node, None, mistakes)?;
    let max = fields.get("max");
    if max.is_none() {
        mistakes.at(node, "max is missing");
    }
    fields.finish(mistakes);
    values::number::<u16>(max?, 0..=20, mistakes).map(usize::from)
}

fn expect(node: &Node<'_>, mistakes: &mut Mistakes) -> Option<Expect> {
    let mut fields = Fields::of("expect", node, None, mistakes)?;
    let status = fields.get("status").map(|node| {
        if node.data.as_sequence().is_some_and(Vec::is_empty) {
            mistakes.at(node, "this is an empty list: no answer would be as expected");
        }
        values::list(node, mistakes, values::status)
    });
    let mut headers = Vec::new();
    if let Some(node) = fields.get("headers") {
        match node.data.as_mapping() {
            None => {
                mistakes.at(node, format!("headers is {}: expected names and what is expected of them", kind(node)));
            }
            Some(entries) => {
                for (key, value) in entries {
                    headers.extend(header_name(key, mistakes).zip(header(value, mistakes)));
                }
            }
        }
    }
    let body = fields.get("body").map_or_else(Vec::new, |node| body(node, mistakes));
    let certificate_days = fields.get("certificate_days").and_then(|node| values::number(node, 1..=3_650, mistakes));
    fields.finish(mistakes);
    Some(Expect { status: status.unwrap_or_else(|| Expect::default().status), headers, body, certificate_days })
}

/// Text that a header equals, or one of the other expectations.
fn header(node: &Node<'_>, mistakes: &mut Mistakes) -> Option<ExpectText> {
    if let Some(text) = node.data.as_str() {
        return Some(ExpectText::Equals(text.to_owned()));
    }
    let mut fields = Fields::of("the expectation of a header", node, None, mistakes)?;
    let contains = fields.get("contains").map(|node| values::text(node, mistakes).map(ExpectText::Contains));
    let matches = fields.get("matches").map(|node| values::regex(node, mistakes).map(ExpectText::Matches));
    let exists = fields.get("exists").map(|node| values::switch(node, mistakes).map(ExpectText::Exists));
    fields.finish(mistakes);
    let mut given = [contains, matches, exists].into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(one), None) => one,
        _ => {
            mistakes.at(node, "expected text, or one of contains, matches, exists");
            None
        }
    }
}

fn body(node: &Node<'_>, mistakes: &mut Mistakes) -> Vec<ExpectBody> {
    let Some(mut fields) = Fields::of("body", node, None, mistakes) else { return Vec::new() };
    let mut expected = Vec::new();
    if let Some(node) = fields.get("contains") {
        expected.extend(values::list(node, mistakes, values::text).into_iter().map(ExpectBody::Contains));
    }
    if let Some(node) = fields.get("matches") {
        expected.extend(values::list(node, mistakes, values::regex).into_iter().map(ExpectBody::Matches));
    }
    if let Some(node) = fields.get("json") {
        expected.extend(values::list(node, mistakes, json));
    }
    fields.finish(mistakes);
    expected
}

/// `{path, equals}` or `{path, exists}`.
fn json(node: &Node<'_>, mistakes: &mut Mistakes) -> Option<ExpectBody> {
    let mut fields = Fields::of("an expectation of JSON", node, None, mistakes)?;
    let path = fields.get("path");
    let equals = fields.get("equals").map(|node| mistakes.check(node, value(node)).map(Selects::Only));
    let exists = fields.get("exists").map(|node| {
        values::switch(node, mistakes).map(|exists| if exists { Selects::Something } else { Selects::Nothing })
    });
    fields.finish(mistakes);
    if path.is_none() || equals.is_some() == exists.is_some() {
        mistakes.at(node, "expected path, and one of equals, exists");
    }
    let node = path?;
    let path = values::text(node, mistakes)?;
    let query = mistakes.check(node, query(&path))?;
    Some(ExpectBody::Json { path, query, selects: equals.or(exists)?? })
}

/// YAML as JSON.
pub(super) fn value(node: &Node<'_>) -> Result<Value, String> {
    if let Some(nodes) = node.data.as_sequence() {
        return nodes.iter().map(value).collect();
    }
    if let Some(entries) = node.data.as_mapping() {
        let entry = |(key, node): (&Node<'_>, &Node<'_>)| {
            let key = key.data.as_str().ok_or_else(|| format!("{} is no key of JSON: expected text", kind(key)))?;
            Ok((key.to_owned(), value(node)?))
        };
        return entries.iter().map(entry).collect();
    }
    let data = &node.data;
    if data.is_null() {
        return Ok(Value::Null);
    }
    let float = data.as_floating_point().filter(|float| float.is_finite());
    let number = data.as_integer().map(Value::from).or_else(|| float.map(Value::from));
    let scalar = data.as_str().map(Value::from).or_else(|| data.as_bool().map(Value::from)).or(number);
    scalar.ok_or_else(|| format!("{} is no value of JSON", kind(node)))
}
