//! stats: an HTTP request in, what is known about targets out.
//!
//! In the order of the data: [`access`] says who may ask, [`route`] what for, and [`query`] reads the query string; [`ask`]
//! asks [`history`], which reads Postgres; [`report`] makes the answer of [`figures`], in which [`estimate`] says what
//! percentiles are worth, and [`order`] brings it into pages; [`table`], [`metrics`] and [`badge`] write it in other forms.
//! [`overview`] and [`failures`] are the answers to two more questions, and [`page`] is for people. [`response`] sends all of
//! it, or the [`problem`] that there is.

pub mod access;
pub mod ask;
pub mod badge;
mod cache;
pub mod config;
pub mod estimate;
pub mod failures;
pub mod figures;
pub mod health;
pub mod history;
pub mod metrics;
mod negotiate;
pub mod order;
pub mod overview;
pub mod page;
pub mod problem;
pub mod query;
pub mod report;
pub mod response;
pub mod route;
pub mod table;

use jiff::Timestamp;
use lambda_http::{
    Body, Request, Response,
    http::{HeaderMap, header},
};
use shared::{database::Database, timestamp};

pub use crate::config::StatsConfig;
use crate::{
    access::{Refused, Scope},
    cache::Cache,
    failures::FailuresQuestion,
    history::HistoryError,
    overview::question::OverviewQuestion,
    page::Notice,
    problem::StatsError,
    query::{MAX_OVERVIEW, StatsQuery},
    report::{
        StatsReport,
        question::{Asked, ReportQuestion},
    },
    response::Reply,
    route::{Endpoint, Route},
};

/// What is made once per execution environment.
pub struct Stats {
    config: StatsConfig,
    database: Database<()>,
    cache: Cache,
}

impl Stats {
    /// Connects when it is first asked.
    #[must_use]
    pub fn new(config: StatsConfig) -> Self {
        Self { database: Database::new(config.database.clone()), config, cache: Cache::default() }
    }
}

/// The Lambda handler: a GET of each path that there is, and an answer for everything else.
///
/// # Errors
/// None: whatever goes wrong is an HTTP status.
pub async fn handle(stats: &Stats, request: Request) -> Result<Response<Body>, lambda_http::Error> {
    let reply = reply(stats, &request, timestamp::now()).await;
    Ok(response::to_http(&stats.config, &request, reply))
}

async fn reply(stats: &Stats, request: &Request, now: Timestamp) -> Result<Reply, StatsError> {
    let endpoint = match Route::of(request, &stats.config.prefix)? {
        Route::Options => return Ok(Reply::Options),
        Route::WithSlash(path) => return Ok(Reply::Elsewhere(path)),
        Route::Get(endpoint) => endpoint,
    };
    let (headers, query_string) = (request.headers(), request.uri().query().unwrap_or_default());
    let scope = match endpoint {
        Endpoint::OpenApi => return endpoint.query(query_string).map(|_| Reply::openapi()),
        Endpoint::Asset(asset, fingerprint) => {
            let compresses = negotiate::takes_gzip(&negotiate::text(headers, &header::ACCEPT_ENCODING));
            return Ok(Reply::Asset { asset, fingerprint, compresses });
        }
        _ => stats.config.access.check(request).await,
    };
    if endpoint == Endpoint::Page {
        return page_for(stats, headers, scope, now).await;
    }
    let (scope, query) = (scope?, endpoint.query(query_string)?);
    match endpoint {
        Endpoint::Health => Ok(Reply::Health(health::ask(stats, now).await?)),
        Endpoint::Overview => {
            let limit = query.limit.or(Some(MAX_OVERVIEW));
            let question = OverviewQuestion::new(StatsQuery { limit, ..query }, &scope, now);
            ask::answer(stats, headers, &question).await
        }
        Endpoint::Failures => ask::answer(stats, headers, &FailuresQuestion::new(&query, &scope, now)).await,
        endpoint => {
            let (asked, content_type) = (Asked::new(&query, &scope, now), endpoint.content_type(headers));
            ask::answer(stats, headers, &ReportQuestion { asked, endpoint, content_type, query_string }).await
        }
    }
}

/// The page, for whoever asks: with what they may see.
async fn page_for(
    stats: &Stats,
    headers: &HeaderMap,
    scope: Result<Scope, Refused>,
    now: Timestamp,
) -> Result<Reply, StatsError> {
    let scope = match scope {
        Ok(scope) => scope,
        Err(Refused::Unauthorized(_)) => return Ok(page::without_rows(Notice::Unauthorized)),
        Err(Refused::Unknown(error)) => {
            lambda_http::tracing::error!("{error}");
            return Ok(page::without_rows(Notice::Unavailable));
        }
    };
    let first = StatsQuery { limit: Some(MAX_OVERVIEW), ..StatsQuery::default() };
    match page::with_rows(stats, headers, OverviewQuestion::new(first, &scope, now)).await {
        Err(error @ (StatsError::Slow | StatsError::History(HistoryError::Database(_)))) => {
            lambda_http::tracing::error!("{error}");
            Ok(page::without_rows(Notice::Unavailable))
        }
        answered => answered,
    }
}

/// Answers `query` as of `now`. Apart from [`handle`] so that it can be called without Lambda and at a chosen time.
///
/// # Errors
/// The database cannot be asked, or what is asked for cannot be had from it.
pub async fn run(stats: &Stats, query: &StatsQuery, now: Timestamp) -> Result<StatsReport, StatsError> {
    ask::in_snapshot(stats, &Asked::new(query, &None, now)).await
}
