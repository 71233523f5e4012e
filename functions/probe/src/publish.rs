//! Records out to Kafka, each acknowledged.

use std::time::Duration;

use rdkafka::{
    ClientConfig,
    error::KafkaError,
    producer::{FutureProducer, FutureRecord, Producer as _},
    util::Timeout,
};
use shared::Record;

use crate::config::{SslConfig, StreamConfig};

/// How long Kafka may take to acknowledge a record, retries included. Kafka's own default of five minutes would
/// outlive the invocation.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a record may wait for room in the producer's queue.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(1);

/// The producer of an execution environment: one for its whole life, since dropping it throws away what is in flight.
pub struct Publisher {
    producer: FutureProducer,
    topic: String,
}

/// Why a record is not known to be in the topic.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The record could not be written as JSON.
    #[error("cannot encode the record: {0}")]
    Encode(#[from] serde_json::Error),
    /// Kafka did not take or not acknowledge it.
    #[error("{0}")]
    Kafka(#[from] KafkaError),
}

impl Publisher {
    /// Makes the producer. It connects on its own and keeps trying; only settings that cannot work are errors.
    ///
    /// # Errors
    /// Kafka's client refuses a setting, such as a certificate file that holds none.
    pub fn new(config: &StreamConfig, servers: &str) -> Result<Self, KafkaError> {
        let producer = settings(config, servers).create()?;
        Ok(Self { producer, topic: config.topic.clone() })
    }

    /// Whether the producer met an error after which it sends nothing any more, such as a sequence that the broker has
    /// forgotten; a new one does.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.producer.client().fatal_error().is_some()
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
        delivery.map(|_| ()).map_err(|(error, _)| error.into())
    }
}

/// The producer's settings, made for an environment that is frozen between invocations and finds its connections
/// dead when it thaws: fail fast, reconnect at once, and retry without duplicates.
fn settings(config: &StreamConfig, servers: &str) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", servers)
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
        .set("reconnect.backoff.max.ms", "1000")
        // Connections that die while frozen are normal here.
        .set("log.connection.close", "false");
    if let Some(ssl) = &config.ssl {
        set_ssl(&mut settings, ssl);
    }
    settings
}

/// The settings of a Kafka client for TLS.
pub fn set_ssl(settings: &mut ClientConfig, ssl: &SslConfig) {
    settings.set("security.protocol", "ssl");
    // "probe" looks for the system's roots; the bundled OpenSSL would look where there are none.
    settings.set("ssl.ca.location", ssl.ca_file.as_deref().unwrap_or("probe"));
    if let (Some(cert), Some(key)) = (&ssl.cert_file, &ssl.key_file) {
        settings.set("ssl.certificate.location", cert).set("ssl.key.location", key);
    }
}
