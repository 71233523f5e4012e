//! stats: an HTTP request in, what is known about targets out.
//!
//! In the order of the data: [`access`] says who may ask, [`route`] what for, and [`query`] reads the query string; [`ask`]
//! asks [`history`], which reads Postgres; [`report`] makes the answer of [`figures`], in which [`estimate`] says what
//! percentiles are worth, and [`order`] brings it into pages; [`table`], [`metrics`] and [`badge`] write it in other forms; and [`response`] sends it, the one
//! place where an error becomes a status.

pub mod access;
pub mod ask;
pub mod badge;
mod cache;
pub mod config;
pub mod estimate;
pub mod figures;
pub mod health;
pub mod history;
pub mod metrics;
mod negotiate;
pub mod order;
pub mod query;
pub mod report;
pub mod response;
pub mod route;
pub mod table;

use jiff::Timestamp;
use lambda_http::{Body, Request, Response};
use shared::{database::Database, timestamp};

pub use crate::config::StatsConfig;
use crate::{
    ask::Question,
    cache::Cache,
    query::StatsQuery,
    report::StatsReport,
    response::{Reply, StatsError},
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
        Route::Get(endpoint) => endpoint,
    };
    let query = request.uri().query().unwrap_or_default();
    if endpoint == Endpoint::OpenApi {
        return endpoint.query(query).map(|_| Reply::openapi());
    }
    let scope = stats.config.access.check(request).await?;
    match endpoint {
        Endpoint::Health => {
            endpoint.query(query)?;
            Ok(Reply::Health(health::ask(stats, now).await?))
        }
        endpoint => ask::answer(stats, request, endpoint, scope, now).await,
    }
}

/// Answers `query` as of `now`. Apart from [`handle`] so that it can be called without Lambda and at a chosen time.
///
/// # Errors
/// The database cannot be asked, or what is asked for cannot be had from it.
pub async fn run(stats: &Stats, query: &StatsQuery, now: Timestamp) -> Result<StatsReport, StatsError> {
    let question = Question::new(query, None, now);
    ask::in_snapshot(stats, &question).await
}
