//! flush: a batch of Kafka records in, rows in Postgres out, every record exactly once.
//!
//! In the order of the data: [`event`] takes the trigger's JSON apart, [`batch`] decodes each record or says why it
//! cannot, [`identity`] gives each its key, [`mod@store`] makes rows of them, `write` is the one transaction they go in
//! by. Identity is in the row's key and nowhere else: whatever is delivered again, however often the function is killed,
//! finds its row taken.
//!
//! Then, while it is there, an invocation turns what is closed into history ([`seal`]) and drops what is old
//! ([`retention`]). What could not be stored is kept, and can be [tried again](redrive).

mod attributes;
pub mod batch;
mod certificates;
mod copy;
mod dictionary;
pub mod event;
mod fragments;
pub mod identity;
mod partitions;
pub mod redrive;
pub mod retention;
mod row;
pub mod seal;
mod settings;
pub mod store;
mod unsealed;
mod urls;
mod write;

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use lambda_runtime::{Diagnostic, LambdaEvent};
use serde::Serialize;
use serde_json::{Value, value::RawValue};
use shared::{
    Micros,
    database::{Database, DatabaseConfig, DatabaseError, Lease},
    env::{ConfigError, Env},
    timestamp,
};
use tokio::time::{Instant, timeout};

use crate::{
    batch::Batch,
    event::{EventError, KafkaEvent},
    retention::Retention,
    seal::{Sealed, Sealing},
    store::{Known, Stored, store},
};

/// How long an invocation goes on sealing, piece by piece; a piece is an hour or a day of 4,096 targets.
const SEALING_BUDGET: Duration = Duration::from_secs(1);
/// How long a piece may take: half of what the invocation has, which is to end well, since its batch is stored.
const PIECE_LIMIT: Duration = Duration::from_secs(30);
/// How long an instance leaves sealing to others when a piece took longer than that.
const SEALING_REST: Duration = Duration::from_secs(600);
/// How long an instance that found nothing to seal waits before it looks again.
const SEALING_PAUSE: Duration = Duration::from_secs(10);

/// The configuration of flush.
#[derive(Clone)]
pub struct FlushConfig {
    /// Where the rows go.
    pub database: DatabaseConfig,
    /// How long they stay.
    pub retention: Retention,
}

/// What is made once per execution environment.
pub struct Flush {
    database: Database<Known>,
    retention: Retention,
    /// Until when sealing is left to others.
    rests_until: Mutex<Option<Instant>>,
}

/// The answer of an invocation that did its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Records in the batch.
    pub received: usize,
    /// Observations that are new in the database.
    pub stored: usize,
    /// Records that were there already: delivered before, or twice in this batch.
    pub duplicates: usize,
    /// Records that could not be decoded or that the database refused; they are kept in `rejects`.
    pub rejected: usize,
    /// Always empty: for triggers that are set to expect partial failures, "everything is done".
    #[serde(rename = "batchItemFailures")]
    pub batch_item_failures: [(); 0],
}

/// Why an invocation failed; the trigger then delivers its batch again.
#[derive(Debug, thiserror::Error)]
pub enum FlushError {
    /// The event is not one of a Kafka trigger.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The database cannot be reached or refused the batch.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl FlushConfig {
    /// Reads the configuration from a lookup of variables.
    ///
    /// # Errors
    /// Every mistake, each naming its variable.
    pub fn from_env(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut env = Env::new(lookup);
        let config = Self::read(&mut env);
        env.finish(config)
    }

    /// The same as part of another configuration; mistakes are noted in `env`.
    #[must_use]
    pub fn read(env: &mut Env<'_>) -> Self {
        Self { database: DatabaseConfig::from_env(env), retention: Retention::from_env(env) }
    }
}

impl Flush {
    /// What the configuration asks for; connects when it is first needed.
    #[must_use]
    pub fn new(config: FlushConfig) -> Self {
        Self { database: Database::new(config.database), retention: config.retention, rests_until: Mutex::default() }
    }

    /// Leaves sealing to others for a while.
    fn rest(&self) {
        let until = Instant::now() + SEALING_REST;
        *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    fn rests(&self) -> bool {
        self.rests_until.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|until| Instant::now() < until)
    }
}

/// The Lambda handler.
///
/// # Errors
/// Those of [`run_text`].
pub async fn handle(flush: &Flush, event: LambdaEvent<Box<RawValue>>) -> Result<Summary, FlushError> {
    run_text(flush, event.payload.get()).await
}

