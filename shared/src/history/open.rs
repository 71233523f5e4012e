//! Hours that are not sealed, as flush seals them and stats reads them: from the fragments that batches left, from the
//! chunk there may be from before a late record, and where both are, from the rows.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    pin::pin,
};

use futures_util::{TryStreamExt as _, future::join3};
use tokio_postgres::{
    Client, Error, Row,
    types::{ToSql, Type},
};

use super::{
    Sample,
    block::{Block, Key, Owner},
    chunk::{self, Columns},
    fragment, rows,
    sample::union,
};
use crate::{
    database::DatabaseError,
    micros::{Micros, Span},
};

/// How many samples are held at a time, about: some ten megabytes of them.
pub const AT_A_TIME: i64 = 131_072;

/// Parts of one hour, at most: each of them reads all of its fragments, so what that takes grows with their number. Beyond some
/// two million samples an hour, it is the parts that grow.
const MAX_PARTS: i64 = 16;

/// What to [`select`] at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// These hours.
    pub hours: Vec<Micros>,
    /// Of these targets of the block; `None` for all.
    pub targets: Option<Vec<i32>>,
}

/// Some hours of a block in parts to [`select`] one after the other, so that what is held at a time does not grow with the
/// number of hours, and hardly with what there is in each: about `at_a_time` samples, where targets have about as many as each
/// other. Hours are together as far as they fit, and one that does not is parted by targets.
///
/// # Errors
/// The database failed, or what it holds cannot be read.
pub async fn parts(
    client: &Client,
    block: Block,
    only: Option<&[i32]>,
    hours: &[Micros],
    at_a_time: i64,
) -> Result<Vec<Part>, DatabaseError> {
    let (Some(&from), Some(&last)) = (hours.iter().min(), hours.iter().max()) else { return Ok(Vec::new()) };
    let ((first_target, last_target), to) = (block.targets(), Span::Hour.end(last));
    let parameters: [(&(dyn ToSql + Sync), Type); 7] = [
        (&first_target, Type::INT4),
        (&last_target, Type::INT4),
        (&block.0, Type::INT4),
        (&hours, Type::TIMESTAMPTZ_ARRAY),
        (&from, Type::TIMESTAMPTZ),
        (&to, Type::TIMESTAMPTZ),
        (&only, Type::INT4_ARRAY),
    ];
    let rows = client.query_typed(include_str!("count_open_hours.sql"), &parameters).await?;
    let mut counts = Vec::with_capacity(rows.len());
    for row in &rows {
        let heads: Option<Vec<&[u8]>> = row.try_get("heads")?;
        let (sealed, from_rows, targets): (i64, i64, i64) =
            (row.try_get("sealed")?, row.try_get("rows")?, row.try_get("targets")?);
        let of_each = heads.unwrap_or_default().into_iter().map(chunk::count);
        let in_fragments = of_each.sum::<Result<u64, _>>()?.min(i64::MAX as u64).cast_signed();
        // Fragments are of all targets together: those that are asked for have their share.
        let selected = only.map_or(targets, |only| i64::try_from(only.len()).unwrap_or(i64::MAX).min(targets));
        let share = i128::from(in_fragments) * i128::from(selected) / i128::from(targets.max(1));
        let samples = i64::try_from(share).unwrap_or(i64::MAX).saturating_add(sealed).saturating_add(from_rows);
        counts.push(Hour { hour: row.try_get("hour")?, samples, targets: selected });
    }
    Ok(gather(block, only, &counts, at_a_time.max(1)))
}

/// What there is in an hour.
struct Hour {
    hour: Micros,
    samples: i64,
    /// How many targets these may be of.
    targets: i64,
}

/// The parts of hours.
fn gather(block: Block, only: Option<&[i32]>, hours: &[Hour], at_a_time: i64) -> Vec<Part> {
    let all = || only.map(<[i32]>::to_vec);
    let mut parts = Vec::new();
    let (mut together, mut samples_together) = (Vec::new(), 0_i64);
    for &Hour { hour, samples, targets } in hours {
        if samples > at_a_time {
            let number = samples.div_euclid(at_a_time).saturating_add(1).min(MAX_PARTS).min(targets);
            parts.extend(block.split(only, number).into_iter().map(|targets| Part { hours: vec![hour], targets }));
            continue;
        }
        if samples_together + samples > at_a_time {
            parts.push(Part { hours: std::mem::take(&mut together), targets: all() });
            samples_together = 0;
        }
        together.push(hour);
        samples_together += samples;
    }
    if !together.is_empty() {
        parts.push(Part { hours: together, targets: all() });
    }
    parts
}

