//! Sealing: what is closed becomes history. An hour becomes chunks (`hour`), a day and a month become summaries
//! (`rollup`). Whoever flushes does some of it, one at a time in the whole database, an hour or a day of 4,096 targets
//! in a transaction, and in parts, so that an hour of many probes takes more time and not more memory.
//!
//! Everything sealed is a function of what it is sealed from, and an hour that is sealed again is the union of the chunk
//! there is and the rows there are (see [`open`]); so sealing may be killed at any point, and
//! repeated. A late row announces its hour again (see `unsealed`), the hour then announces its day, the day its month.

mod hour;
mod rollup;

use std::time::Duration;

use futures::join;
use shared::{
    Micros, Span,
    database::DatabaseError,
    history::{Block, open},
};
use tokio_postgres::{
    Client, Error,
    types::{ToSql, Type},
};

/// Whoever seals holds this advisory lock, so that one does at a time.
pub const LOCK: i64 = 0x7765_6273_6974_6502;

/// How sealing goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealing {
    /// How long a span stays open after its end, and a day or a month after its last change.
    pub grace: Duration,
    /// How many samples of an hour are held at a time, about.
    pub samples: i64,
    /// How many summaries of a day or a month are held at a time, about.
    pub summaries: i64,
}

impl Default for Sealing {
    fn default() -> Self {
        // A summary takes some kilobytes, and is held twice when it is sent.
        Self { grace: Duration::from_secs(300), samples: open::AT_A_TIME, summaries: 2_048 }
    }
}

/// A span of a block of targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Unsealed {
    span: Span,
    starts_at: Micros,
    block: Block,
}

/// A piece of sealing that was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed {
    /// What was sealed: an hour, a day, a month.
    pub span: Span,
    /// How many probes there are in it.
    pub probes: u64,
}

/// What was made of a span, one column per field.
#[derive(Default)]
struct Columns {
    targets: Vec<i32>,
    locations: Vec<i16>,
    probes: Vec<i32>,
    /// Instants, samples and phases of a chunk; counts with response times, and phases, of a summary.
    forms: [Vec<Vec<u8>>; 3],
}

impl Columns {
    fn push<const N: usize>(&mut self, target: i32, location: i16, probes: u64, forms: [Vec<u8>; N]) {
        self.targets.push(target);
        self.locations.push(location);
        self.probes.push(i32::try_from(probes).unwrap_or(i32::MAX));
        self.forms.iter_mut().zip(forms).for_each(|(column, form)| column.push(form));
    }
}

/// Should a crash undo a commit, it also brings back what there was to seal: nobody needs to wait for the disk.
const BEGIN: &str = "begin; set local jit = off; set local synchronous_commit = off";

/// Seals the oldest span that is closed as of `now`, hours before days before months. `None` if there is nothing to seal, or
/// if another instance is at it. Takes five round trips: to find the span, to see how much there is of it, to read it, to
/// write what it is sealed as, and to end; at least two more for each further part.
///
/// A connection on which this was not awaited to its end is in the middle of a transaction, and to be given up.
///
/// # Errors
/// The database failed, or what it holds cannot be read; nothing is changed then.
pub async fn step(client: &Client, now: Micros, sealing: Sealing) -> Result<Option<Sealed>, DatabaseError> {
    let (begun, unsealed) = join!(client.batch_execute(BEGIN), pick(client, now, sealing.grace));
    let sealed = async {
        begun?;
        let Some(unsealed) = unsealed? else { return Ok(None) };
        let mut probes = 0;
        for targets in parts(client, unsealed, sealing).await? {
            let targets = targets.as_deref();
            let columns = match unsealed.span {
                Span::Hour => hour::seal(client, unsealed, targets).await?,
                Span::Day | Span::Month => rollup::seal(client, unsealed, targets).await?,
            };
            if columns.targets.is_empty() {
                continue;
            }
            store(client, unsealed, &columns).await?;
            probes += columns.probes.iter().map(|probes| u64::from(probes.unsigned_abs())).sum::<u64>();
        }
        finish(client, unsealed, now).await?;
        Ok(Some(Sealed { span: unsealed.span, probes }))
    };
    let sealed = sealed.await;
    if !matches!(sealed, Ok(Some(_))) {
        // What went wrong before is more telling than what may go wrong here.
        client.batch_execute("rollback").await.unwrap_or_default();
    }
    sealed
}

