//! flush: a batch of Kafka records in, rows in Postgres out, every record exactly once.
//!
//! In the order of the data: [`event`] takes the trigger's JSON apart, [`batch`] decodes each record or says why it
//! cannot, [`identity`] gives each its key, [`mod@store`] writes all of it in one transaction. Identity is in the row's
//! key and nowhere else: whatever is delivered again, however often the function is killed, finds its row taken.

pub mod batch;
pub mod event;
pub mod identity;
mod row;
pub mod store;
mod targets;

use lambda_runtime::{Diagnostic, LambdaEvent};
use serde::Serialize;
use serde_json::Value;
use shared::{
    database::{Database, DatabaseConfig, DatabaseError, Lease},
    env::{ConfigError, Env},
};

use crate::{
    batch::Batch,
    event::{EventError, KafkaEvent},
    store::{Known, Stored, store},
};

/// The configuration of flush.
#[derive(Clone)]
pub struct FlushConfig {
    /// Where the rows go.
    pub database: DatabaseConfig,
}

/// What is made once per execution environment.
pub type Flush = Database<Known>;

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
        let database = DatabaseConfig::from_env(&mut env);
        env.finish(Self { database })
    }
}

/// The Lambda handler.
///
/// # Errors
/// Those of [`run`], and an event that is not one of a Kafka trigger.
pub async fn handle(flush: &Flush, event: LambdaEvent<Value>) -> Result<Summary, FlushError> {
    run(flush, event.payload).await
}

/// Writes the records of `event` in one transaction. A record that cannot be decoded, or that the schema refuses, goes
/// to `rejects` and takes nobody with it. A connection that breaks on the way is replaced and the batch tried once more;
/// that is safe at any point, the commit included, because a row that was written already is found by its key.
///
/// # Errors
/// The database cannot be reached or refused the batch: nothing is stored, and the batch is to be delivered again.
pub async fn run(flush: &Flush, event: Value) -> Result<Summary, FlushError> {
    let batch = Batch::decode(KafkaEvent::read(event)?);
    let received = batch.observations.len() + batch.rejects.len();
    let mut lease = flush.lease().await;
    let result = match attempt(&mut lease, &batch).await {
        Err(error) if error.is_transient() => {
            tracing::warn!("{error}; trying the batch once more on a new connection");
            lease.discard();
            attempt(&mut lease, &batch).await
        }
        result => result,
    };
    // Whatever went wrong, the next invocation starts with a connection that has nothing to do with it.
    let Stored { stored, rejects } = result.inspect_err(|_| lease.discard())?;
    let rejected = rejects.len();
    if let Some(reject) = rejects.first() {
        tracing::warn!(rejected, "records went to rejects, the first because {}", reject.reason);
    }
    let duplicates = received - rejected - stored;
    tracing::info!(received, stored, duplicates, rejected, "batch stored");
    Ok(Summary { received, stored, duplicates, rejected, batch_item_failures: [] })
}

async fn attempt(lease: &mut Lease<'_, Known>, batch: &Batch) -> Result<Stored, DatabaseError> {
    store(lease.session().await?, batch).await
}

impl From<FlushError> for Diagnostic {
    /// A stable name for alarms and metric filters beside the sentence for people.
    fn from(error: FlushError) -> Self {
        let error_type = match error {
            FlushError::Event(_) => "InvalidEvent",
            FlushError::Database(_) => "Database",
        };
        Self { error_type: error_type.to_owned(), error_message: error.to_string() }
    }
}
