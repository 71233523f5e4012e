//! The answer as JSON, and the one place where an error becomes an HTTP status.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lambda_http::{
    Body, Request, Response,
    http::{HeaderValue, Method, StatusCode, header},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::{
    Micros,
    database::DatabaseError,
    record::{FailureKind, Outcome},
    timestamp,
};

use crate::{
    estimate::{Percentile, estimate, millis},
    history::History,
    query::{BadParameter, StatsQuery},
};

/// Classes of statuses, in the order in which they are counted.
const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"];

/// What percentiles are over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Population {
    /// Requests that got a response, of any status.
    Responses,
}

/// The answer of `GET /stats`. The envelope and the first five names are those of the Python CLI `wm`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatsReport {
    /// One entry per URL, in the order of the URLs.
    pub stats: Vec<UrlStats>,
}

/// What is known about one URL within the window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UrlStats {
    /// The URL as configured.
    pub url: String,
    /// Every probe, whatever came of it; of a slot that was tried again, each attempt.
    pub probes: i64,
    /// Half of the responses were at least this fast. In milliseconds, to the microsecond; null without a response.
    pub p50_ms: Option<f64>,
    /// The 95th percentile.
    pub p95_ms: Option<f64>,
    /// The 99th percentile.
    pub p99_ms: Option<f64>,
    /// Probes that got a response of any status: those that the percentiles are over.
    pub responses: i64,
    /// Probes that got none; `probes` is `responses` and `failures`.
    pub failures: i64,
    /// Slots with the verdict down: failures, and responses that were not as expected, at the last attempt.
    pub down: i64,
    /// Slots with the verdict up.
    pub up: i64,
    /// Slots with the verdict degraded: as expected, but slow.
    pub degraded: i64,
    /// Slots in which no request was made that could tell anything; they are not among the probes.
    pub missed: i64,
    /// Attempts that failed and were made again in the same slot.
    pub retried: i64,
    /// Probes by the kind of their error; kinds that did not occur are left out.
    pub errors: BTreeMap<String, i64>,
    /// Responses by the class of their status, `1xx` to `5xx` and `other`; classes that did not occur are left out.
    pub statuses: BTreeMap<String, i64>,
    /// The fastest response.
    pub min_ms: Option<f64>,
    /// The mean over the responses.
    pub mean_ms: Option<f64>,
    /// The slowest response.
    pub max_ms: Option<f64>,
    /// What the percentiles are over: `responses`, requests that got one, of any status.
    pub population: Population,
    /// The percentiles that were asked for, and how much is known of each.
    pub percentiles: Vec<Percentile>,
    /// The window as asked for, or `all`.
    pub window: String,
    /// Where what is counted begins, inclusive: with the window, or later where older history was dropped; null where
    /// nothing was and everything is counted.
    #[serde(with = "timestamp::option")]
    pub from: Option<Timestamp>,
    /// Where it ends, exclusive; null where everything is counted.
    #[serde(with = "timestamp::option")]
    pub to: Option<Timestamp>,
    /// Whether the percentiles are exact; otherwise whole days in them come from histograms.
    pub exact: bool,
    /// By how much a percentile may be off, relative to itself: 0 where they are exact. Counts are always exact.
    pub max_relative_error: f64,
    /// When the first probe of the window started.
    #[serde(with = "timestamp::option")]
    pub first_probe_at: Option<Timestamp>,
    /// When the last one started.
    #[serde(with = "timestamp::option")]
    pub last_probe_at: Option<Timestamp>,
}

