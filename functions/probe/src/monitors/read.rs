//! A monitor from the keys of a file.

use std::{
    collections::{BTreeSet, HashSet},
    ops::RangeInclusive,
    time::Duration,
};

use reqwest::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE,
};
use shared::{
    env::{Hidden, print_duration},
    record::{MAX_NAME_BYTES, MAX_TAGS},
};
use url::Url;

use super::{
    Defaults, Monitor, Settings, contradictions,
    document::{Entry, Map, Node},
    expect::{Expect, ExpectBody, ExpectText, Selects},
    jsonpath::JsonPath,
    node::{Fields, Mistakes},
    secrets::{NOT_HERE, Secrets},
    values,
};
use crate::{
    config::{check_url, check_written_url},
    exchange::authority,
};

const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(800);
/// Headers that say how the request itself is sent.
const OF_THE_CLIENT: [HeaderName; 4] = [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE];
const INTERVALS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);

/// The monitor, as far as nothing is wrong with it, and whether it is enabled. Keys that it does not have are those of the
/// defaults of its file.
pub(super) fn monitor(
    node: &Node,
    file_defaults: Option<&Node>,
    defaults: &Defaults,
    secrets: &Secrets,
    all_mistakes: &mut Mistakes,
) -> Option<(Monitor, bool)> {
    let mut own_mistakes = Mistakes::default();
    let monitor = checked_monitor(node, file_defaults, defaults, secrets, &mut own_mistakes);
    all_mistakes.extend(own_mistakes.finish());
    monitor
}

fn checked_monitor(
    node: &Node,
    file_defaults: Option<&Node>,
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
    let monitor = Monitor { id: Some(id?), url, target, settings };
    // Where something is wrong, its default stands for it, which may contradict what is right.
    if mistakes.is_empty() {
        contradictions::find(&fields, &monitor, mistakes);
    }
    Some((monitor, is_enabled))
}

/// Finds what is wrong with the defaults of a file, which may have every key but those that tell monitors apart.
pub(super) fn check_defaults(node: &Node, defaults: &Defaults, secrets: &Secrets, mistakes: &mut Mistakes) {
    if let Some(mut fields) = Fields::of("defaults", node, None, mistakes) {
        settings(&mut fields, defaults, secrets, mistakes);
        fields.finish(mistakes);
    }
}

/// The settings of a monitor, and whether it is enabled. Where a mistake was found, something else stands there.
fn settings(
    fields: &mut Fields<'_>,
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
    set(&mut settings.locations, fields.get("locations").map(|node| Some(names(node, mistakes))));
    set(&mut settings.tags, fields.get("tags").map(|node| tags(node, mistakes)));
    set(&mut is_enabled, fields.get("enabled").map(|node| values::switch(node, mistakes)));
    (settings, is_enabled)
}

/// One name, or a list of names, each once.
fn names(node: &Node, mistakes: &mut Mistakes) -> Vec<String> {
    let mut known = BTreeSet::new();
    for node in node.as_list().unwrap_or_default() {
        if node.as_text().is_some_and(|name| !known.insert(name)) {
            mistakes.at(node, format!("{} is there twice: expected it once", node.kind()));
        }
    }
    values::list(node, mistakes, name)
}

fn tags(node: &Node, mistakes: &mut Mistakes) -> Option<Vec<String>> {
    let tags = names(node, mistakes);
    if tags.len() > MAX_TAGS {
        mistakes.at(node, format!("these are {} tags: expected at most {MAX_TAGS}", tags.len()));
    }
    Some(tags)
}

/// An interval, which has to fit the tick: slots are counted in ticks, or ticks in slots.
fn interval(node: &Node, tick: Duration, mistakes: &mut Mistakes) -> Option<Duration> {
    let interval = values::duration(node, INTERVALS, mistakes)?;
    let divides = |one: Duration, other: Duration| other.as_millis().is_multiple_of(one.as_millis().max(1));
    if !divides(interval, tick) && !divides(tick, interval) {
        let tick = print_duration(tick);
        mistakes.at(
            node,
            format!(
                "{} is neither a multiple of the schedule's {tick} (WM_PROBE_TICK) nor goes into it without remainder",
                node.kind()
            ),
        );
    }
    Some(interval)
}

