//! The order of targets, and pages of them.

use std::cmp::Ordering;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::{figures::Figures, query::StatsQuery, report::TargetStats};

/// An order of targets; those of which there is no such figure come last, and equal ones in the order of URL and monitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sort {
    /// By what.
    pub key: SortKey,
    /// From the largest to the least.
    pub is_descending: bool,
}

/// What targets are in the order of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SortKey {
    /// `url`, then monitor.
    #[default]
    Url,
    /// `probes`.
    Probes,
    /// `down`.
    Down,
    /// `p50_ms`.
    P50,
    /// `p95_ms`.
    P95,
    /// `p99_ms`.
    P99,
    /// `uptime`, by probes.
    Uptime,
}

/// The last target of a page, from which the next one goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cursor {
    /// In which order, as it is written in the query.
    pub(crate) sort: String,
    /// Its figure in that order, if there is one.
    pub value: Option<f64>,
    /// Its URL.
    pub url: String,
    /// Its monitor, or nothing.
    pub monitor: String,
}

impl SortKey {
    const ALL: [(Self, &str); 7] = [
        (Self::Url, "url"),
        (Self::Probes, "probes"),
        (Self::Down, "down"),
        (Self::P50, "p50_ms"),
        (Self::P95, "p95_ms"),
        (Self::P99, "p99_ms"),
        (Self::Uptime, "uptime"),
    ];
}

impl Sort {
    /// As it is written in the query.
    pub(crate) fn name(self) -> String {
        let name = SortKey::ALL.into_iter().find(|(key, _)| *key == self.key).map_or("", |(_, name)| name);
        format!("{}{name}", if self.is_descending { "-" } else { "" })
    }
}

impl Cursor {
    /// The cursor after a target.
    #[must_use]
    pub fn new(sort: Sort, value: Option<f64>, url: String, monitor: String) -> Self {
        Self { sort: sort.name(), value, url, monitor }
    }

    /// As it is written in an answer, and in a query: nothing to read in it for anybody else.
    #[must_use]
    pub fn encode(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }
}

/// Reads `sort=`.
pub(crate) fn parse_sort(text: &str) -> Result<Sort, String> {
    let (is_descending, name) = text.strip_prefix('-').map_or((false, text), |name| (true, name));
    let key = SortKey::ALL.into_iter().find(|(_, known)| *known == name).map(|(key, _)| key);
    let names = SortKey::ALL.map(|(_, name)| name).join(", ");
    key.map(|key| Sort { key, is_descending })
        .ok_or_else(|| format!("{text:?}: expected one of {names}, or -{name} from the largest on", name = "p95_ms"))
}

/// Reads `cursor=`.
pub(crate) fn parse_cursor(text: &str) -> Result<Cursor, String> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok();
    let cursor: Option<Cursor> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    cursor.ok_or_else(|| "it is none: expected the next of an answer, and nothing of one's own".to_owned())
}

/// The same query, from a cursor on.
#[must_use]
pub fn with_cursor(query: &str, cursor: &str) -> String {
    let others = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "cursor");
    form_urlencoded::Serializer::new(String::new()).extend_pairs(others).append_pair("cursor", cursor).finish()
}

/// Brings entries into the order asked for and keeps those of the page; the cursor of the next one, where the order is not
/// that of the URLs, in which pages are read as such.
pub(crate) fn sort(stats: &mut Vec<TargetStats>, query: &StatsQuery) -> Option<Cursor> {
    let Sort { key, is_descending } = query.sort;
    let name = |entry: &TargetStats| (entry.url.clone(), entry.monitor.clone().unwrap_or_default());
    if key == SortKey::Url {
        if is_descending {
            stats.reverse();
        }
        return None;
    }
    let order = |one: (Option<f64>, &(String, String)), other: (Option<f64>, &(String, String))| {
        let by_value = match (one.0, other.0) {
            (Some(one), Some(other)) if is_descending => other.total_cmp(&one),
            (Some(one), Some(other)) => one.total_cmp(&other),
            (one, other) => one.is_none().cmp(&other.is_none()),
        };
        by_value.then_with(|| one.1.cmp(other.1))
    };
    let mut keyed: Vec<_> = stats.drain(..).map(|entry| (value(&entry.figures, key), name(&entry), entry)).collect();
    keyed.sort_by(|one, other| order((one.0, &one.1), (other.0, &other.1)));
    if let Some(cursor) = &query.cursor {
        let last = (cursor.url.clone(), cursor.monitor.clone());
        keyed.retain(|(value, name, _)| order((*value, name), (cursor.value, &last)) == Ordering::Greater);
    }
    let limit = query.limit.unwrap_or(usize::MAX);
    let next = if keyed.len() > limit { keyed.get(limit.saturating_sub(1)) } else { None };
    let next = next.map(|(value, (url, monitor), _)| Cursor::new(query.sort, *value, url.clone(), monitor.clone()));
    stats.extend(keyed.into_iter().take(limit).map(|(_, _, entry)| entry));
    next
}

/// The figure that an order goes by.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn value(figures: &Figures, key: SortKey) -> Option<f64> {
    match key {
        SortKey::Url => None,
        SortKey::Probes => Some(figures.probes as f64),
        SortKey::Down => Some(figures.down as f64),
        SortKey::P50 => figures.p50_ms,
        SortKey::P95 => figures.p95_ms,
        SortKey::P99 => figures.p99_ms,
        SortKey::Uptime => figures.uptime.as_ref().and_then(|uptime| uptime.by_probes),
    }
}
