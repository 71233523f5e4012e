//! Which path is asked for, and how.

use http::{HeaderMap, Method, header};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::{
    event::Request,
    negotiate,
    page::{self, Asset},
    problem::StatsError,
    query::StatsQuery,
};

/// What a client may send as it is, and a URL may not have (RFC 3986).
const NOT_IN_URLS: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');

/// The methods that each path takes.
pub const METHODS: &str = "GET, HEAD, OPTIONS";

/// What a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// To get something, or only what would be said about it.
    Get(Endpoint),
    /// To be told what may be asked.
    Options,
    /// To be told that the page is elsewhere: its name is followed by a slash, from which all that is in it is reckoned.
    WithSlash(String),
}

/// A path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `/`, the status page.
    Page,
    /// What belongs to it.
    Asset(&'static Asset, Fingerprint),
    /// `/overview`.
    Overview,
    /// `/failures`.
    Failures,
    /// `/stats`.
    Stats,
    /// `/metrics`.
    Metrics,
    /// `/badge.svg`.
    Badge,
    /// `/health`.
    Health,
    /// `/openapi.json`.
    OpenApi,
}

/// Whether the path of an asset names its contents as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fingerprint {
    /// It does.
    Right,
    /// It names those of another release, while one takes the place of another.
    Other,
}

impl Route {
    /// The route of a request. What comes before the path is left out: the stage of an API, then a prefix of its own.
    ///
    /// # Errors
    /// There is no such path, or it does not take the method.
    pub fn of(request: &Request, prefix: &str) -> Result<Self, StatsError> {
        let stage = request.stage.as_ref().map(|stage| format!("/{stage}")).unwrap_or_default();
        let whole = request.path.as_str();
        let path = without(without(whole, &stage), prefix);
        let is_get = matches!(request.method, Method::GET | Method::HEAD);
        let endpoint = match Endpoint::of(path) {
            Err(_) if is_get && path.len() > 1 && [&*stage, prefix].contains(&path) => {
                // Relative, since what comes before may be more than is known here.
                let name = whole.rsplit('/').next().unwrap_or_default();
                let query = if request.query.is_empty() { String::new() } else { format!("?{}", request.query) };
                return Ok(Self::WithSlash(utf8_percent_encode(&format!("{name}/{query}"), NOT_IN_URLS).to_string()));
            }
            found => found?,
        };
        match request.method {
            Method::GET | Method::HEAD => Ok(Self::Get(endpoint)),
            Method::OPTIONS => Ok(Self::Options),
            _ => Err(StatsError::MethodNotAllowed),
        }
    }
}

/// A path without what comes before it; the path itself, where it does not begin with that.
fn without<'path>(path: &'path str, before: &str) -> &'path str {
    path.strip_prefix(before).filter(|rest| rest.starts_with('/')).unwrap_or(path)
}

impl Endpoint {
    /// The paths, for whoever looks for another one.
    pub const PATHS: &str = "/, /overview, /failures, /stats, /metrics, /badge.svg, /health or /openapi.json";

    fn of(path: &str) -> Result<Self, StatsError> {
        if let Some(path) = path.strip_prefix("/assets/") {
            let (asset, fingerprint) = page::asset(path).ok_or(StatsError::NotFound)?;
            return Ok(Self::Asset(asset, fingerprint));
        }
        match path.strip_suffix('/').unwrap_or(path) {
            "" => Ok(Self::Page),
            "/overview" => Ok(Self::Overview),
            "/failures" => Ok(Self::Failures),
            "/stats" => Ok(Self::Stats),
            "/metrics" => Ok(Self::Metrics),
            "/badge.svg" => Ok(Self::Badge),
            "/health" => Ok(Self::Health),
            "/openapi.json" => Ok(Self::OpenApi),
            _ => Err(StatsError::NotFound),
        }
    }

    /// Reads its query string. What is about now and says no window is about a time that suits it.
    ///
    /// # Errors
    /// Every parameter that is unknown, repeated or unusable.
    pub fn query(self, query: &str) -> Result<StatsQuery, StatsError> {
        let (allowed, window) = match self {
            Self::Stats => (StatsQuery::STATS, None),
            Self::Metrics => (StatsQuery::METRICS, Some("1h")),
            Self::Badge => (StatsQuery::BADGE, Some("30d")),
            Self::Overview => (StatsQuery::OVERVIEW, None),
            Self::Failures => (StatsQuery::FAILURES, Some("24h")),
            // What is in the address of the page is for its script.
            Self::Page | Self::Asset(..) => return Ok(StatsQuery::default()),
            Self::Health | Self::OpenApi => (&[] as &[&str], None),
        };
        Ok(StatsQuery::parse_some(query, allowed, window)?)
    }

    /// The media type of its answer, of those that it has, that the client likes best.
    #[must_use]
    pub fn content_type(self, headers: &HeaderMap) -> &'static str {
        let offered: &[&str] = match self {
            Self::Stats => &["application/json", "text/csv"],
            Self::Metrics => &["text/plain", "application/openmetrics-text"],
            Self::Badge => &["image/svg+xml"],
            Self::Page => &["text/html"],
            Self::Asset(asset, _) => &[asset.content_type],
            Self::Overview | Self::Failures | Self::Health | Self::OpenApi => &["application/json"],
        };
        negotiate::media_type(&negotiate::text(headers, &header::ACCEPT), offered)
    }
}
