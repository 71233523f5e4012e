//! What is dropped by age, once it is sealed: rows after `WM_RAW_RETENTION`, chunks after `WM_CHUNK_RETENTION`, summaries
//! after `WM_DAY_RETENTION`.

use std::time::Duration;

use shared::{Micros, Span, database::DatabaseError, env::Env, timestamp};
use tokio::time::Instant;
use tokio_postgres::{
    Client,
    types::{ToSql, Type},
};

use crate::partitions::{drop_sealed, existing};

/// A day longer than topics usually keep their records, so that a topic read anew finds its rows.
const RAW_RETENTION: Duration = Duration::from_secs(8 * 86_400);
/// How often an instance looks for what has come of age.
const INTERVAL: Duration = Duration::from_secs(600);
/// How long an invocation goes on dropping, a day or a month of history at a time; the rest is for the next one.
const BUDGET: Duration = Duration::from_secs(1);
/// Any number: who has this advisory lock drops history; one does at a time.
const LOCK: i64 = 0x7765_6273_6974_6503;

/// How long to keep what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Rows of `probes`; dropped by whole days.
    pub raw: Duration,
    /// Chunks, by whole days; `None` keeps them.
    pub chunks: Option<Duration>,
    /// Summaries, by whole months; `None` keeps them.
    pub summaries: Option<Duration>,
}

/// When this instance sees to what next.
#[derive(Default)]
pub(crate) struct Schedule {
    pub(crate) sealing: Option<Instant>,
    pub(crate) retention: Option<Instant>,
}

impl Retention {
    /// Reads `WM_RAW_RETENTION`, `WM_CHUNK_RETENTION` and `WM_DAY_RETENTION`, lengths of time such as `8d`. Mistakes are
    /// noted in `env`.
    #[must_use]
    pub fn from_env(env: &mut Env<'_>) -> Self {
        let retention = Self {
            raw: env.retention("WM_RAW_RETENTION").unwrap_or(RAW_RETENTION),
            chunks: env.retention("WM_CHUNK_RETENTION"),
            summaries: env.retention("WM_DAY_RETENTION"),
        };
        if retention.chunks.is_some_and(|chunks| chunks < retention.raw) {
            env.mistake("WM_CHUNK_RETENTION is shorter than WM_RAW_RETENTION (8d by default)".to_owned());
        }
        match (retention.chunks, retention.summaries) {
            (None, Some(_)) => {
                env.mistake(
                    "WM_DAY_RETENTION is set and WM_CHUNK_RETENTION is not: chunks would be kept for ever, \
                             while the days made of them are dropped"
                        .to_owned(),
                );
            }
            (Some(chunks), Some(summaries)) if summaries < chunks => {
                env.mistake("WM_DAY_RETENTION is shorter than WM_CHUNK_RETENTION".to_owned());
            }
            _ => {}
        }
        retention
    }
}

/// Before which instants there are no chunks and no summaries any more.
#[derive(PartialEq, Eq)]
struct Dropped {
    chunks_from: Micros,
    summaries_from: Micros,
}

/// Drops what has come of age, unless it was looked at a short while ago. Where there is more of it than this invocation has
/// time for, the next one goes on.
pub(crate) async fn enforce(
    client: &Client,
    schedule: &mut Schedule,
    retention: Retention,
    now: Micros,
) -> Result<(), DatabaseError> {
    if schedule.retention.is_some_and(|due| due > Instant::now()) {
        return Ok(());
    }
    let end = Instant::now() + BUDGET;
    schedule.retention = None;
    if drop_all(client, retention, now, Some(end)).await? {
        schedule.retention = Some(Instant::now() + INTERVAL);
    }
    Ok(())
}

/// Drops what has come of age as of `now`, at least a step of it, and goes on until `end`. Whether that was all.
///
/// # Errors
/// The database failed. What was dropped until then stays so.
pub(crate) async fn drop_all(
    client: &Client,
    retention: Retention,
    now: Micros,
    end: Option<Instant>,
) -> Result<bool, DatabaseError> {
    drop_rows(client, retention, now).await?;
    let mut before = None;
    loop {
        let dropped = drop_history(client, retention, now).await?;
        // Nothing is left to drop, or it has to be sealed first, or another instance is at it.
        if dropped.is_none() || dropped == before {
            return Ok(true);
        }
        if end.is_some_and(|end| end <= Instant::now()) {
            return Ok(false);
        }
        before = dropped;
    }
}

/// Drops rows that have come of age as of `now`, and a step of history.
///
/// # Errors
/// The database failed. What was dropped until then stays so.
pub async fn drop_aged(client: &Client, retention: Retention, now: Micros) -> Result<(), DatabaseError> {
    drop_rows(client, retention, now).await?;
    drop_history(client, retention, now).await.map(drop)
}

