//! stats: an HTTP request in, response-time percentiles per URL out.
//!
//! In the order of the data: [`query`] reads the query string, [`history`] reads Postgres, [`report`] makes the answer, in
//! which [`estimate`] says what percentiles are worth, and [`response`] sends it; it is the one place where an error becomes a status.

pub mod estimate;
pub mod history;
pub mod query;
pub mod report;
pub mod response;

use jiff::Timestamp;
use lambda_http::{Body, Request, Response};
use shared::{
    Micros,
    database::{Database, DatabaseConfig, Lease},
    env::{ConfigError, Env},
    history::Measure,
    timestamp,
};

use crate::{
    history::{EXACT_PROBES, History, HistoryError, HistoryQuery},
    query::StatsQuery,
    report::StatsReport,
    response::StatsError,
};

/// The configuration of stats.
#[derive(Clone)]
pub struct StatsConfig {
    /// Where the rows are.
    pub database: DatabaseConfig,
}

/// What is made once per execution environment.
pub type Stats = Database<()>;

impl StatsConfig {
    /// Reads the configuration from a lookup of variables.
    ///
    /// # Errors
    /// Every mistake, each naming its variable.
    pub fn from_env(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut env = Env::new(lookup);
        let database = DatabaseConfig::from_env(&mut env);
        env.finish(Self { database })
    }
}

/// The Lambda handler: `GET /stats`, and an answer for everything else.
///
/// # Errors
/// None: whatever goes wrong is an HTTP status.
pub async fn handle(stats: &Stats, request: Request) -> Result<Response<Body>, lambda_http::Error> {
    let answer = match response::route(&request) {
        Ok(query) => answer(stats, query, timestamp::now()).await,
        Err(error) => Err(error),
    };
    Ok(response::to_http(answer))
}

async fn answer(stats: &Stats, query: &str, now: Timestamp) -> Result<StatsReport, StatsError> {
    run(stats, &StatsQuery::parse(query)?, now).await
}

/// Answers `query` as of `now`; a window is `[now − length, now)`. Apart from [`handle`] so that it can be called without Lambda and at a chosen time.
/// A connection that broke is replaced and the question asked once more.
///
/// # Errors
/// The database cannot be asked.
pub async fn run(stats: &Stats, query: &StatsQuery, now: Timestamp) -> Result<StatsReport, StatsError> {
    let mut lease = stats.lease().await;
    let answer = match attempt(&mut lease, query, now).await {
        Err(HistoryError::Database(error)) if error.is_transient() => {
            lease.discard();
            attempt(&mut lease, query, now).await
        }
        answer => answer,
    };
    let history = match answer {
        Err(HistoryError::Database(error)) => return Err(HistoryError::from(error).into()),
        answer => answer,
    };
    lease.keep();
    StatsReport::new(history?, query)
}

async fn attempt(lease: &mut Lease<'_, ()>, query: &StatsQuery, now: Timestamp) -> Result<History, HistoryError> {
    let [urls, monitors, tags] =
        [&query.urls, &query.monitors, &query.tags].map(|names| (!names.is_empty()).then_some(names.as_slice()));
    let (from, to) = query.window.ends(now);
    let [from, to] = [from, to].map(|end| end.map(Micros::from));
    let asked = HistoryQuery {
        urls,
        monitors,
        tags,
        from,
        to,
        measure: Measure::ResponseTime,
        exact_probes: EXACT_PROBES,
        split: query.split,
    };
    history::read(&lease.session().await?.client, &asked).await
}