/// Writes the records of `event` in one transaction. A record that cannot be decoded, or that the schema refuses, goes
/// to `rejects` and takes nobody with it. A connection that breaks on the way is replaced and the batch tried once more;
/// that is safe at any point, the commit included, because a row that was written already is found by its key.
///
/// What is closed is sealed afterwards, for about a second. If that goes wrong, or takes too long, the batch is stored all the
/// same.
///
/// # Errors
/// The event is not one of a Kafka trigger; or the database cannot be reached or refused the batch: nothing is stored, and the
/// batch is to be delivered again.
pub async fn run_text(flush: &Flush, event: &str) -> Result<Summary, FlushError> {
    let batch = Batch::decode(KafkaEvent::read(event)?);
    let received = batch.observations.len() + batch.rejects.len();
    let mut lease = flush.database.lease().await;
    let result = match attempt(&mut lease, &batch).await {
        Err(error) if error.is_transient() => {
            tracing::warn!("{error}; trying the batch once more on a new connection");
            lease.discard();
            attempt(&mut lease, &batch).await
        }
        result => result,
    };
    let Stored { stored, rejects } = result?;
    let rejected = rejects.len();
    if let Some(reject) = rejects.first() {
        tracing::warn!(rejected, "records went to rejects, the first because {}", reject.reason);
    }
    let duplicates = received - rejected - stored;
    tracing::info!(received, stored, duplicates, rejected, "batch stored");
    if flush.rests() {
        lease.keep();
    } else {
        match maintain(&mut lease, flush.retention).await {
            Err(Neglected::Database(error)) if error.is_transient() => {
                tracing::warn!("{error}; sealing goes on with a later batch");
            }
            Err(error) => {
                tracing::error!("{error}; the batch is stored, but history is not sealed");
                match error {
                    Neglected::Database(_) => lease.keep(),
                    // Its connection is in the middle of a transaction, and ends with it.
                    Neglected::TooLong => flush.rest(),
                }
            }
            Ok(()) => lease.keep(),
        }
    }
    Ok(Summary { received, stored, duplicates, rejected, batch_item_failures: [] })
}

/// [`run_text`] for whoever has made the event, such as a rebuild.
///
/// # Errors
/// The same.
pub async fn run(flush: &Flush, event: Value) -> Result<Summary, FlushError> {
    run_text(flush, &event.to_string()).await
}

async fn attempt(lease: &mut Lease<'_, Known>, batch: &Batch) -> Result<Stored, DatabaseError> {
    store(lease.session().await?, batch).await
}

/// Seals what is closed and drops what is old, as far as it is time to.
async fn maintain(lease: &mut Lease<'_, Known>, retention: Retention) -> Result<(), Neglected> {
    let session = lease.session().await?;
    let (client, schedule) = (&session.client, &mut session.state.schedule);
    let deadline = Instant::now() + SEALING_BUDGET;
    while schedule.sealing.is_none_or(|due| due <= Instant::now()) && Instant::now() < deadline {
        let step = timeout(PIECE_LIMIT, seal::step(client, timestamp::now().into(), Sealing::default())).await;
        let step = step.map_err(|_| Neglected::TooLong)?;
        if !matches!(step, Ok(Some(_))) {
            schedule.sealing = Some(Instant::now() + SEALING_PAUSE);
        }
        if let Some(Sealed { span, probes }) = step? {
            tracing::info!(probes, "sealed: {span:?}");
        }
    }
    Ok(retention::enforce(client, schedule, retention, timestamp::now().into()).await?)
}

/// Why history is not sealed.
#[derive(Debug, thiserror::Error)]
enum Neglected {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("a piece of sealing took longer than {} s and was given up", PIECE_LIMIT.as_secs())]
    TooLong,
}

/// Seals all that has ended, however long it takes and however shortly before, and drops what is old: for whoever does
/// not want to wait until invocations have done it, such as a rebuild. Tells `observe` of each piece.
///
/// # Errors
/// The database failed, or what it holds cannot be read; what was sealed until then stays so.
pub async fn seal_all(flush: &Flush, mut observe: impl FnMut(Sealed)) -> Result<(), FlushError> {
    let mut lease = flush.database.lease().await;
    let session = lease.session().await?;
    let now = Micros::from(timestamp::now());
    let sealing = Sealing { grace: Duration::ZERO, ..Sealing::default() };
    while let Some(sealed) = seal::step(&session.client, now, sealing).await? {
        observe(sealed);
    }
    retention::drop_all(&session.client, flush.retention, now, None).await?;
    lease.keep();
    Ok(())
}

impl From<FlushError> for Diagnostic {
    /// A stable name for alarms and metric filters beside the sentence for people.
    fn from(error: FlushError) -> Self {
        let error_type = match error {
            FlushError::Event(_) => "InvalidEvent",
            FlushError::Database(DatabaseError::Schema { .. }) => "Schema",
            FlushError::Database(_) => "Database",
        };
        Self { error_type: error_type.to_owned(), error_message: error.to_string() }
    }
}