/// The next span to seal, locked: nobody writes into it from here on. One that somebody is writing into is passed over.
async fn pick(client: &Client, now: Micros, grace: Duration) -> Result<Option<Unsealed>, DatabaseError> {
    let closed = Micros(now.0.saturating_sub(i64::try_from(grace.as_micros()).unwrap_or(i64::MAX)));
    let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&closed, Type::TIMESTAMPTZ), (&LOCK, Type::INT8)];
    let rows = client.query_typed(include_str!("pick.sql"), &parameters).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let code: i16 = row.try_get("span")?;
    let span = Span::from_code(code)
        .ok_or_else(|| DatabaseError::Unexpected(format!("a span of code {code}, which this release does not know")))?;
    Ok(Some(Unsealed { span, starts_at: row.try_get("starts_at")?, block: Block(row.try_get("block")?) }))
}

/// The parts in which a span is sealed: some targets of its block each, or all.
async fn parts(client: &Client, unsealed: Unsealed, sealing: Sealing) -> Result<Vec<Option<Vec<i32>>>, DatabaseError> {
    let block = unsealed.block;
    if unsealed.span == Span::Hour {
        let parts = open::parts(client, block, None, &[unsealed.starts_at], sealing.samples).await?;
        return Ok(parts.into_iter().map(|part| part.targets).collect());
    }
    let (first, last) = block.targets();
    let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&first, Type::INT4), (&last, Type::INT4)];
    let rows = client.query_typed(include_str!("count_summaries.sql"), &parameters).await?;
    let summaries: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
    Ok(block.split(None, summaries / sealing.summaries.max(1) + 1))
}

/// Writes a part of what was sealed, as far as it differs from what is there.
async fn store(client: &Client, unsealed: Unsealed, columns: &Columns) -> Result<(), Error> {
    let code = unsealed.span.code();
    let mut parameters: Vec<(&(dyn ToSql + Sync), Type)> = vec![
        (&unsealed.starts_at, Type::TIMESTAMPTZ),
        (&columns.targets, Type::INT4_ARRAY),
        (&columns.locations, Type::INT2_ARRAY),
        (&columns.probes, Type::INT4_ARRAY),
    ];
    let [first, second, third] = &columns.forms;
    parameters.extend([(first as &(dyn ToSql + Sync), Type::BYTEA_ARRAY), (second, Type::BYTEA_ARRAY)]);
    let upsert = if unsealed.span == Span::Hour {
        parameters.push((third, Type::BYTEA_ARRAY));
        include_str!("upsert_chunks.sql")
    } else {
        parameters.push((&code, Type::INT2));
        include_str!("upsert_summaries.sql")
    };
    client.execute_typed(upsert, &parameters).await.map(drop)
}

/// Hands the span on to the next longer one, and commits. All of it is sent together; a COMMIT that follows a statement
/// that failed rolls back.
async fn finish(client: &Client, unsealed: Unsealed, now: Micros) -> Result<(), Error> {
    let Unsealed { span, starts_at, block: Block(block) } = unsealed;
    let code = span.code();
    let (longer, longer_starts_at) = match span {
        Span::Hour => (Span::Day, Span::Day.start(starts_at)),
        Span::Day | Span::Month => (Span::Month, Span::Month.start(starts_at)),
    };
    let longer_code = longer.code();
    let hand_on: [(&(dyn ToSql + Sync), Type); 4] = [
        (&longer_code, Type::INT2),
        (&longer_starts_at, Type::TIMESTAMPTZ),
        (&block, Type::INT4),
        (&now, Type::TIMESTAMPTZ),
    ];
    let done: [(&(dyn ToSql + Sync), Type); 3] =
        [(&code, Type::INT2), (&starts_at, Type::TIMESTAMPTZ), (&block, Type::INT4)];
    let (handed_on, emptied, ended, committed) = join!(
        async {
            // There is nothing longer than a month.
            if longer == span {
                Ok(0)
            } else {
                client.execute_typed(include_str!("upsert_unsealed.sql"), &hand_on).await
            }
        },
        async {
            // Only hours have fragments.
            let gone = "delete from fragments where hour = $1 and block = $2";
            if span == Span::Hour { client.execute_typed(gone, &done[1..]).await } else { Ok(0) }
        },
        client.execute_typed("delete from unsealed where span = $1 and starts_at = $2 and block = $3", &done),
        client.batch_execute("commit"),
    );
    handed_on.and(emptied).and(ended).and(committed)
}
