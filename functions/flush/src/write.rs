//! One transaction: the rows of a batch, their fragments, what they say of their targets, and its rejects, by one of three
//! ways.
//!
//! A transaction by COPY takes three round trips: one for BEGIN, the locks of the hours and the parsing of COPY, which are
//! sent together, one for its start, and one for the rows, all that comes with them, and COMMIT. A COMMIT that follows a
//! statement that failed rolls back.
//!
//! Nothing is left in the session: statements have no names, but for COPY, which the driver cannot do without and whose name
//! is gone before the transaction is. So each transaction may be on another connection of a pooler (such as PgBouncer in
//! transaction mode).

use std::{collections::BTreeSet, pin::pin};

use bytes::Bytes;
use futures::{SinkExt as _, join};
use shared::{
    Micros,
    database::{causes, is_about_data},
};
use tokio_postgres::{
    Client, CopyInSink, Error, Row as Answer,
    types::{ToSql, Type},
};

use crate::{
    attributes::Attributes,
    batch::Reject,
    copy::CopyData,
    fragments,
    row::{self, Key, Row},
    unsealed::BlockHour,
    urls::UrlError,
};

/// Compiling a statement that runs for milliseconds would take longer than that.
const BEGIN: &str = "begin; set local jit = off";

const COPY: &str = include_str!("copy_probes.sql");

/// Rows are sent in pieces of about this size: few enough to cost nothing, small enough for the server to work while we
/// encode the next.
const COPY_BYTES: usize = 65_536;

/// How rows get into the table; each next one for what the one before refused as a whole.
#[derive(Clone, Copy)]
pub(crate) enum Load {
    /// Binary COPY: the fastest way in, refused by a key that is taken.
    Copy,
    /// The same for the rows that are not there: for a batch of which some part is.
    CopyMissing,
    /// `ON CONFLICT DO NOTHING`, by halves where that is refused too, down to the rows that the schema refuses: these
    /// become rejects.
    SetApart,
}

/// What became of a transaction.
pub(crate) enum Written {
    /// It is committed: so many rows were new.
    Rows(u64),
    /// Nothing is written: somebody has sealed one of the hours, so it has to be announced anew.
    Sealed,
    /// Nothing is written: another instance has changed the URL of a monitor, so cached URLs are outdated.
    UrlsChanged,
    /// Nothing is written: there are rows from before this hour, and their history was dropped.
    TooOld(Micros),
}

/// Writes rows and rejects in one transaction, with the `attributes` of their targets that are not stored yet.
pub(crate) async fn write(
    client: &Client,
    hours: &BTreeSet<BlockHour>,
    rows: &[Row<'_>],
    attributes: &Attributes,
    rejects: &mut Vec<Reject>,
    load: Load,
) -> Result<Written, Error> {
    if rows.is_empty() {
        return insert_rejects(client, rejects).await.map(|_| Written::Rows(0));
    }
    let (starts, blocks): (Vec<_>, Vec<_>) = hours.iter().map(|(start, block)| (*start, block.0)).unzip();
    let lock: [(&(dyn ToSql + Sync), Type); 2] = [(&starts, Type::TIMESTAMPTZ_ARRAY), (&blocks, Type::INT4_ARRAY)];
    let locked = client.query_typed(include_str!("lock_unsealed_hours.sql"), &lock);
    let refused = |locked: &[Answer]| refused(locked, hours, rows);
    if matches!(load, Load::Copy) {
        let (begun, locked, parsed) = join!(client.batch_execute(BEGIN), locked, client.prepare(COPY));
        let start = async {
            begun?;
            match refused(&locked?)? {
                Some(refused) => Ok(Err(refused)),
                // Parsed but for this once: its name goes with it.
                None => client.copy_in(&parsed?).await.map(Ok),
            }
        };
        return match start.await {
            Ok(Ok(sink)) => copy(client, sink, rows.iter(), attributes, rejects).await,
            Ok(Err(refused)) => client.batch_execute("rollback").await.map(|()| refused),
            Err(error) => rollback(client, error).await,
        };
    }
    let missing = missing(client, rows);
    let (begun, locked, missing) = join!(client.batch_execute(BEGIN), locked, missing);
    let result = async {
        begun?;
        if let Some(refused) = refused(&locked?)? {
            client.batch_execute("rollback").await?;
            return Ok(refused);
        }
        let missing = missing?;
        if matches!(load, Load::CopyMissing) {
            let sink = client.copy_in(COPY).await?;
            let missing = missing.iter().filter_map(|&index| rows.get(index));
            return copy(client, sink, missing, attributes, rejects).await;
        }
        let mut all_rejects = rejects.clone();
        let Inserted { new, refused } = insert_what_fits(client, rows, &mut all_rejects).await?;
        let accepted = attributes.only(rows.iter().filter(|row| !refused.contains(&row.key)));
        Ok(match finish(client, new.iter().copied(), &accepted, &all_rejects).await? {
            Finished::Committed => {
                *rejects = all_rejects;
                Written::Rows(new.len() as u64)
            }
            Finished::UrlsChanged => Written::UrlsChanged,
        })
    };
    match result.await {
        Err(error) => rollback(client, error).await,
        written => written,
    }
}

/// Sends rows and ends the transaction.
async fn copy<'rows, 'record: 'rows>(
    client: &Client,
    sink: CopyInSink<Bytes>,
    rows: impl Iterator<Item = &'rows Row<'record>> + Clone,
    attributes: &Attributes,
    rejects: &[Reject],
) -> Result<Written, Error> {
    let mut sink = pin!(sink);
    let mut data = CopyData::default();
    for row in rows.clone() {
        data.push(row);
        if data.len() > COPY_BYTES {
            sink.send(data.take()).await?;
        }
    }
    sink.send(data.finish()).await?;
    let (stored, finished) = join!(sink.finish(), finish(client, rows, attributes, rejects));
    let stored = stored?;
    Ok(match finished? {
        Finished::Committed => Written::Rows(stored),
        Finished::UrlsChanged => Written::UrlsChanged,
    })
}

