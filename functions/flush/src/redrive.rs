//! Rejects once more: when what was wrong is mended, they are stored as if they came from the topic.

use std::collections::BTreeSet;

use shared::database::DatabaseError;
use tokio_postgres::{
    Client, Error, Row,
    types::{ToSql, Type},
};

use crate::{
    Flush,
    batch::{Batch, Reject},
    event::{KafkaEvent, KafkaRecord, Position},
    store::store,
};

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Redriven {
    /// Rejects that were tried.
    pub tried: usize,
    /// Observations that are new in the database.
    pub stored: usize,
    /// Records that were there already.
    pub duplicates: usize,
    /// Records that are refused as before; they stay in `rejects`.
    pub refused: usize,
    /// Why, of the first of these.
    pub reason: Option<String>,
}

/// What a reject is known by.
type Key = (String, i32, i64, i64);

/// Hands the rejects whose reason is like `pattern` (as SQL has it: `%` is anything) to [`store`], a thousand at a time, and
/// deletes those that are stored. What is killed in between is done again without harm: what is stored is recognised. Tells
/// `observe` how far it is. Needs the right to delete from `rejects`, which the owner has.
///
/// # Errors
/// The database failed; what was stored until then stays so.
pub async fn redrive(
    flush: &Flush,
    pattern: &str,
    mut observe: impl FnMut(&Redriven),
) -> Result<Redriven, DatabaseError> {
    let mut lease = flush.database.lease().await;
    let session = lease.session().await?;
    // The schema is there before rejects are looked for.
    store(session, &Batch::default()).await?;
    let mut redriven = Redriven::default();
    let mut after: Key = (String::new(), i32::MIN, i64::MIN, i64::MIN);
    loop {
        let page = page(&session.client, &after, pattern).await?;
        let Some((last, _)) = page.last() else { break };
        after = last.clone();
        let (keys, records): (Vec<_>, Vec<_>) = page.into_iter().unzip();
        let batch = Batch::decode(KafkaEvent { records });
        let stored = store(session, &batch).await?;
        let refused: BTreeSet<_> = stored.rejects.iter().map(key).collect();
        delete(&session.client, keys.iter().filter(|key| !refused.contains(*key))).await?;
        redriven.tried += keys.len();
        redriven.stored += stored.stored;
        redriven.refused += stored.rejects.len();
        redriven.duplicates += keys.len() - stored.stored - stored.rejects.len();
        redriven.reason = redriven.reason.or_else(|| stored.rejects.into_iter().next().map(|reject| reject.reason));
        observe(&redriven);
    }
    lease.keep();
    Ok(redriven)
}

fn key(reject: &Reject) -> Key {
    let Position { topic, partition, offset } = &reject.position;
    (topic.clone(), *partition, *offset, reject.content_hash)
}

async fn page(client: &Client, after: &Key, pattern: &str) -> Result<Vec<(Key, KafkaRecord)>, Error> {
    let (topic, partition, offset, content_hash) = after;
    let parameters: [(&(dyn ToSql + Sync), Type); 5] = [
        (topic, Type::TEXT),
        (partition, Type::INT4),
        (offset, Type::INT8),
        (content_hash, Type::INT8),
        (&pattern, Type::TEXT),
    ];
    client.query_typed(include_str!("select_rejects.sql"), &parameters).await?.iter().map(reject).collect()
}

fn reject(row: &Row) -> Result<(Key, KafkaRecord), Error> {
    let position = Position { topic: row.try_get(0)?, partition: row.try_get(1)?, offset: row.try_get(2)? };
    let key = (position.topic.clone(), position.partition, position.offset, row.try_get(3)?);
    let record = KafkaRecord {
        position,
        timestamp_ms: row.try_get(4)?,
        key: row.try_get(5)?,
        value: Ok(row.try_get(6)?),
        more: row.try_get(7)?,
    };
    Ok((key, record))
}

async fn delete(client: &Client, keys: impl Iterator<Item = &Key>) -> Result<u64, Error> {
    let (mut topics, mut partitions, mut offsets, mut hashes) = (vec![], vec![], vec![], vec![]);
    for (topic, partition, offset, content_hash) in keys {
        topics.push(topic.as_str());
        partitions.push(*partition);
        offsets.push(*offset);
        hashes.push(*content_hash);
    }
    let parameters: [(&(dyn ToSql + Sync), Type); 4] = [
        (&topics, Type::TEXT_ARRAY),
        (&partitions, Type::INT4_ARRAY),
        (&offsets, Type::INT8_ARRAY),
        (&hashes, Type::INT8_ARRAY),
    ];
    client.execute_typed(include_str!("delete_rejects.sql"), &parameters).await
}
