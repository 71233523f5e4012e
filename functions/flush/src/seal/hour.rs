//! A closed hour of a block of targets into one chunk per target and location.

use std::collections::BTreeMap;

use shared::{
    database::DatabaseError,
    history::{
        chunk::{self, Chunk},
        rows,
        sample::union,
    },
};
use tokio_postgres::Client;

use super::{Columns, Unsealed, rollup::in_block};

/// The chunks of the hour: the union of the rows there are and the chunks there were.
pub(super) async fn seal(client: &Client, unsealed: Unsealed) -> Result<Columns, DatabaseError> {
    let hour = unsealed.starts_at;
    let mut sealed = BTreeMap::new();
    for row in in_block(client, include_str!("select_chunks.sql"), unsealed).await? {
        let samples = chunk::decode(hour, row.try_get("first")?, row.try_get("second")?)?;
        sealed.insert((row.try_get("target_id")?, row.try_get("location_id")?), samples);
    }
    let mut columns = Columns::default();
    for ((target, _, location), mut samples) in rows::select(client, unsealed.block, None, &[hour], true).await? {
        if let Some(before) = sealed.remove(&(target, location)) {
            samples = union(&before, &samples);
        }
        let Chunk { samples: first, phases } = Chunk::encode(hour, &samples);
        columns.push(target, location, samples.len() as u64, first, phases);
    }
    Ok(columns)
}
