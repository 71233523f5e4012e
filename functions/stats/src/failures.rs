//! The last failures: single probes, with the words of their errors.

use jiff::Timestamp;
use serde::Serialize;
use shared::{
    Micros,
    record::{FailureKind, Outcome},
    timestamp,
};

use crate::{
    access::Scope,
    ask::{Look, Question, Written},
    estimate::millis,
    history::{
        HistoryError, HistoryQuery, Snapshot,
        details::{FailedProbe, Failures},
    },
    problem::StatsError,
    query::{StatsQuery, Window},
    report::question::Asked,
};

/// So many are answered unless it is said how many.
const LIMIT: usize = 50;

/// The answer of `GET /failures`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FailuresReport {
    /// The window as asked for, `all`, or `custom` with ends of its own.
    pub window: String,
    /// Where it begins, inclusive; null for the beginning of everything.
    #[serde(with = "timestamp::option")]
    pub from: Option<Timestamp>,
    /// Where it ends, exclusive; null for the end of everything.
    #[serde(with = "timestamp::option")]
    pub to: Option<Timestamp>,
    /// Since when single probes are kept, or the end of the window: of older ones, not all are here. Null where nothing in the
    /// window is older.
    #[serde(with = "timestamp::option")]
    pub rows_from: Option<Timestamp>,
    /// Whether there are more in the window, before the last of these.
    pub more: bool,
    /// From the newest on.
    pub failures: Vec<Failure>,
}

/// A probe that failed, or a slot that was missed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Failure {
    /// The URL that was requested: that of its target at the time.
    pub url: String,
    /// The id of its monitor; null for a target that has none.
    pub monitor: Option<String>,
    /// When it started.
    #[serde(with = "timestamp")]
    pub probed_at: Timestamp,
    /// From where; empty where that has no name.
    pub location: String,
    /// `down` or `missed`.
    pub outcome: Outcome,
    /// The status of the response, null without one.
    pub status: Option<u16>,
    /// What failed; null for what was missed.
    pub error: Option<FailureKind>,
    /// The same in words, or why it was missed; null where nothing was said.
    pub reason: Option<String>,
    /// From the start of the request to its end, or to when it was given up; null where none was made.
    pub response_time_ms: Option<f64>,
    /// Which attempt of its slot it was, from 1 on.
    pub attempt: u16,
    /// Whether another attempt followed, so that this is not the verdict of the slot.
    pub retried: bool,
}

/// A query, by whom and when.
pub struct FailuresQuestion<'query> {
    query: &'query StatsQuery,
    asked: Asked<'query>,
    now: Timestamp,
}

impl<'query> FailuresQuestion<'query> {
    /// A query as of now.
    #[must_use]
    pub fn new(query: &'query StatsQuery, scope: &'query Scope, now: Timestamp) -> Self {
        Self { query, asked: Asked::new(query, scope, now), now }
    }

    /// Which failures: a new one is seen at once, so a window that ends now has the current minute.
    fn window(&self) -> HistoryQuery<'query> {
        let asked = self.asked.history();
        let to = match self.query.window {
            Window::Last { .. } => Some(self.now.into()),
            _ => asked.to,
        };
        // The limit is one of failures, not of targets.
        HistoryQuery { to, page: None, ..asked }
    }
}

impl Look for FailuresQuestion<'_> {
    type Found = Failures;

    async fn look(&self, snapshot: &Snapshot<'_>) -> Result<Failures, HistoryError> {
        Ok(snapshot.failures(&self.window(), self.query.limit.unwrap_or(LIMIT)).await?)
    }
}

impl Question for FailuresQuestion<'_> {
    fn key(&self) -> String {
        format!("failures {}", self.asked.key())
    }

    fn is_exact(&self) -> bool {
        !matches!(self.query.window, Window::Last { .. })
    }

    fn write(&self, found: Failures) -> Result<Written, StatsError> {
        let asked = self.window();
        let [from, to, rows_from] = [asked.from, asked.to, found.rows_from].map(|end| end.map(Micros::timestamp));
        let window = self.query.window.name().to_owned();
        let failures = found.probes.into_iter().map(Failure::from).collect();
        let report = FailuresReport { window, from, to, rows_from, more: found.more, failures };
        Ok(Written { content_type: "application/json", text: serde_json::to_string(&report)?, next: None })
    }
}

impl From<FailedProbe> for Failure {
    fn from(probe: FailedProbe) -> Self {
        let FailedProbe { target, location, probed_at, verdict, response_time_us, attempt, reason } = probe;
        Self {
            url: target.url,
            monitor: Some(target.monitor).filter(|monitor| !monitor.is_empty()),
            probed_at: probed_at.timestamp(),
            location,
            outcome: verdict.outcome,
            status: verdict.status,
            error: verdict.error,
            reason,
            response_time_ms: response_time_us.map(|micros| millis(f64::from(micros))),
            attempt,
            retried: verdict.is_retried,
        }
    }
}
