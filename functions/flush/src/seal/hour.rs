//! A closed hour of a block of targets into one chunk per target and location.

use shared::{
    database::DatabaseError,
    history::{chunk::Chunk, open},
};
use tokio_postgres::Client;

use super::{Columns, Unsealed};

/// The chunks of the hour, of some targets of its block or of all: what there is of it, in their form.
pub(super) async fn seal(
    client: &Client,
    unsealed: Unsealed,
    targets: Option<&[i32]>,
) -> Result<Columns, DatabaseError> {
    let hour = unsealed.starts_at;
    let mut columns = Columns::default();
    for (((target, location), _), samples) in open::select(client, unsealed.block, targets, &[hour], true).await? {
        let chunk = Chunk::encode(hour, &samples);
        columns.push(target, location, samples.len() as u64, [chunk.instants, chunk.samples, chunk.phases]);
    }
    Ok(columns)
}
