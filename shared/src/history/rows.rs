//! Rows of `probes` as samples: what flush seals, and what stats reads of hours that are not sealed yet.

use std::pin::pin;

use futures_util::TryStreamExt as _;
use tokio_postgres::{
    Client, Row,
    types::{ToSql, Type},
};

use super::{Sample, Verdict};
use crate::{
    database::DatabaseError,
    micros::{Micros, Span},
    record::{FailureKind, Outcome},
};

/// Targets in a block, as a power of two. The table `unsealed` has blocks, so this may never change.
const BLOCK_BITS: i32 = 10;

/// 1,024 targets, whose ids differ in their lowest ten bits only. Sealed and read one at a time, so that neither the work
/// nor the memory for it grows with the number of targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Block(pub i32);

impl Block {
    /// The block of a target.
    #[must_use]
    pub fn of(target_id: i32) -> Self {
        Self(target_id >> BLOCK_BITS)
    }

    /// The first and the last id in it.
    #[must_use]
    pub fn targets(self) -> (i32, i32) {
        let first = self.0 << BLOCK_BITS;
        (first, first + (1 << BLOCK_BITS) - 1)
    }
}

/// The samples of one target and location within one hour, sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourOfRows {
    /// Whose they are.
    pub target_id: i32,
    /// The start of the hour.
    pub hour: Micros,
    /// Where they were made from.
    pub location_id: i16,
    /// The samples.
    pub samples: Vec<Sample>,
}

/// The rows of some hours of a block of targets, or of those of its targets in `only`, as one query sees them.
///
/// # Errors
/// The database failed, or holds codes of a newer release.
pub async fn select(
    client: &Client,
    block: Block,
    only: Option<&[i32]>,
    hours: &[Micros],
) -> Result<Vec<HourOfRows>, DatabaseError> {
    let (Some(&from), Some(&last)) = (hours.iter().min(), hours.iter().max()) else { return Ok(Vec::new()) };
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
    let mut selected = Vec::new();
    while let Some(row) = rows.try_next().await? {
        let mut samples = samples(&row)?;
        samples.sort_unstable();
        let (target_id, hour) = (row.try_get("target_id")?, row.try_get("hour")?);
        selected.push(HourOfRows { target_id, hour, location_id: row.try_get("location_id")?, samples });
    }
    Ok(selected)
}

/// The samples of a row whose columns are arrays.
fn samples(row: &Row) -> Result<Vec<Sample>, DatabaseError> {
    let durations = |column| row.try_get::<_, Vec<Option<i32>>>(column).map(Vec::into_iter);
    let instants: Vec<Micros> = row.try_get("probed_at")?;
    let statuses: Vec<Option<i16>> = row.try_get("http_status_code")?;
    let outcomes: Vec<i16> = row.try_get("outcome")?;
    let errors: Vec<i16> = row.try_get("error_kind")?;
    let mut response_times = durations("response_time_us")?;
    let mut dns = durations("dns_us")?;
    let mut connect = durations("connect_us")?;
    let mut tls = durations("tls_us")?;
    let mut first_byte = durations("first_byte_us")?;
    let mut download = durations("download_us")?;
    let mut samples = Vec::with_capacity(instants.len());
    for (((probed_at, status), outcome), error) in instants.into_iter().zip(statuses).zip(outcomes).zip(errors) {
        let phases = [&mut dns, &mut connect, &mut tls, &mut first_byte, &mut download];
        samples.push(Sample {
            probed_at,
            verdict: verdict(status, outcome, error)?,
            response_time_us: response_times.next().flatten(),
            phases_us: phases.map(|phase| phase.next().flatten()),
        });
    }
    Ok(samples)
}

/// The verdict that codes in the database stand for.
fn verdict(status: Option<i16>, outcome: i16, error: i16) -> Result<Verdict, DatabaseError> {
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
    Ok(Verdict { status: status.map(i16::cast_unsigned), outcome, error })
}