/// The instant that was so long before another one.
fn before(now: Micros, length: Duration) -> Micros {
    Micros(now.0.saturating_sub(i64::try_from(length.as_micros()).unwrap_or(i64::MAX)))
}

/// Drops the rows that are sealed and have come of age.
async fn drop_rows(client: &Client, retention: Retention, now: Micros) -> Result<(), DatabaseError> {
    let cutoff = Span::Day.start(before(now, retention.raw));
    for (name, day) in existing(client).await? {
        if day < cutoff && drop_sealed(client, day).await? {
            tracing::info!("dropped {name}: it is sealed and older than WM_RAW_RETENTION");
        }
    }
    let other: [(&(dyn ToSql + Sync), Type); 1] = [(&cutoff, Type::TIMESTAMPTZ)];
    client.execute_typed(include_str!("delete_other_probes.sql"), &other).await?;
    Ok(())
}

/// Drops a day of chunks and a month of summaries that have come of age. How far it has come, unless that is all of the way.
async fn drop_history(client: &Client, retention: Retention, now: Micros) -> Result<Option<Dropped>, DatabaseError> {
    let chunks_from = retention.chunks.map(|length| Span::Day.start(before(now, length)));
    let summaries_from = retention.summaries.map(|length| Span::Month.start(before(now, length)));
    if chunks_from.is_none() && summaries_from.is_none() {
        return Ok(None);
    }
    // First the horizon, by itself: once it is set nobody writes before it, and readers do not look there.
    let horizon: [(&(dyn ToSql + Sync), Type); 3] =
        [(&chunks_from, Type::TIMESTAMPTZ), (&summaries_from, Type::TIMESTAMPTZ), (&LOCK, Type::INT8)];
    let moved = client.query_typed(include_str!("update_horizon.sql"), &horizon).await?;
    let lock: [(&(dyn ToSql + Sync), Type); 1] = [(&LOCK, Type::INT8)];
    let chunks = client.execute_typed(include_str!("delete_chunks.sql"), &lock).await?;
    let summaries = client.execute_typed(include_str!("delete_summaries.sql"), &lock).await?;
    let Some(row) = moved.first() else { return Ok(None) };
    let dropped = Dropped { chunks_from: row.try_get(0)?, summaries_from: row.try_get(1)? };
    if chunks + summaries > 0 {
        let text = |instant: Option<Micros>| {
            instant.filter(|at| *at != Micros::MIN).map(|at| timestamp::format(at.timestamp()))
        };
        tracing::info!(
            chunks,
            summaries,
            chunks_from = text(Some(dropped.chunks_from)),
            chunks_until = text(chunks_from),
            summaries_from = text(Some(dropped.summaries_from)),
            summaries_until = text(summaries_from),
            "dropped history older than WM_CHUNK_RETENTION or WM_DAY_RETENTION"
        );
    }
    Ok(Some(dropped))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Retention, String> {
        let lookup =
            |name: &str| variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned());
        let mut env = Env::new(&lookup);
        let retention = Retention::from_env(&mut env);
        env.finish(retention).map_err(|error| error.to_string())
    }

    #[test]
    fn rows_stay_for_eight_days_and_history_for_ever_unless_told_otherwise() {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        assert_eq!(read(&[]), Ok(Retention { raw: days(8), chunks: None, summaries: None }));
        let all = [("WM_RAW_RETENTION", "36h"), ("WM_CHUNK_RETENTION", "400d"), ("WM_DAY_RETENTION", "3650d")];
        let raw = Duration::from_secs(36 * 3_600);
        assert_eq!(read(&all), Ok(Retention { raw, chunks: Some(days(400)), summaries: Some(days(3_650)) }));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        let cases = [
            (vec![("WM_RAW_RETENTION", "8")], "WM_RAW_RETENTION is \"8\": expected a number and a unit"),
            (vec![("WM_RAW_RETENTION", "59m")], "WM_RAW_RETENTION is \"59m\": expected at least 1h"),
            (vec![("WM_CHUNK_RETENTION", "7d")], "WM_CHUNK_RETENTION is shorter than WM_RAW_RETENTION"),
            (vec![("WM_DAY_RETENTION", "90d")], "WM_DAY_RETENTION is set and WM_CHUNK_RETENTION is not"),
            (vec![("WM_CHUNK_RETENTION", "90d"), ("WM_DAY_RETENTION", "89d")], "WM_DAY_RETENTION is shorter"),
        ];
        for (variables, expected) in cases {
            let error = read(&variables).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
