//! A batch into Postgres, in one transaction.

use std::pin::pin;

use shared::{
    database::{DatabaseError, Session, causes, is_about_data},
    migrations,
};
use tokio_postgres::{Client, Error, Transaction, binary_copy::BinaryCopyInWriter, types::Type};

use crate::{
    batch::{Batch, Reject},
    row::{self, Row},
    targets::Targets,
};

/// What is known through a connection: that the schema is there, and the ids of targets. New with each connection,
/// since that may lead to another database.
#[derive(Default)]
pub struct Known {
    migrated: bool,
    targets: Targets,
}

/// How rows get into the table; each next one for what the one before refused as a whole.
#[derive(Clone, Copy)]
enum Load {
    /// Binary COPY: the fastest way in, refused by a key that is taken.
    Copy,
    /// `ON CONFLICT DO NOTHING`: for a batch of which some part is there already.
    SkipDuplicates,
    /// The same by halves, down to the rows that the schema refuses: these become rejects.
    SetApart,
}

/// What became of a batch.
pub struct Stored {
    /// Observations that were new.
    pub stored: usize,
    /// The batch's rejects, and what the database refused.
    pub rejects: Vec<Reject>,
}

/// Writes the batch in one transaction.
///
/// # Errors
/// The database failed; nothing of the batch is stored then.
pub async fn store(session: &mut Session<Known>, batch: &Batch) -> Result<Stored, DatabaseError> {
    let Session { client, state, .. } = session;
    if !state.migrated {
        migrations::run(client).await?;
        state.migrated = true;
    }
    let mut rejects = batch.rejects.clone();
    let mut known = Vec::with_capacity(batch.observations.len());
    for (target_id, observation) in
        state.targets.ids(client, &batch.observations).await?.into_iter().zip(&batch.observations)
    {
        match target_id {
            Ok(target_id) => known.push((target_id, observation)),
            Err(reason) => rejects.push(Reject::new(observation.source.clone(), &reason)),
        }
    }
    let rows = row::rows(known.into_iter());
    let mut result = write(client, &rows, &mut rejects, Load::Copy).await;
    for load in [Load::SkipDuplicates, Load::SetApart] {
        if result.as_ref().is_err_and(is_about_data) {
            result = write(client, &rows, &mut rejects, load).await;
        }
    }
    Ok(Stored { stored: usize::try_from(result?).unwrap_or(usize::MAX), rejects })
}

/// One transaction: the rows, and the rejects, if any. Returns how many rows were new.
async fn write(client: &mut Client, rows: &[Row<'_>], rejects: &mut Vec<Reject>, load: Load) -> Result<u64, Error> {
    let mut transaction = client.transaction().await?;
    let stored = match load {
        Load::Copy => copy(&transaction, rows).await?,
        Load::SkipDuplicates => insert(&transaction, rows).await?,
        Load::SetApart => insert_what_fits(&mut transaction, rows, rejects).await?,
    };
    if !rejects.is_empty() {
        insert_rejects(&transaction, rejects).await?;
    }
    transaction.commit().await?;
    Ok(stored)
}

async fn copy(transaction: &Transaction<'_>, rows: &[Row<'_>]) -> Result<u64, Error> {
    let sink = transaction.copy_in(include_str!("copy_probes.sql")).await?;
    let mut writer = pin!(BinaryCopyInWriter::new(sink, &row::TYPES));
    for row in rows {
        writer.as_mut().write(&row.values()).await?;
    }
    writer.finish().await
}

async fn insert(transaction: &Transaction<'_>, rows: &[Row<'_>]) -> Result<u64, Error> {
    let columns = row::columns(rows);
    let parameters: Vec<_> = columns.iter().map(|(values, type_)| (values.as_ref(), type_.clone())).collect();
    transaction.execute_typed(include_str!("insert_probes.sql"), &parameters).await
}

/// Inserts every row that the schema takes. Halves what it refuses, so that one bad row among thousands costs a dozen
/// statements more.
async fn insert_what_fits(
    transaction: &mut Transaction<'_>,
    rows: &[Row<'_>],
    rejects: &mut Vec<Reject>,
) -> Result<u64, Error> {
    let mut stored = 0;
    let mut pending = vec![rows];
    while let Some(part) = pending.pop() {
        let savepoint = transaction.transaction().await?;
        match (insert(&savepoint, part).await, part) {
            (Ok(new), _) => {
                savepoint.commit().await?;
                stored += new;
            }
            (Err(error), [row]) if is_about_data(&error) => {
                savepoint.rollback().await?;
                rejects.push(Reject::new(row.observation.source.clone(), &causes(&error)));
            }
            (Err(error), part) if is_about_data(&error) => {
                savepoint.rollback().await?;
                let (left, right) = part.split_at(part.len() / 2);
                pending.extend([right, left]);
            }
            (Err(error), _) => return Err(error),
        }
    }
    Ok(stored)
}

async fn insert_rejects(transaction: &Transaction<'_>, rejects: &[Reject]) -> Result<u64, Error> {
    let topics: Vec<_> = rejects.iter().map(|reject| reject.position.topic.as_str()).collect();
    let partitions: Vec<_> = rejects.iter().map(|reject| reject.position.partition).collect();
    let offsets: Vec<_> = rejects.iter().map(|reject| reject.position.offset).collect();
    let hashes: Vec<_> = rejects.iter().map(|reject| reject.content_hash).collect();
    let keys: Vec<_> = rejects.iter().map(|reject| reject.key.as_deref()).collect();
    let values: Vec<_> = rejects.iter().map(|reject| reject.value.as_deref()).collect();
    let reasons: Vec<_> = rejects.iter().map(|reject| reject.reason.as_str()).collect();
    transaction
        .execute_typed(
            include_str!("insert_rejects.sql"),
            &[
                (&topics, Type::TEXT_ARRAY),
                (&partitions, Type::INT4_ARRAY),
                (&offsets, Type::INT8_ARRAY),
                (&hashes, Type::INT8_ARRAY),
                (&keys, Type::BYTEA_ARRAY),
                (&values, Type::BYTEA_ARRAY),
                (&reasons, Type::TEXT_ARRAY),
            ],
        )
        .await
}