/// A name that a record may carry.
fn name(node: &Node, mistakes: &mut Mistakes) -> Option<String> {
    let text = values::text(node, mistakes)?;
    let wrong = if text.is_empty() || text.chars().any(char::is_control) {
        "expected some text without control characters".to_owned()
    } else if text.len() > MAX_NAME_BYTES {
        format!("it has {} bytes, expected at most {MAX_NAME_BYTES}", text.len())
    } else {
        return Some(text);
    };
    mistakes.at(node, format!("{text:?} is no name: {wrong}"));
    None
}

/// The URL as it is written, and as it is requested.
fn target(node: &Node, secrets: &Secrets, mistakes: &mut Mistakes) -> Option<(String, Hidden<Url>)> {
    let written = values::text(node, mistakes)?;
    let text = mistakes.check(node, secrets.expand(&written))?;
    if text.contains(NOT_HERE) {
        mistakes.check(node, check_written_url(&written))?;
        let scheme = if written.to_ascii_lowercase().starts_with("http:") { "http" } else { "https" };
        return Some((written, Hidden(Url::parse(&format!("{scheme}://not.here.invalid/")).ok()?)));
    }
    // What is wrong with a secret is told without it.
    let checked = check_url(&text).map_err(|error| {
        if text == written { error } else { format!("{written:?} with its references is not a URL that can be probed") }
    });
    mistakes.check(node, checked)?;
    mistakes.check(node, check_written_url(&written))?;
    let url = Url::parse(&text).map_err(|error| error.to_string());
    Some((written, Hidden(mistakes.check(node, url)?)))
}

fn expanded(node: &Node, secrets: &Secrets, mistakes: &mut Mistakes) -> Option<Hidden<String>> {
    let text = values::text(node, mistakes)?;
    mistakes.check(node, secrets.expand(&text)).map(Hidden)
}

/// The headers of the defaults and those of the monitor, which take their places.
fn headers(both: [Option<&Node>; 2], secrets: &Secrets, mistakes: &mut Mistakes) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for node in both.into_iter().flatten() {
        let Some(map) = node.as_map() else {
            mistakes.at(node, format!("headers is {}: expected names and their values", node.kind()));
            continue;
        };
        for (Entry { place, node, .. }, name) in header_names(map, mistakes) {
            let value = expanded(node, secrets, mistakes).and_then(|Hidden(text)| {
                let value = HeaderValue::from_str(&text).map_err(|_| {
                    "a header cannot have this value: expected text without control characters".to_owned()
                });
                mistakes.check(node, value)
            });
            if OF_THE_CLIENT.contains(&name) {
                mistakes.at_place(*place, format!("{:?} is set by the client itself: remove it", name.as_str()));
            }
            if let Some(value) = value.as_ref().filter(|_| name == HOST) {
                mistakes.check(node, authority(value));
            }
            if let Some(mut value) = value {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
    }
    headers
}

/// The entries of a mapping whose names are names of headers, each once.
fn header_names<'map>(map: &'map Map, mistakes: &mut Mistakes) -> Vec<(&'map Entry, HeaderName)> {
    let (mut names, mut known) = (Vec::new(), HashSet::new());
    for entry in map.entries() {
        let Ok(name) = entry.name.parse::<HeaderName>() else {
            let text = format!("{:?} is no name of a header: expected letters, digits and hyphens", entry.name);
            mistakes.at_place(entry.place, text);
            continue;
        };
        if !known.insert(name.clone()) {
            let text = format!("{:?} is there twice, in capitals and small letters: expected it once", entry.name);
            mistakes.at_place(entry.place, text);
        }
        names.push((entry, name));
    }
    names
}

fn redirects(node: &Node, mistakes: &mut Mistakes) -> Option<usize> {
    let mut fields = Fields::of("redirects", node, None, mistakes)?;
    let max = fields.get("max");
    if max.is_none() {
        mistakes.at(node, "max is missing: expected a whole number from 0 to 20");
    }
    fields.finish(mistakes);
    values::number::<u16>(max?, 0..=20, mistakes).map(usize::from)
}

