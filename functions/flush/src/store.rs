//! A batch into Postgres, in one transaction.

use std::pin::pin;

use shared::{
    database::{DatabaseError, Session},
    migrations,
};
use tokio_postgres::{Client, Error, Transaction, binary_copy::BinaryCopyInWriter, error::SqlState, types::Type};

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

/// How rows get into the table.
#[derive(Clone, Copy)]
enum Load {
    /// Binary COPY: the fastest way in, refused as a whole by a key that is taken.
    Copy,
    /// `ON CONFLICT DO NOTHING`: for a batch of which some part is there already.
    SkipDuplicates,
}

/// Writes the batch and returns how many observations were new.
///
/// # Errors
/// The database refused; nothing of the batch is stored then.
pub async fn store(session: &mut Session<Known>, batch: &Batch) -> Result<usize, DatabaseError> {
    let Session { client, state, .. } = session;
    if !state.migrated {
        migrations::run(client).await?;
        state.migrated = true;
    }
    let target_ids = state.targets.ids(client, &batch.observations).await?;
    let rows = row::rows(&target_ids, &batch.observations);
    let stored = match write(client, &rows, &batch.rejects, Load::Copy).await {
        Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
            write(client, &rows, &batch.rejects, Load::SkipDuplicates).await?
        }
        stored => stored?,
    };
    Ok(usize::try_from(stored).unwrap_or(usize::MAX))
}

/// One transaction: the rejects, if any, and the rows. Returns how many rows were new.
async fn write(client: &mut Client, rows: &[Row<'_>], rejects: &[Reject], load: Load) -> Result<u64, Error> {
    let transaction = client.transaction().await?;
    if !rejects.is_empty() {
        insert_rejects(&transaction, rejects).await?;
    }
    let stored = match load {
        Load::Copy => copy(&transaction, rows).await?,
        Load::SkipDuplicates => insert(&transaction, rows).await?,
    };
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
