//! The partitions of `probes`, one per UTC day: made ahead of need, dropped by [`retention`](crate::retention).

use std::collections::{BTreeMap, BTreeSet};

use shared::{
    Micros, Span,
    database::{DatabaseError, causes},
};
use tokio_postgres::{
    Client, Error, Row as Answer,
    error::SqlState,
    types::{ToSql, Type},
};

use crate::row::Row;

/// How many days ahead there is a partition for.
const DAYS_AHEAD: i64 = 2;
/// Rows in a batch that are worth a partition of their own for a day that is past. Fewer go to `probes_other`.
const WORTH_A_PARTITION: usize = 1_000;
/// With more partitions than this, whatever made them, no further ones are made for days that are past.
const TOO_MANY: usize = 400;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// The days known to have a partition.
#[derive(Default)]
pub(crate) struct Partitions {
    /// `None` before the database was asked.
    days: Option<BTreeSet<Micros>>,
}

impl Partitions {
    /// Makes the partitions of today and the days to come, and of the past days that many of the rows lie in. What has
    /// no partition is at home in `probes_other`, so nothing depends on this but speed.
    pub(crate) async fn ensure(&mut self, client: &Client, rows: &[Row<'_>], now: Micros) -> Result<(), DatabaseError> {
        let days = match &mut self.days {
            Some(days) => days,
            None => self.days.insert(existing(client).await?.into_values().collect()),
        };
        let today = Span::Day.start(now);
        let ahead = (0..=DAYS_AHEAD).map(|day| Micros(today.0 + day * MICROS_PER_DAY));
        let mut wanted: BTreeSet<_> = ahead.collect();
        if days.len() < TOO_MANY {
            wanted.extend(past_days(rows, today));
        }
        for day in wanted {
            if !days.contains(&day) && make(client, day).await? {
                days.insert(day);
            }
        }
        Ok(())
    }
}

/// The past days that enough of the rows lie in.
fn past_days(rows: &[Row<'_>], today: Micros) -> impl Iterator<Item = Micros> {
    let mut counts: BTreeMap<_, usize> = BTreeMap::new();
    for same_day in rows.chunk_by(|one, next| Span::Day.start(one.key.probed_at) == Span::Day.start(next.key.probed_at))
    {
        if let Some(row) = same_day.first() {
            *counts.entry(Span::Day.start(row.key.probed_at)).or_default() += same_day.len();
        }
    }
    let plausible = move |day: &Micros| (Micros(0)..today).contains(day);
    counts.into_iter().filter(|(_, rows)| *rows >= WORTH_A_PARTITION).map(|(day, _)| day).filter(plausible)
}

/// The partitions that there are, by name, with their days.
pub(crate) async fn existing(client: &Client) -> Result<BTreeMap<String, Micros>, DatabaseError> {
    let rows = client.query_typed(include_str!("select_partitions.sql"), &[]).await?;
    let partition = |row: &Answer| Ok((row.try_get(0)?, row.try_get(1)?));
    rows.iter().map(partition).collect()
}

/// Makes the partition of a day, and moves into it what had been put up in `probes_other` before. False if others were
/// in the way.
async fn make(client: &Client, day: Micros) -> Result<bool, DatabaseError> {
    match call(client, "select website_monitor_make_partition(($1 at time zone 'UTC')::date)::text", day).await {
        Ok(_) => Ok(true),
        Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => Ok(false),
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            tracing::warn!("no partition is made, and rows go to probes_other: {}", causes(&error));
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// Drops the partition of a day unless some of its hours are to be sealed. False if they are, or if others were in the way.
pub(crate) async fn drop_sealed(client: &Client, day: Micros) -> Result<bool, DatabaseError> {
    match call(client, "select website_monitor_drop_partition(($1 at time zone 'UTC')::date)", day).await {
        Ok(rows) => Ok(rows.first().map_or(Ok(false), |row| row.try_get(0))?),
        Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Calls a function of the owner of the tables, since flush need not be that.
async fn call(client: &Client, statement: &str, day: Micros) -> Result<Vec<Answer>, Error> {
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&day, Type::TIMESTAMPTZ)];
    client.query_typed(statement, &parameters).await
}