/// The samples of some hours of a block of targets, or of those of its targets in `only`, sorted; without their phases
/// unless asked for. To be called in a transaction whose statements see one state of the database.
///
/// A chunk that a fragment adds to is the union of both, but fragments do not say which of their samples the chunk has
/// already: the row of a probe may have been dropped, and its record delivered again. So rows decide, which know; there
/// each sample counts as often as the rows or the chunk have it.
///
/// # Errors
/// The database failed, or what it holds cannot be read.
pub async fn select(
    client: &Client,
    block: Block,
    only: Option<&[i32]>,
    hours: &[Micros],
    with_phases: bool,
) -> Result<BTreeMap<Key, Vec<Sample>>, DatabaseError> {
    if hours.is_empty() {
        return Ok(BTreeMap::new());
    }
    let (chunks, fragments, from_rows) = join3(
        select_chunks(client, block, only, hours),
        select_fragments(client, block, only, hours, with_phases),
        select_from_rows(client, block, hours),
    )
    .await;
    let (chunks, mut selected, from_rows) = (chunks?, fragments?, from_rows?);

    let reopened: BTreeSet<Key> = chunks.keys().filter(|key| selected.contains_key(key)).copied().collect();
    if !reopened.is_empty() {
        let targets: BTreeSet<i32> = reopened.iter().map(|((target, _), _)| *target).collect();
        let hours: BTreeSet<Micros> = reopened.iter().map(|(_, hour)| *hour).collect();
        let (targets, hours) = (Vec::from_iter(targets), Vec::from_iter(hours));
        let rows = rows::select(client, block, Some(&targets), &hours).await?;
        selected.extend(rows.into_iter().filter(|(key, _)| reopened.contains(key)));
    }
    if !from_rows.is_empty() {
        selected.extend(rows::select(client, block, only, &from_rows).await?);
    }
    for (key, before) in chunks {
        let samples = selected.entry(key).or_default();
        *samples = union(&before, samples);
    }
    Ok(selected)
}

/// The chunks, with their phases: two samples are one only if their phases are the same as well.
async fn select_chunks(
    client: &Client,
    block: Block,
    only: Option<&[i32]>,
    hours: &[Micros],
) -> Result<BTreeMap<Key, Vec<Sample>>, DatabaseError> {
    let (first, last) = block.targets();
    let parameters: [(&(dyn ToSql + Sync), Type); 4] =
        [(&first, Type::INT4), (&last, Type::INT4), (&only, Type::INT4_ARRAY), (&hours, Type::TIMESTAMPTZ_ARRAY)];
    let rows = client.query_typed(include_str!("select_open_chunks.sql"), &parameters).await?;
    let sealed = |row: &Row| -> Result<_, DatabaseError> {
        let hour = row.try_get("hour")?;
        let owner: Owner = (row.try_get("target_id")?, row.try_get("location_id")?);
        Ok(((owner, hour), chunk::decode(hour, columns(row)?)?))
    };
    rows.iter().map(sealed).collect()
}

/// What batches left.
async fn select_fragments(
    client: &Client,
    block: Block,
    only: Option<&[i32]>,
    hours: &[Micros],
    with_phases: bool,
) -> Result<BTreeMap<Key, Vec<Sample>>, DatabaseError> {
    let parameters: [(&(dyn ToSql + Sync), Type); 3] =
        [(&block.0, Type::INT4), (&hours, Type::TIMESTAMPTZ_ARRAY), (&with_phases, Type::BOOL)];
    let mut rows = pin!(client.query_typed_raw(include_str!("select_fragments.sql"), parameters).await?);
    let only: Option<HashSet<i32>> = only.map(|only| only.iter().copied().collect());
    let mut selected: BTreeMap<Key, Vec<Sample>> = BTreeMap::new();
    while let Some(row) = rows.try_next().await? {
        let hour = row.try_get("hour")?;
        let samples = fragment::decode(hour, row.try_get("keys")?, columns(&row)?)?;
        for (owner, sample) in samples.filter(|((target, _), _)| only.as_ref().is_none_or(|only| only.contains(target)))
        {
            selected.entry((owner, hour)).or_default().push(sample);
        }
    }
    selected.values_mut().for_each(|samples| samples.sort_unstable());
    Ok(selected)
}

fn columns(row: &Row) -> Result<Columns<'_>, Error> {
    let (instants, samples) = (row.try_get("instants")?, row.try_get("samples")?);
    Ok(Columns { instants, samples, phases: row.try_get("phases")? })
}

/// The hours whose rows have no fragments.
async fn select_from_rows(client: &Client, block: Block, hours: &[Micros]) -> Result<Vec<Micros>, Error> {
    let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&block.0, Type::INT4), (&hours, Type::TIMESTAMPTZ_ARRAY)];
    let query = "select starts_at from unsealed where span = 0 and block = $1 and starts_at = any ($2) and from_rows";
    client.query_typed(query, &parameters).await?.iter().map(|row| row.try_get(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_together_as_far_as_they_fit_and_parted_where_one_does_not() {
        let hours = |hours: &[i64]| hours.iter().copied().map(Micros).collect::<Vec<_>>();
        let gathered = |only: Option<&[i32]>, targets: i64, samples: &[i64]| -> Vec<_> {
            let hour = |(hour, samples)| Hour { hour, samples, targets };
            let counts: Vec<_> = (0..).map(Micros).zip(samples.iter().copied()).map(hour).collect();
            gather(Block(0), only, &counts, 10).into_iter().map(|part| (part.hours, part.targets)).collect()
        };
        assert_eq!(gathered(None, 9, &[]), []);
        assert_eq!(gathered(None, 9, &[4, 6, 1, 0]), [(hours(&[0, 1]), None), (hours(&[2, 3]), None)]);
        let parted = [(hours(&[1]), Some(vec![2])), (hours(&[1]), Some(vec![1])), (hours(&[0, 2]), Some(vec![1, 2]))];
        assert_eq!(gathered(Some(&[1, 2]), 2, &[4, 11, 6]), parted);
        assert_eq!(gathered(None, 4_000, &[i64::MAX]).len(), 16);
        // There is nothing to part.
        assert_eq!(gathered(None, 1, &[i64::MAX]), [(hours(&[0]), None)]);
        assert_eq!(gathered(None, 0, &[11]), [(hours(&[0]), None)]);
    }
}
