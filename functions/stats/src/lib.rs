//! stats: an HTTP request in, what is known about targets out.
//!
//! In the order of the data: [`event`] reads the event of Lambda, [`access`] says who may ask, [`route`] what for, and [`query`] reads the query string; [`ask`]
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
pub mod event;
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

use http::{Response, header};
use jiff::Timestamp;
use lambda_runtime::LambdaEvent;
use serde_json::value::RawValue;
use shared::{database::Database, timestamp};

pub use crate::config::StatsConfig;
use crate::{
    access::{Refused, Scope},
    cache::Cache,
    event::{Request, ResponseEvent},
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
    response::{Body, Reply},
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

/// The Lambda handler: takes the event apart and answers the request in it.
///
/// # Errors
/// None: every failure is a response with its HTTP status.
pub async fn handle(stats: &Stats, event: LambdaEvent<Box<RawValue>>) -> Result<ResponseEvent, lambda_runtime::Error> {
    let (form, request) = event::read(event.payload.get());
    let response = match request {
        Ok(request) => respond(stats, &request, timestamp::now()).await,
        Err(error) => response::to_http(&stats.config, &Request::default(), Err(error.into())),
    };
    Ok(form.write(response))
}

/// Answers a request as of `now`: a GET of each path that there is, and a problem document for everything else.
pub async fn respond(stats: &Stats, request: &Request, now: Timestamp) -> Response<Body> {
    let reply = reply(stats, request, now).await;
    response::to_http(&stats.config, request, reply)
}

async fn reply(stats: &Stats, request: &Request, now: Timestamp) -> Result<Reply, StatsError> {
    let endpoint = match Route::of(request, &stats.config.prefix)? {
        Route::Options => return Ok(Reply::Options),
        Route::WithSlash(path) => return Ok(Reply::Elsewhere(path)),
        Route::Get(endpoint) => endpoint,
    };
    let (headers, query_string) = (&request.headers, request.query.as_str());
    let scope = match endpoint {
        Endpoint::OpenApi => return endpoint.query(query_string).map(|_| Reply::openapi()),
        Endpoint::Asset(asset, fingerprint) => {
            let compresses = negotiate::takes_gzip(&negotiate::text(headers, &header::ACCEPT_ENCODING));
            return Ok(Reply::Asset { asset, fingerprint, compresses });
        }
        _ => stats.config.access.check(request).await,
    };
    if endpoint == Endpoint::Page {
        return page_for(stats, request, scope, now).await;
    }
    let (scope, query) = (scope?, endpoint.query(query_string)?);
    match endpoint {
        Endpoint::Health => Ok(Reply::Health(health::ask(stats, now).await?)),
        Endpoint::Overview => {
            let limit = query.limit.or(Some(MAX_OVERVIEW));
            let question = OverviewQuestion::new(StatsQuery { limit, ..query }, &scope, now);
            ask::answer(stats, request, &question).await
        }
        Endpoint::Failures => ask::answer(stats, request, &FailuresQuestion::new(&query, &scope, now)).await,
        endpoint => {
            let (asked, content_type) = (Asked::new(&query, &scope, now), endpoint.content_type(headers));
            ask::answer(stats, request, &ReportQuestion { asked, endpoint, content_type, query_string }).await
        }
    }
}

/// The page, for whoever asks: with what they may see.
async fn page_for(
    stats: &Stats,
    request: &Request,
    scope: Result<Scope, Refused>,
    now: Timestamp,
) -> Result<Reply, StatsError> {
    let scope = match scope {
        Ok(scope) => scope,
        Err(Refused::Unauthorized(_)) => return Ok(page::without_rows(Notice::Unauthorized)),
        Err(Refused::Unknown(error)) => {
            tracing::error!("{error}");
            return Ok(page::without_rows(Notice::Unavailable));
        }
    };
    let first = StatsQuery { limit: Some(MAX_OVERVIEW), ..StatsQuery::default() };
    match page::with_rows(stats, request, OverviewQuestion::new(first, &scope, now)).await {
        Err(error @ (StatsError::Slow | StatsError::History(HistoryError::Database(_)))) => {
            tracing::error!("{error}");
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
