//! Records out to Kafka, each acknowledged.

use std::{sync::Arc, thread, time::Duration};

use rdkafka::{
    ClientConfig,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{FutureProducer, FutureRecord, Producer as _},
    util::Timeout,
};
use shared::Record;

use super::{connection::Connection, context::StreamContext};

/// How long Kafka may take to acknowledge a record, retries included. Kafka's own default of five minutes would
/// outlive the invocation.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a record may wait for room in the producer's queue.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(1);

/// The producer of an execution environment: one for its whole life, since dropping it throws away what is in flight.
pub struct Publisher {
    producer: FutureProducer<StreamContext>,
    context: StreamContext,
    topic: String,
}

/// Why a record is not known to be in the topic.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The record could not be written as JSON.
    #[error("cannot encode the record: {0}")]
    Encode(#[from] serde_json::Error),
    /// Kafka did not take or not acknowledge it.
    #[error("{error}{}", .trouble.as_ref().map(|trouble| format!("; {trouble}")).unwrap_or_default())]
    Kafka {
        /// What became of the record.
        error: KafkaError,
        /// What the client complained of on the way, or which setting the error is about.
        trouble: Option<String>,
    },
}

impl Publisher {
    /// Makes the producer. It connects on its own and keeps trying; only settings that cannot work are errors.
    ///
    /// # Errors
    /// Kafka's client refuses a setting, such as a certificate file that holds none.
    pub fn new(connection: &Connection, topic: &str) -> Result<Self, KafkaError> {
        let context = connection.context.clone();
        let producer = settings(connection).create_with_context(context.clone())?;
        Ok(Self { producer, context, topic: topic.to_owned() })
    }

    /// What Kafka's client complained of last, and which setting mends it; none where it does its work.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.context.trouble()
    }

    /// Whether the producer sends nothing any more, and a new one may: it met a fatal error, such as a sequence that the
    /// broker has forgotten; or what it says of us is not taken, and a secret may have been rotated; or there is no topic, and
    /// it can be made.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.producer.client().fatal_error().is_some() || self.context.is_refused()
    }

    /// Ends a producer that is of no more use, on a thread of its own: that waits for the client's threads, and those may wait for
    /// a broker that does not answer.
    pub fn retire(publisher: impl Into<Arc<Self>>) {
        let publisher = publisher.into();
        thread::spawn(move || drop(publisher));
    }

    /// Publishes a record under its URL and returns when every in-sync replica has it.
    ///
    /// # Errors
    /// It was not acknowledged within 20 s. It may still be in the topic: then it is stored once all the same, since
    /// its id is its identity.
    pub async fn publish(&self, record: &Record) -> Result<(), PublishError> {
        let payload = record.encode()?;
        let message = FutureRecord::to(&self.topic).key(&record.url).payload(&payload);
        let delivery = self.producer.send(message, Timeout::After(QUEUE_TIMEOUT)).await;
        match delivery {
            Ok(_) => {
                self.context.works();
                Ok(())
            }
            Err((error, _)) => {
                // Of an idempotent producer that is refused, the code is in its fatal error.
                let fatal = self.producer.client().fatal_error().map(|(code, _)| code);
                let code = fatal.or(error.rdkafka_error_code()).unwrap_or(RDKafkaErrorCode::Unknown);
                Err(PublishError::Kafka { trouble: self.context.fails(code), error })
            }
        }
    }
}

/// The producer's settings, made for an environment that is frozen between invocations and finds its connections
/// dead when it thaws: fail fast, reconnect at once, and retry without duplicates.
fn settings(connection: &Connection) -> ClientConfig {
    let mut settings = connection.settings.clone();
    settings
        .set("client.id", "website-monitor-probe")
        // A retry after a lost answer must not write the record twice; this also sets acks=all.
        .set("enable.idempotence", "true")
        .set("compression.type", "zstd")
        // The partitioner of the Java clients, so that every producer puts a key into the same partition.
        .set("partitioner", "murmur2_random")
        .set("message.timeout.ms", MESSAGE_TIMEOUT.as_millis().to_string())
        // A topic that is not there is to be told as such, before the message times out.
        .set("topic.metadata.propagation.max.ms", "5000")
        .set("socket.timeout.ms", "5000")
        .set("socket.connection.setup.timeout.ms", "5000")
        .set("socket.keepalive.enable", "true")
        // Below the 350 s after which network address translators forget an idle connection.
        .set("connections.max.idle.ms", "240000")
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "1000");
    settings
}
