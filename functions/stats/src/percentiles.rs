//! The one read: percentiles per URL from Postgres.

use jiff::Timestamp;
use shared::{database::DatabaseError, timestamp::to_system_time};
use tokio_postgres::{
    Client, Row,
    error::SqlState,
    types::{ToSql, Type},
};

use crate::{
    query::StatsQuery,
    response::{StatsReport, UrlStats},
};

/// Asks for the URLs and the window of `query`; the window is `[now − length, now)`. One round trip.
///
/// Percentiles are those of SQL's `percentile_cont`: linear interpolation between the two nearest ranks, over the
/// requests that got a response. A database without the schema has seen no probe yet: its answer is empty.
///
/// # Errors
/// The database refused.
pub async fn select(client: &Client, query: &StatsQuery, now: Timestamp) -> Result<StatsReport, DatabaseError> {
    let urls = (!query.urls.is_empty()).then_some(&query.urls);
    // A window reaches back at most a hundred years, so its start always exists.
    let to = query.window.as_ref().map(|_| now);
    let from = query.window.as_ref().and_then(|window| now.checked_sub(window.length).ok());
    let (from, to) = (from.map(to_system_time), to.map(to_system_time));
    let parameters: [(&(dyn ToSql + Sync), Type); 3] =
        [(&urls, Type::TEXT_ARRAY), (&from, Type::TIMESTAMPTZ), (&to, Type::TIMESTAMPTZ)];
    let rows = match client.query_typed(include_str!("percentiles.sql"), &parameters).await {
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Vec::new(),
        rows => rows?,
    };
    let window = query.window.as_ref().map_or("all", |window| &window.name);
    let stats = rows.iter().map(|row| read(row, window)).collect::<Result<_, _>>()?;
    Ok(StatsReport { stats })
}

fn read(row: &Row, window: &str) -> Result<UrlStats, tokio_postgres::Error> {
    let percentiles: Option<Vec<f64>> = row.try_get("percentiles_us")?;
    let millis =
        |index: usize| percentiles.as_ref().and_then(|micros| micros.get(index)).map(|micros| micros.round() / 1_000.0);
    let instant = |column| row.try_get(column).map(|time: std::time::SystemTime| Timestamp::try_from(time).ok());
    Ok(UrlStats {
        url: row.try_get("url")?,
        probes: row.try_get("probes")?,
        p50_ms: millis(0),
        p95_ms: millis(1),
        p99_ms: millis(2),
        responses: row.try_get("responses")?,
        failures: row.try_get("failures")?,
        down: row.try_get("down")?,
        window: window.to_owned(),
        first_probe_at: instant("first_probe_at")?,
        last_probe_at: instant("last_probe_at")?,
    })
}
