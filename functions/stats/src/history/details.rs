//! What rows say and history does not keep: single probes with the words of their errors, and certificates.

use std::collections::BTreeMap;

use shared::{
    Micros,
    database::DatabaseError,
    history::{Verdict, rows},
};
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};

use super::{HistoryQuery, Snapshot, Target};

/// This bit of an attempt says something else.
const LATE: u16 = rows::LATE;

/// One probe among those of which something is to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Probe {
    /// The key of its target.
    pub target: i32,
    /// The key of its location.
    pub location: i16,
    /// When it started.
    pub probed_at: Micros,
}

/// A probe that failed, or a slot that was missed.
#[derive(Debug, Clone, PartialEq)]
pub struct FailedProbe {
    /// Of which target.
    pub target: Target,
    /// From where; empty where that has no name.
    pub location: String,
    /// When it started.
    pub probed_at: Micros,
    /// What came of it.
    pub verdict: Verdict,
    /// How long it took, in microseconds.
    pub response_time_us: Option<i32>,
    /// Which attempt of its slot it was, from 1 on.
    pub attempt: u16,
    /// What the error said, or why the slot was missed.
    pub reason: Option<String>,
}

/// Probes that failed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Failures {
    /// The newest ones, from the newest on.
    pub probes: Vec<FailedProbe>,
    /// Whether there are more of them.
    pub more: bool,
    /// Since when single probes are kept; `None` where they are for all of the window in which there is anything.
    pub rows_from: Option<Micros>,
}

impl Snapshot<'_> {
    /// Why these probes failed, as far as their rows are there and say so.
    ///
    /// # Errors
    /// The database failed.
    pub async fn reasons(&self, probes: &[Probe]) -> Result<BTreeMap<Probe, String>, DatabaseError> {
        if probes.is_empty() {
            return Ok(BTreeMap::new());
        }
        let targets: Vec<i32> = probes.iter().map(|probe| probe.target).collect();
        let locations: Vec<i16> = probes.iter().map(|probe| probe.location).collect();
        let instants: Vec<Micros> = probes.iter().map(|probe| probe.probed_at).collect();
        let query = "select probes.target_id, probes.location_id, probes.probed_at, probes.error_message \
                     from unnest($1, $2, $3) as asked (target_id, location_id, probed_at) \
                     join probes using (target_id, location_id, probed_at) \
                     where error_message <> '' and outcome <> 3 and attempt > 0";
        let parameters: [(&(dyn ToSql + Sync), Type); 3] =
            [(&targets, Type::INT4_ARRAY), (&locations, Type::INT2_ARRAY), (&instants, Type::TIMESTAMPTZ_ARRAY)];
        let rows = self.client.query_typed(query, &parameters).await?;
        let reason = |row: &Row| {
            let probe = Probe { target: row.try_get(0)?, location: row.try_get(1)?, probed_at: row.try_get(2)? };
            Ok((probe, row.try_get(3)?))
        };
        rows.iter().map(reason).collect()
    }

    /// When the certificates run out that targets showed last.
    ///
    /// # Errors
    /// The database failed.
    pub async fn certificates(&self, targets: &[i32]) -> Result<BTreeMap<i32, Micros>, DatabaseError> {
        if targets.is_empty() {
            return Ok(BTreeMap::new());
        }
        let query = "select distinct on (target_id) target_id, expires_at from certificates where target_id = any ($1) \
                     order by target_id, last_seen_at desc, expires_at desc";
        let rows = self.client.query_typed(query, &[(&targets, Type::INT4_ARRAY)]).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// The newest probes that failed, and slots that were missed, of the targets and the window of a query: so many at most.
    ///
    /// # Errors
    /// The database failed, or holds codes of a newer release.
    pub async fn failures(&self, query: &HistoryQuery<'_>, limit: usize) -> Result<Failures, DatabaseError> {
        if self.version.is_none() {
            return Ok(Failures::default());
        }
        let (targets, _) = self.targets(query).await?;
        let ids: Vec<i32> = targets.known.into_keys().collect();
        let (from, to) = (query.from.unwrap_or(Micros::MIN), query.to.unwrap_or(Micros::MAX));
        // One more, to know of it.
        let wanted = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let window: [(&(dyn ToSql + Sync), Type); 4] =
            [(&ids, Type::INT4_ARRAY), (&from, Type::TIMESTAMPTZ), (&to, Type::TIMESTAMPTZ), (&wanted, Type::INT8)];
        let rows = self.client.query_typed(include_str!("select_failures.sql"), &window).await?;
        let kept = self.client.query_typed(include_str!("select_rows_from.sql"), window.get(..3).unwrap_or_default());
        let rows_from = kept.await?.first().map(|row| row.try_get(0)).transpose()?;
        let mut probes = rows.iter().map(failed).collect::<Result<Vec<_>, _>>()?;
        let more = probes.len() > limit;
        probes.truncate(limit);
        Ok(Failures { probes, more, rows_from })
    }
}

/// A row of `select_failures.sql`.
fn failed(row: &Row) -> Result<FailedProbe, DatabaseError> {
    let attempt: i16 = row.try_get("attempt")?;
    let codes = (row.try_get("outcome")?, (row.try_get("error_kind")?, attempt));
    let reason: String = row.try_get("error_message")?;
    Ok(FailedProbe {
        target: Target { url: row.try_get("url")?, monitor: row.try_get("monitor")? },
        location: row.try_get("location")?,
        probed_at: row.try_get("probed_at")?,
        verdict: rows::verdict(row.try_get("http_status_code")?, codes)?,
        response_time_us: row.try_get("response_time_us")?,
        attempt: attempt.unsigned_abs() & !LATE,
        reason: Some(reason).filter(|reason| !reason.is_empty()),
    })
}
