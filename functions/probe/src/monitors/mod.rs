//! What is monitored, and how: a YAML file, the URLs of `WM_URL`, or what an event carries.
//!
//! `document` reads the text. `read` makes monitors of it and finds all that is wrong with it, each mistake with its place;
//! `contradictions` finds what is right by itself and wrong together. [`expect`] judges answers, with `body` to decode them
//! and `jsonpath` to look into them; [`secrets`] resolves references. `monitors.schema.json` says the same as `read` to an
//! editor.

mod body;
mod contradictions;
mod document;
pub mod expect;
mod jsonpath;
mod node;
mod read;
pub mod secrets;
pub mod source;
mod values;

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use reqwest::{Method, header::HeaderMap};
use shared::env::Hidden;
use url::Url;

pub use self::document::Mistake;
use self::{
    document::{Node, Parsed},
    expect::Expect,
    node::{Fields, Mistakes},
    secrets::Secrets,
};

/// Redirects that are followed where a monitor does not say.
const MAX_REDIRECTS: usize = 10;

/// A monitor. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct Monitor {
    /// Its name for ever, whatever becomes of the URL; none for one of `WM_URL` or of an event's URLs.
    pub id: Option<String>,
    /// The URL as it is written, with its references, for records.
    pub url: String,
    /// The URL as it is requested.
    pub target: Hidden<Url>,
    /// The rest.
    pub settings: Settings,
}

/// How a target is requested, and what is expected of it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How it is requested.
    pub method: Method,
    /// With what; the values are marked sensitive.
    pub headers: HeaderMap,
    /// And what else.
    pub body: Option<Hidden<String>>,
    /// For a whole attempt, redirects and body included.
    pub timeout: Duration,
    /// For the name, TCP and TLS of a hop together.
    pub connect_timeout: Duration,
    /// From one slot to the next: a multiple of the tick, or a part of it that goes into it without remainder.
    pub interval: Duration,
    /// Redirects that are followed; with 0, one is an answer like any other.
    pub max_redirects: usize,
    /// Attempts after the first, in a slot where those before failed.
    pub retries: u16,
    /// What an answer must be like.
    pub expect: Expect,
    /// An answer that takes longer than this is degraded.
    pub degraded_after: Option<Duration>,
    /// Where it is probed from; everywhere if empty.
    pub locations: Vec<String>,
    /// By what it is selected, beside its id.
    pub tags: Vec<String>,
}

/// What a monitor is like where it does not say.
#[derive(Debug, Clone)]
pub struct Defaults {
    /// `WM_PROBE_TIMEOUT_MS`.
    pub timeout: Duration,
    /// `WM_PROBE_CONNECT_TIMEOUT_MS`.
    pub connect_timeout: Duration,
    /// `WM_PROBE_TICK`: how often the schedule asks, and the interval of what has none.
    pub tick: Duration,
}

/// The monitors of a file, or of what stands for one.
#[derive(Debug, Clone, Default)]
pub struct Monitors {
    /// Those that are enabled.
    pub enabled: Vec<Monitor>,
    /// The ids of the others.
    pub disabled: Vec<String>,
    secrets: Secrets,
}

impl Monitor {
    /// A monitor of a URL that [`check_url`](crate::config::check_url) accepts, in which nothing else is said.
    ///
    /// # Errors
    /// It does not accept it; says why.
    pub fn of_url(url: &str, defaults: &Defaults) -> Result<Self, String> {
        crate::config::check_url(url)?;
        let target = Url::parse(url).map_err(|error| error.to_string())?;
        Ok(Self { id: None, url: url.to_owned(), target: Hidden(target), settings: Settings::new(defaults) })
    }

    /// What it is known by: its id, or else its URL.
    #[must_use]
    pub fn name(&self) -> &str {
        self.id.as_deref().unwrap_or(&self.url)
    }
}

