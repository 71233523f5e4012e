//! Rows of `probes` as samples: where the fragments of an hour do not do.

use std::{collections::BTreeMap, pin::pin};

use futures_util::TryStreamExt as _;
use tokio_postgres::{
    Client, Row,
    types::{ToSql, Type},
};

use super::{
    Sample, Verdict,
    block::{Block, Key},
};
use crate::{
    database::DatabaseError,
    micros::{Micros, Span},
    record::{FailureKind, Outcome},
};

/// This bit of the column `attempt`, but for its sign, says that its slot began late.
pub const LATE: u16 = 1 << 14;

/// The rows of some hours of a block of targets, or of those of its targets in `only`, as one query sees them: samples,
/// sorted.
///
/// # Errors
/// The database failed, or holds codes of a newer release.
pub(super) async fn select(
    client: &Client,
    block: Block,
    only: Option<&[i32]>,
    hours: &[Micros],
) -> Result<BTreeMap<Key, Vec<Sample>>, DatabaseError> {
    let mut selected: BTreeMap<Key, Vec<Sample>> = BTreeMap::new();
    let (Some(&from), Some(&last)) = (hours.iter().min(), hours.iter().max()) else { return Ok(selected) };
    let to = Span::Hour.end(last);
    let (first_target, last_target) = block.targets();
    let parameters: [(&(dyn ToSql + Sync), Type); 6] = [
        (&first_target, Type::INT4),
        (&last_target, Type::INT4),
        (&only, Type::INT4_ARRAY),
        (&hours, Type::TIMESTAMPTZ_ARRAY),
        (&from, Type::TIMESTAMPTZ),
        (&to, Type::TIMESTAMPTZ),
    ];
    let mut rows = pin!(client.query_typed_raw(include_str!("select_rows.sql"), parameters).await?);
    while let Some(row) = rows.try_next().await? {
        add(&row, &mut selected)?;
    }
    selected.values_mut().for_each(|samples| samples.sort_unstable());
    Ok(selected)
}

/// Adds the samples of a row, whose columns but the first are arrays, in the order of the query.
fn add(row: &Row, selected: &mut BTreeMap<Key, Vec<Sample>>) -> Result<(), DatabaseError> {
    let hour: Micros = row.try_get(0)?;
    let targets: Vec<i32> = row.try_get(1)?;
    let locations: Vec<i16> = row.try_get(2)?;
    let instants: Vec<Micros> = row.try_get(3)?;
    let statuses: Vec<Option<i16>> = row.try_get(4)?;
    let outcomes: Vec<i16> = row.try_get(5)?;
    let errors: Vec<i16> = row.try_get(6)?;
    let response_times: Vec<Option<i32>> = row.try_get(7)?;
    let attempts: Vec<i16> = row.try_get(13)?;
    let mut phases = Vec::with_capacity(5);
    for column in 8..13 {
        phases.push(row.try_get::<_, Vec<Option<i32>>>(column)?);
    }
    let verdicts = statuses.into_iter().zip(outcomes.into_iter().zip(errors.into_iter().zip(attempts)));
    let probes = targets.into_iter().zip(locations).zip(instants.into_iter().zip(response_times)).zip(verdicts);
    for (index, (((target, location), (probed_at, response_time_us)), (status, codes))) in probes.enumerate() {
        let mut phases_us = [None; 5];
        for (duration, durations) in phases_us.iter_mut().zip(&phases) {
            *duration = durations.get(index).copied().flatten();
        }
        let sample = Sample { probed_at, verdict: verdict(status, codes)?, response_time_us, phases_us };
        selected.entry(((target, location), hour)).or_default().push(sample);
    }
    Ok(())
}

/// The verdict that codes in the database stand for: the status, and those of outcome, error and attempt.
///
/// # Errors
/// A code is of a newer release.
pub fn verdict(status: Option<i16>, (outcome, (error, attempt)): (i16, (i16, i16))) -> Result<Verdict, DatabaseError> {
    let unknown = |what: &str, code: i16| {
        DatabaseError::Unexpected(format!("{what} of code {code}, which this release does not know"))
    };
    let index = |code: i16| usize::try_from(code).ok();
    let known = index(outcome).and_then(|code| Outcome::ALL.get(code));
    let outcome = *known.ok_or_else(|| unknown("an outcome", outcome))?;
    let error = match error {
        -1 => None,
        code => {
            let known = index(code).and_then(|code| FailureKind::ALL.get(code));
            Some(*known.ok_or_else(|| unknown("a kind of error", code))?)
        }
    };
    let is_late = attempt.unsigned_abs() & LATE > 0;
    Ok(Verdict { status: status.map(i16::cast_unsigned), outcome, error, is_retried: attempt < 0, is_late })
}