impl StatsReport {
    /// The report of what was read.
    #[must_use]
    pub fn new(history: History, query: &StatsQuery) -> Self {
        let (from, to) = history.window;
        let stats = history.urls.into_iter().map(|(url, mut tally)| {
            let always = [50.0, 95.0, 99.0];
            let wanted: Vec<f64> = always.into_iter().chain(query.percentiles.iter().copied()).collect();
            let (mut percentiles, extremes) = estimate(&mut tally, &wanted);
            let asked = percentiles.split_off(always.len().min(percentiles.len()));
            let mut always = percentiles.into_iter().map(|percentile| percentile.ms);
            let [p50_ms, p95_ms, p99_ms] = [(); 3].map(|()| always.next().flatten());
            let (probes, responses) = (tally.counts.probes(), tally.counts.responses());
            UrlStats {
                url,
                probes: count(probes),
                p50_ms,
                p95_ms,
                p99_ms,
                responses: count(responses),
                failures: count(probes.saturating_sub(responses)),
                down: count(tally.counts.of(Outcome::Down)),
                up: count(tally.counts.of(Outcome::Up)),
                degraded: count(tally.counts.of(Outcome::Degraded)),
                missed: count(tally.counts.of(Outcome::Missed)),
                retried: count(tally.counts.retried),
                errors: named(FailureKind::ALL.map(name), tally.counts.errors),
                statuses: named(CLASSES.map(str::to_owned), tally.counts.status_classes),
                min_ms: extremes.map(|(least, _)| least),
                mean_ms: tally.mean().map(millis),
                max_ms: extremes.map(|(_, largest)| largest),
                population: Population::Responses,
                percentiles: asked,
                window: query.window.name().to_owned(),
                from: from.map(Micros::timestamp),
                to: to.map(Micros::timestamp),
                exact: tally.is_exact(),
                max_relative_error: tally.relative_error(),
                first_probe_at: tally.range.map(|(first, _)| first.timestamp()),
                last_probe_at: tally.range.map(|(_, last)| last.timestamp()),
            }
        });
        Self { stats: stats.collect() }
    }
}

fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The counts that are not 0, by name.
fn named<const N: usize>(names: [String; N], counts: [u64; N]) -> BTreeMap<String, i64> {
    names.into_iter().zip(counts).filter(|(_, count)| *count > 0).map(|(name, number)| (name, count(number))).collect()
}

/// The name of a kind, as records have it.
fn name(kind: FailureKind) -> String {
    json!(kind).as_str().map(str::to_owned).unwrap_or_default()
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum StatsError {
    /// No such path.
    #[error("no such path")]
    NotFound,
    /// The path takes GET only.
    #[error("only GET is allowed")]
    MethodNotAllowed,
    /// Parameters that cannot be used.
    #[error("bad parameters: {0:?}")]
    BadParameters(Vec<BadParameter>),
    /// The database cannot be asked; the details are for the log.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The report cannot be written as JSON.
    #[error("cannot encode the report: {0}")]
    Encode(#[from] serde_json::Error),
}

impl From<Vec<BadParameter>> for StatsError {
    fn from(bad: Vec<BadParameter>) -> Self {
        Self::BadParameters(bad)
    }
}

/// The query string of a request for statistics.
///
/// # Errors
/// Another path, or another method.
pub fn route(request: &Request) -> Result<&str, StatsError> {
    match request.uri().path() {
        "/stats" | "/stats/" if request.method() == Method::GET => Ok(request.uri().query().unwrap_or_default()),
        "/stats" | "/stats/" => Err(StatsError::MethodNotAllowed),
        _ => Err(StatsError::NotFound),
    }
}

/// The HTTP response: a report, or a problem document (RFC 9457) that tells the client what it can act on and no
/// more.
#[must_use]
pub fn to_http(answer: Result<StatsReport, StatsError>) -> Response<Body> {
    let error = match answer.map(|report| serde_json::to_string(&report)) {
        Ok(Ok(report)) => return respond(StatusCode::OK, "application/json", report),
        Ok(Err(error)) => StatsError::Encode(error),
        Err(error) => error,
    };
    let (status, detail) = match &error {
        StatsError::NotFound => (StatusCode::NOT_FOUND, json!({"detail": "expected GET /stats"})),
        StatsError::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, json!({"detail": "expected GET"})),
        StatsError::BadParameters(bad) => (StatusCode::BAD_REQUEST, json!({"errors": bad})),
        StatsError::Encode(error) => {
            lambda_http::tracing::error!("{error}");
            (StatusCode::INTERNAL_SERVER_ERROR, json!({}))
        }
        StatsError::Database(error) => {
            lambda_http::tracing::error!("{error}");
            (StatusCode::SERVICE_UNAVAILABLE, json!({"detail": "the database cannot be asked at the moment"}))
        }
    };
    let mut problem = json!({"title": status.canonical_reason(), "status": status.as_u16()});
    if let (Some(problem), Some(detail)) = (problem.as_object_mut(), detail.as_object()) {
        problem.extend(detail.clone());
    }
    let mut response = respond(status, "application/problem+json", problem.to_string());
    match status {
        StatusCode::METHOD_NOT_ALLOWED => response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET")),
        StatusCode::SERVICE_UNAVAILABLE => {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"))
        }
        _ => None,
    };
    response
}

fn respond(status: StatusCode, content_type: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::Text(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
