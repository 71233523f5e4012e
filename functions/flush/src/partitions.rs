//! The partitions of `probes`, one per UTC day: made ahead of need, dropped by [`retention`](crate::retention).

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::Offset;
use shared::{Micros, Span, database::DatabaseError};
use tokio_postgres::{
    Client,
    error::SqlState,
    types::{ToSql, Type},
};

use crate::row::Row;

/// Whoever makes or drops partitions holds this advisory lock.
pub(crate) const LOCK: i64 = 0x7765_6273_6974_6501;

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
    pub(crate) async fn ensure(
        &mut self,
        client: &mut Client,
        rows: &[Row<'_>],
        now: Micros,
    ) -> Result<(), DatabaseError> {
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
    let partition = |row: &tokio_postgres::Row| Ok((row.try_get(0)?, row.try_get(1)?));
    rows.iter().map(partition).collect()
}

/// Makes the partition of a day, and moves into it what had been put up in `probes_other` before. False if others were
/// in the way.
async fn make(client: &mut Client, day: Micros) -> Result<bool, DatabaseError> {
    let date = |day: Micros| Offset::UTC.to_datetime(day.timestamp()).date();
    let (from, to) = (date(day), date(Span::Day.end(day)));
    let name = format!("probes_{}", from.strftime("%Y%m%d"));
    let transaction = client.transaction().await?;
    transaction.batch_execute(&format!("set local lock_timeout = '2s'; select pg_advisory_xact_lock({LOCK})")).await?;
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&name, Type::TEXT)];
    let there = "select to_regclass($1) is not null";
    if transaction.query_typed(there, &parameters).await?.first().map_or(Ok(false), |row| row.try_get(0))? {
        return Ok(true);
    }
    let made = transaction
        .batch_execute(&format!(
            "create table {name} (like probes including all);
             lock table probes_other in access exclusive mode;
             with moved as (
                 delete from probes_other
                 where probed_at >= '{from} 00:00:00+00' and probed_at < '{to} 00:00:00+00'
                 returning *
             )
             insert into {name} select * from moved;
             alter table probes attach partition {name}
                 for values from ('{from} 00:00:00+00') to ('{to} 00:00:00+00')"
        ))
        .await;
    match made {
        Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => return Ok(false),
        made => made?,
    }
    transaction.commit().await?;
    Ok(true)
}
