//! Schedules that begin where no probe does, as records with a wrong slot said them before flush knew better: each begins
//! again with its first probe, or goes.

use anyhow::{Context as _, Result};
use shared::{
    Micros, Span,
    history::{Sample, chunk, summary::read_summary},
    record::Outcome,
    timestamp,
};
use tokio_postgres::{
    Client, Row,
    types::{ToSql, Type},
};

/// The first probe of a schedule comes no later after its slot than this, or an interval.
const MAX_LATE: i64 = 15 * 60 * 1_000_000;

/// What was repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Repaired {
    /// Schedules in the database.
    pub schedules: usize,
    /// Schedules that begin later now, with their first probe.
    pub moved: usize,
    /// Schedules that are gone, since no probe was made by them.
    pub removed: usize,
}

/// What a target was to be probed like from a location, from an instant on.
struct Schedule {
    target: i32,
    location: i16,
    since: Micros,
    interval_ms: i32,
    /// When the next one begins.
    until: Micros,
}

/// Repairs every schedule of the database, in one transaction. It needs the rights of the owner of the tables. Batches that
/// store settings wait until it commits.
///
/// # Errors
/// The database failed, or holds what this release cannot read; nothing is changed then.
pub async fn repair_schedules(client: &mut Client) -> Result<Repaired> {
    let transaction = client.transaction().await?;
    transaction.batch_execute("lock table target_settings in share row exclusive mode").await?;
    // Without an interval it is of a probe that no schedule asked for.
    let query = "select target_id, location_id, since, interval_ms, \
                 lead(since, 1, 'infinity') over (partition by target_id, location_id order by since) \
                 from target_settings where interval_ms is not null order by target_id, location_id, since";
    let rows = transaction.query_typed(query, &[]).await?;
    let schedule = |row: &Row| -> Result<Schedule> {
        Ok(Schedule {
            target: row.try_get(0)?,
            location: row.try_get(1)?,
            since: row.try_get(2)?,
            interval_ms: row.try_get(3)?,
            until: row.try_get(4)?,
        })
    };
    let mut repaired = Repaired { schedules: rows.len(), ..Repaired::default() };
    let latest = Micros::from(timestamp::now()).latest_plausible();
    for row in &rows {
        let schedule = schedule(row)?;
        let late = MAX_LATE.max(i64::from(schedule.interval_ms).saturating_mul(1_000));
        let first = first_probe(transaction.client(), &schedule, schedule.until.min(latest)).await?;
        let key: [(&(dyn ToSql + Sync), Type); 3] =
            [(&schedule.target, Type::INT4), (&schedule.location, Type::INT2), (&schedule.since, Type::TIMESTAMPTZ)];
        match first {
            Some(first) if first.0.saturating_sub(schedule.since.0) <= late => {}
            Some(first) => {
                // A probe by hand may have said tags then: those stay.
                let update = "with moved as ( \
                        delete from target_settings where target_id = $1 and location_id = $2 and since = $3 returning * \
                    ) \
                    insert into target_settings (target_id, location_id, since, interval_ms, tags) \
                    select target_id, location_id, $4, interval_ms, tags from moved \
                    on conflict (target_id, location_id, since) do update set interval_ms = excluded.interval_ms";
                let parameters = [key.as_slice(), &[(&first, Type::TIMESTAMPTZ)]].concat();
                transaction.execute_typed(update, &parameters).await?;
                repaired.moved += 1;
            }
            None => {
                let delete = "delete from target_settings where target_id = $1 and location_id = $2 and since = $3";
                transaction.execute_typed(delete, &key).await?;
                repaired.removed += 1;
            }
        }
    }
    transaction.commit().await?;
    Ok(repaired)
}

/// The first probe of a schedule before `until`: in rows, chunks, or, where those were dropped, days. A slot that was missed
/// is none.
async fn first_probe(client: &Client, schedule: &Schedule, until: Micros) -> Result<Option<Micros>> {
    let rows = "select min(probed_at) from probes \
                where target_id = $1 and location_id = $2 and probed_at >= $3 and probed_at < $4 and outcome <> 3";
    let row = select(client, rows, schedule, schedule.since, until).await?;
    let in_rows: Option<Micros> = row.first().map_or(Ok(None), |row| row.try_get(0))?;
    let found = [in_rows, in_chunks(client, schedule, until).await?, in_days(client, schedule, until).await?];
    Ok(found.into_iter().flatten().min())
}

async fn select(client: &Client, query: &str, of: &Schedule, from: Micros, to: Micros) -> Result<Vec<Row>> {
    let parameters: [(&(dyn ToSql + Sync), Type); 4] =
        [(&of.target, Type::INT4), (&of.location, Type::INT2), (&from, Type::TIMESTAMPTZ), (&to, Type::TIMESTAMPTZ)];
    Ok(client.query_typed(query, &parameters).await?)
}

async fn in_chunks(client: &Client, schedule: &Schedule, until: Micros) -> Result<Option<Micros>> {
    let query = "select hour, samples, instants from chunks \
                 where target_id = $1 and location_id = $2 and hour >= $3 and hour < $4 order by hour limit 24";
    let mut from = Span::Hour.start(schedule.since);
    loop {
        let rows = select(client, query, schedule, from, until).await?;
        for row in &rows {
            let hour = row.try_get(0)?;
            let columns = chunk::Columns { samples: row.try_get(1)?, instants: row.try_get(2)?, phases: None };
            let samples = chunk::decode(hour, columns).context("a chunk cannot be read")?;
            let is_probe = |sample: &&Sample| {
                sample.verdict.outcome != Outcome::Missed && (schedule.since..until).contains(&sample.probed_at)
            };
            if let Some(first) = samples.iter().filter(is_probe).map(|sample| sample.probed_at).min() {
                return Ok(Some(first));
            }
            from = Span::Hour.end(hour);
        }
        if rows.is_empty() {
            return Ok(None);
        }
    }
}

async fn in_days(client: &Client, schedule: &Schedule, until: Micros) -> Result<Option<Micros>> {
    let query = "select starts_at, summary from summaries as day \
                 where target_id = $1 and location_id = $2 and span = 1 and starts_at >= $3 and starts_at < $4 \
                 and starts_at < (select chunks_from from horizon) order by starts_at limit 24";
    let mut from = Span::Day.start(schedule.since);
    loop {
        let rows = select(client, query, schedule, from, until).await?;
        for row in &rows {
            let starts_at = row.try_get(0)?;
            let head = read_summary(starts_at, row.try_get(1)?, [None, None]).context("a day cannot be read")?;
            // Where its verdicts are not known one by one, the first of the day is as good as any.
            let first = head.course.flatten().map_or(head.range.0, |course| course.first).max(schedule.since);
            if head.counts.probes() > 0 && first <= head.range.1 && first < until {
                return Ok(Some(first));
            }
            from = Span::Day.end(starts_at);
        }
        if rows.is_empty() {
            return Ok(None);
        }
    }
}