/// How a transaction ended.
enum Finished {
    Committed,
    /// It is rolled back.
    UrlsChanged,
}

/// Leaves the fragments of the rows that were written, the rejects, and what rows say of their targets, and commits.
async fn finish<'rows, 'record: 'rows>(
    client: &Client,
    rows: impl Iterator<Item = &'rows Row<'record>> + Clone,
    attributes: &Attributes,
    rejects: &[Reject],
) -> Result<Finished, Error> {
    let (left, rejected, committed) = join!(
        fragments::insert(client, rows.clone()),
        insert_rejects(client, rejects),
        commit(client, rows, attributes)
    );
    left.and(rejected)?;
    match committed {
        // COMMIT has rolled back.
        Err(UrlError::Outdated) => Ok(Finished::UrlsChanged),
        Err(UrlError::Database(error)) => Err(error),
        Ok(()) => Ok(Finished::Committed),
    }
}

/// Stores what rows say of their targets, and commits.
async fn commit<'rows, 'record: 'rows>(
    client: &Client,
    rows: impl Iterator<Item = &'rows Row<'record>> + Clone,
    attributes: &Attributes,
) -> Result<(), UrlError> {
    if attributes.are_contended() {
        // The look at the URLs takes an answer, so COMMIT cannot be sent together with it.
        let said = attributes.store_under_lock(client, rows).await;
        let end = if said.is_ok() { "commit" } else { "rollback" };
        let ended = client.batch_execute(end).await;
        said?;
        return Ok(ended?);
    }
    let (said, committed) = join!(attributes.store(client), client.batch_execute("commit"));
    said?;
    Ok(committed?)
}