impl Settings {
    fn new(defaults: &Defaults) -> Self {
        Self {
            method: Method::GET,
            headers: HeaderMap::new(),
            body: None,
            timeout: defaults.timeout,
            connect_timeout: defaults.connect_timeout,
            interval: defaults.tick,
            max_redirects: MAX_REDIRECTS,
            retries: 0,
            expect: Expect::default(),
            degraded_after: None,
            locations: Vec::new(),
            tags: Vec::new(),
        }
    }
}

impl Monitors {
    /// A one-entry file for each URL.
    ///
    /// # Errors
    /// What is wrong with each that cannot be probed.
    pub fn of_urls(urls: &[String], defaults: &Defaults) -> Result<Self, Vec<String>> {
        let (mut monitors, mut mistakes) = (Self::default(), Vec::new());
        for url in urls {
            match Monitor::of_url(url, defaults) {
                Ok(monitor) => monitors.enabled.push(monitor),
                Err(error) => mistakes.push(error),
            }
        }
        if mistakes.is_empty() { Ok(monitors) } else { Err(mistakes) }
    }

    /// Reads a text: YAML or JSON, of a mapping with `monitors` and, if it likes, `defaults` for each of them.
    ///
    /// # Errors
    /// All that is wrong with it, in the order of the text.
    pub fn read(text: &str, defaults: &Defaults, secrets: Secrets) -> Result<Self, Vec<Mistake>> {
        let Parsed { documents, mistakes: found } = document::parse(text).map_err(|mistake| vec![mistake])?;
        let mut mistakes = Mistakes::default();
        mistakes.extend(found);
        let (enabled, disabled) = match documents.as_slice() {
            [root] => root_monitors(root, defaults, &secrets, &mut mistakes),
            _ => {
                let text = format!("there are {} documents: expected one, with monitors", documents.len());
                return Err(vec![Mistake { line: 1, column: 1, text }]);
            }
        };
        let mistakes = mistakes.finish();
        if mistakes.is_empty() { Ok(Self { enabled, disabled, secrets }) } else { Err(mistakes) }
    }

    /// What a person or a record may see of a text: references instead of what they lead to.
    #[must_use]
    pub fn mask<'text>(&self, text: &'text str) -> Cow<'text, str> {
        self.secrets.mask(text)
    }
}

/// The monitors that nothing is wrong with, and the ids of those that are not enabled.
fn root_monitors(
    root: &Node,
    defaults: &Defaults,
    secrets: &Secrets,
    mistakes: &mut Mistakes,
) -> (Vec<Monitor>, Vec<String>) {
    let (mut enabled, mut disabled) = (Vec::new(), Vec::new());
    let Some(mut fields) = Fields::of("a monitors file", root, None, mistakes) else { return (enabled, disabled) };
    let file_defaults = fields.get("defaults");
    let list = fields.get("monitors");
    fields.finish(mistakes);
    if let Some(node) = file_defaults {
        read::check_defaults(node, defaults, secrets, mistakes);
    }
    let Some(list) = list else {
        mistakes.at(root, "monitors is missing: expected a list");
        return (enabled, disabled);
    };
    let Some(nodes) = list.as_list() else {
        mistakes.at(list, format!("monitors is {}: expected a list", list.kind()));
        return (enabled, disabled);
    };
    let mut lines: BTreeMap<&str, u32> = BTreeMap::new();
    for node in nodes {
        if let Some(id) = node.get("id")
            && let Some(text) = id.as_text()
            && let Some(line) = lines.insert(text, id.place.line)
        {
            mistakes.at(id, format!("{text:?} is the id of a monitor on line {line} already"));
        }
        match read::monitor(node, file_defaults, defaults, secrets, mistakes) {
            Some((monitor, true)) => enabled.push(monitor),
            Some((monitor, false)) => disabled.extend(monitor.id),
            None => {}
        }
    }
    (enabled, disabled)
}

#[cfg(test)]
mod agreement;
#[cfg(test)]
pub(crate) mod tests;