fn expect(node: &Node, mistakes: &mut Mistakes) -> Option<Expect> {
    let mut fields = Fields::of("expect", node, None, mistakes)?;
    let status = fields.get("status").map(|node| {
        if node.as_list().is_some_and(<[Node]>::is_empty) {
            mistakes.at(node, "this is an empty list, so that no answer would be as expected: expected a status in it");
        }
        values::list(node, mistakes, values::status)
    });
    let mut headers = Vec::new();
    if let Some(node) = fields.get("headers") {
        match node.as_map() {
            None => {
                let kind = node.kind();
                mistakes.at(node, format!("headers is {kind}: expected names and what is expected of them"));
            }
            Some(map) => {
                for (entry, name) in header_names(map, mistakes) {
                    headers.extend(header(&entry.node, mistakes).map(|expected| (name, expected)));
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
fn header(node: &Node, mistakes: &mut Mistakes) -> Option<ExpectText> {
    if let Some(text) = node.as_text() {
        if text != text.trim_matches([' ', '\t']) || text.contains(is_no_header_text) {
            mistakes.at(node, format!("no header is {text:?}: expected text without blanks around it and line ends"));
        }
        return Some(ExpectText::Equals(text.to_owned()));
    }
    if node.as_map().is_none() {
        values::text(node, mistakes);
        return None;
    }
    let mut fields = Fields::of("the expectation of a header", node, None, mistakes)?;
    let contains = fields.get("contains").map(|node| {
        let text = values::some_text(node, mistakes)?;
        if text.contains(is_no_header_text) {
            mistakes.at(node, format!("no header has {text:?} in it: expected text without line ends"));
        }
        Some(ExpectText::Contains(text))
    });
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

/// Whether a header never has this character: a control character other than a tab.
fn is_no_header_text(character: char) -> bool {
    character.is_ascii_control() && character != '\t'
}

fn body(node: &Node, mistakes: &mut Mistakes) -> Vec<ExpectBody> {
    let Some(mut fields) = Fields::of("body", node, None, mistakes) else { return Vec::new() };
    let mut expected = Vec::new();
    if let Some(node) = fields.get("contains") {
        expected.extend(values::expectations(node, mistakes, values::some_text).into_iter().map(ExpectBody::Contains));
    }
    if let Some(node) = fields.get("matches") {
        expected.extend(values::expectations(node, mistakes, values::regex).into_iter().map(ExpectBody::Matches));
    }
    if let Some(node) = fields.get("json") {
        expected.extend(values::expectations(node, mistakes, json));
    }
    fields.finish(mistakes);
    expected
}

/// `{path, equals}` or `{path, exists}`.
fn json(node: &Node, mistakes: &mut Mistakes) -> Option<ExpectBody> {
    let mut fields = Fields::of("an expectation of JSON", node, None, mistakes)?;
    let path = fields.get("path");
    let equals = fields.get("equals").map(|node| json_value(node, mistakes).map(Selects::Only));
    let exists = fields.get("exists").map(|node| {
        values::switch(node, mistakes).map(|exists| if exists { Selects::Something } else { Selects::Nothing })
    });
    fields.finish(mistakes);
    if path.is_none() || equals.is_some() == exists.is_some() {
        mistakes.at(node, "expected path, and one of equals, exists");
    }
    let node = path?;
    let text = values::text(node, mistakes)?;
    let path = mistakes.check(node, JsonPath::parse(&text))?;
    let selects = equals.or(exists)??;
    if path.is_root() && selects == Selects::Nothing {
        mistakes.at(node, "$ is always there: expected a path to something that may be missing");
    }
    Some(ExpectBody::Json { path, selects })
}

/// A value that JSON has too.
fn json_value(node: &Node, mistakes: &mut Mistakes) -> Option<Node> {
    match node.not_json() {
        None => Some(node.clone()),
        Some(node) => {
            mistakes
                .at(node, format!("{} is no value of JSON: expected a number, or it in quotes as text", node.kind()));
            None
        }
    }
}
