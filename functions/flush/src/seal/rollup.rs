//! A closed day of a block of targets into one summary per target and location, from its chunks; a closed month from
//! its days.

use std::{collections::BTreeMap, pin::pin};

use futures::TryStreamExt as _;
use shared::{
    Micros, Span,
    database::DatabaseError,
    history::{Summary, chunk},
};
use tokio_postgres::{
    Client, Error, Row, RowStream,
    types::{ToSql, Type},
};

use super::{Columns, Unsealed};

/// The summaries of the span, of some targets of its block or of all.
pub(super) async fn seal(
    client: &Client,
    unsealed: Unsealed,
    targets: Option<&[i32]>,
) -> Result<Columns, DatabaseError> {
    let query = match unsealed.span {
        Span::Month => include_str!("select_days.sql"),
        Span::Hour | Span::Day => include_str!("select_chunks.sql"),
    };
    let mut parts = pin!(stream_block(client, query, unsealed, targets).await?);
    let mut columns = Columns::default();
    // One target at a time, since a summary takes some room while it is made.
    let mut current = None;
    let mut by_location = BTreeMap::new();
    while let Some(part) = parts.try_next().await? {
        let target: i32 = part.try_get("target_id")?;
        if let Some(before) = current.replace(target).filter(|before| *before != target) {
            finish(&mut columns, before, unsealed.starts_at, &mut by_location);
        }
        let summary: &mut Summary = by_location.entry(part.try_get("location_id")?).or_default();
        add(summary, unsealed.span, &part)?;
    }
    if let Some(target) = current {
        finish(&mut columns, target, unsealed.starts_at, &mut by_location);
    }
    Ok(columns)
}

/// Adds a chunk or a day to the summary of its day or month.
fn add(summary: &mut Summary, span: Span, part: &Row) -> Result<(), DatabaseError> {
    let starts_at: Micros = part.try_get("starts_at")?;
    let phases = part.try_get("phases")?;
    Ok(match span {
        Span::Month => summary.merge_encoded(starts_at, part.try_get("summary")?, phases),
        Span::Hour | Span::Day => {
            let (instants, samples) = (part.try_get("instants")?, part.try_get("samples")?);
            summary.add_chunk(starts_at, chunk::Columns { instants, samples, phases: Some(phases) })
        }
    }?)
}

fn finish(columns: &mut Columns, target: i32, starts_at: Micros, by_location: &mut BTreeMap<i16, Summary>) {
    for (location, summary) in std::mem::take(by_location) {
        let encoded = summary.encode(starts_at);
        columns.push(target, location, summary.counts.all(), [encoded.summary, encoded.phases]);
    }
}

/// The rows that a query has for targets of a block within a span.
async fn stream_block(
    client: &Client,
    query: &str,
    unsealed: Unsealed,
    targets: Option<&[i32]>,
) -> Result<RowStream, Error> {
    let (first, last) = unsealed.block.targets();
    let ends_at = unsealed.span.end(unsealed.starts_at);
    let parameters: [(&(dyn ToSql + Sync), Type); 5] = [
        (&first, Type::INT4),
        (&last, Type::INT4),
        (&unsealed.starts_at, Type::TIMESTAMPTZ),
        (&ends_at, Type::TIMESTAMPTZ),
        (&targets, Type::INT4_ARRAY),
    ];
    client.query_typed_raw(query, parameters).await
}
