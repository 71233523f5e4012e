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

/// Some hours of a block in parts to [`select`] one after the other, so that what is held at a time does not grow with what
/// there is: targets for each, or `None` for all of the block. In each part are about `at_a_time` samples, more only where a
/// single target has more.
///
/// # Errors
/// The database failed.
pub async fn parts(
    client: &Client,
    block: Block,
    only: Option<&[i32]>,
    hours: &[Micros],
    at_a_time: i64,
) -> Result<Vec<Option<Vec<i32>>>, DatabaseError> {
    let (Some(&from), Some(&last)) = (hours.iter().min(), hours.iter().max()) else { return Ok(Vec::new()) };
    // One target cannot be parted, so there is nothing to ask.
    if only.is_some_and(|only| only.len() == 1) {
        return Ok(block.split(only, 1));
    }
    let ((first_target, last_target), to) = (block.targets(), Span::Hour.end(last));
    let parameters: [(&(dyn ToSql + Sync), Type); 6] = [
        (&first_target, Type::INT4),
        (&last_target, Type::INT4),
        (&block.0, Type::INT4),
        (&hours, Type::TIMESTAMPTZ_ARRAY),
        (&from, Type::TIMESTAMPTZ),
        (&to, Type::TIMESTAMPTZ),
    ];
    let weights = client.query_typed(include_str!("weigh_open_hours.sql"), &parameters).await?;
    let weight: i64 = weights.first().map_or(Ok(0), |row| row.try_get(0))?;
    Ok(block.split(only, weight / at_a_time.max(1) + 1))
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