/// The places of the rows that are not in the table. Others may bring them in the meantime; COPY is refused then.
async fn missing(client: &Client, rows: &[Row<'_>]) -> Result<Vec<usize>, Error> {
    let instants: Vec<_> = rows.iter().map(|row| row.key.probed_at).collect();
    let targets: Vec<_> = rows.iter().map(|row| row.key.target_id).collect();
    let ids: Vec<_> = rows.iter().map(|row| row.key.record_id).collect();
    let parameters: [(&(dyn ToSql + Sync), Type); 3] =
        [(&instants, Type::TIMESTAMPTZ_ARRAY), (&targets, Type::INT4_ARRAY), (&ids, Type::INT8_ARRAY)];
    let places = client.query_typed(include_str!("select_missing.sql"), &parameters).await?;
    let place = |row: &Answer| row.try_get(0).map(|place: i64| usize::try_from(place - 1).unwrap_or(usize::MAX));
    places.iter().map(place).collect()
}

/// Whether the rows may be written, given the answer to the locks: one row for each hour that could be locked.
fn refused(locked: &[Answer], hours: &BTreeSet<BlockHour>, rows: &[Row<'_>]) -> Result<Option<Written>, Error> {
    if locked.len() < hours.len() {
        return Ok(Some(Written::Sealed));
    }
    let chunks_from = locked.first().map(|row| row.try_get("chunks_from")).transpose()?;
    let too_old = |chunks_from: &Micros| rows.iter().any(|row| row.key.probed_at < *chunks_from);
    Ok(chunks_from.filter(too_old).map(Written::TooOld))
}

/// Ends the transaction; what went wrong before is more telling than what may go wrong here.
async fn rollback(client: &Client, error: Error) -> Result<Written, Error> {
    client.batch_execute("rollback").await.unwrap_or_default();
    Err(error)
}

/// Inserts rows, and returns those that were not there.
async fn insert<'rows, 'record>(
    client: &Client,
    rows: &'rows [Row<'record>],
) -> Result<Vec<&'rows Row<'record>>, Error> {
    let columns = row::columns(rows);
    let parameters: Vec<_> = columns.iter().map(|(values, type_)| (values.as_ref(), type_.clone())).collect();
    let inserted = client.query_typed(include_str!("insert_probes.sql"), &parameters).await?;
    let key =
        |row: &Answer| Ok(Key { probed_at: row.try_get(0)?, target_id: row.try_get(1)?, record_id: row.try_get(2)? });
    let keys = inserted.iter().map(key).collect::<Result<BTreeSet<_>, Error>>()?;
    Ok(rows.iter().filter(|row| keys.contains(&row.key)).collect())
}

/// What became of rows that were inserted as far as the schema takes them.
struct Inserted<'rows, 'record> {
    /// Those that were not there, in their order.
    new: Vec<&'rows Row<'record>>,
    /// Those that the schema refuses.
    refused: BTreeSet<Key>,
}

/// Inserts every row that the schema takes. Halves what it refuses, so that one bad row among thousands costs a dozen
/// statements more.
async fn insert_what_fits<'rows, 'record>(
    client: &Client,
    rows: &'rows [Row<'record>],
    rejects: &mut Vec<Reject>,
) -> Result<Inserted<'rows, 'record>, Error> {
    let mut inserted = Inserted { new: Vec::new(), refused: BTreeSet::new() };
    let mut pending = vec![rows];
    while let Some(part) = pending.pop() {
        client.batch_execute("savepoint part").await?;
        match (insert(client, part).await, part) {
            (Ok(new), _) => {
                client.batch_execute("release savepoint part").await?;
                inserted.new.extend(new);
            }
            (Err(error), [row]) if is_about_data(&error) => {
                client.batch_execute("rollback to savepoint part; release savepoint part").await?;
                rejects.push(Reject::new(row.observation.source.clone(), &causes(&error)));
                inserted.refused.insert(row.key);
            }
            (Err(error), part) if is_about_data(&error) => {
                client.batch_execute("rollback to savepoint part; release savepoint part").await?;
                let (left, right) = part.split_at(part.len() / 2);
                pending.extend([right, left]);
            }
            (Err(error), _) => return Err(error),
        }
    }
    Ok(inserted)
}

async fn insert_rejects(client: &Client, rejects: &[Reject]) -> Result<u64, Error> {
    if rejects.is_empty() {
        return Ok(0);
    }
    let topics: Vec<_> = rejects.iter().map(|reject| reject.position.topic.as_str()).collect();
    let partitions: Vec<_> = rejects.iter().map(|reject| reject.position.partition).collect();
    let offsets: Vec<_> = rejects.iter().map(|reject| reject.position.offset).collect();
    let hashes: Vec<_> = rejects.iter().map(|reject| reject.content_hash).collect();
    let keys: Vec<_> = rejects.iter().map(|reject| reject.key.as_deref()).collect();
    let values: Vec<_> = rejects.iter().map(|reject| reject.value.as_deref()).collect();
    let reasons: Vec<_> = rejects.iter().map(|reject| reject.reason.as_str()).collect();
    let timestamps: Vec<_> = rejects.iter().map(|reject| reject.timestamp_ms).collect();
    let more: Vec<_> = rejects.iter().map(|reject| reject.more.as_str()).collect();
    client
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
                (&timestamps, Type::INT8_ARRAY),
                (&more, Type::TEXT_ARRAY),
            ],
        )
        .await
}
