//! The Kafka event source: consumes the topic in a group, hands batches to flush as Lambda would, and commits what was
//! flushed.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use rdkafka::{
    Message, Offset, Timestamp, TopicPartitionList,
    consumer::{CommitMode, Consumer as _, StreamConsumer},
    message::{BorrowedMessage, Headers as _, OwnedMessage},
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};

use crate::{functions::FunctionsClient, kafka::Stream};

/// How long to wait before a failed batch is delivered again, at first and at most.
const RETRY_DELAY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// The settings of the trigger, with the limits that Lambda has.
#[derive(Debug, Clone)]
pub struct EventSourceConfig {
    /// The brokers.
    pub stream: Stream,
    /// The one topic.
    pub topic: String,
    /// The consumer group; Kafka keeps its offsets.
    pub group: String,
    /// Records in a batch, at most.
    pub batch_size: usize,
    /// Bytes of keys and values in a batch, at most: Lambda takes 6 MB of JSON, base64 makes 4 bytes of 3.
    pub batch_bytes: usize,
    /// How long to gather a batch, from its first record on.
    pub batching_window: Duration,
}

/// What became of a batch.
pub enum Delivery<'batch> {
    /// Flush took it; its answer.
    Done(&'batch Value),
    /// Flush failed; the batch comes again.
    Failed(&'batch anyhow::Error),
}

impl EventSourceConfig {
    /// The defaults of a Kafka trigger, with larger batches.
    #[must_use]
    pub fn new(stream: Stream, topic: &str, group: &str) -> Self {
        Self {
            stream,
            topic: topic.to_owned(),
            group: group.to_owned(),
            batch_size: 10_000,
            batch_bytes: 4_400_000,
            batching_window: Duration::from_millis(500),
        }
    }
}

/// Delivers batches until it is dropped, and tells `observe` of each delivery. A batch that fails is delivered again,
/// the same and before anything behind it, until it succeeds; only then are its offsets committed. So every record is
/// delivered at least once, and in order within its partition.
///
/// # Errors
/// The consumer cannot be made, or Kafka ended it for good.
pub async fn run(
    config: &EventSourceConfig,
    functions: &FunctionsClient,
    mut observe: impl FnMut(Delivery<'_>),
) -> Result<()> {
    let consumer: StreamConsumer = config
        .stream
        .client_config()
        .set("group.id", &config.group)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        // The shortest that brokers allow: after a run that was killed, the next one waits no longer for its partitions.
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "1500")
        // A batch may be retried for long, and no other consumer waits for the partitions.
        .set("max.poll.interval.ms", "86400000")
        .create()?;
    consumer.subscribe(&[&config.topic])?;
    loop {
        let batch = gather(&consumer, config).await?;
        let event = lambda_event(&config.stream.bootstrap_server, &batch);
        let mut delay = RETRY_DELAY.0;
        loop {
            match functions.invoke("flush", &event).await {
                Ok(answer) => {
                    observe(Delivery::Done(&answer));
                    break;
                }
                Err(error) => observe(Delivery::Failed(&error)),
            }
            sleep(delay).await;
            delay = (delay * 2).min(RETRY_DELAY.1);
        }
        consumer.commit(&behind(&batch)?, CommitMode::Async)?;
    }
}

/// The next batch: up to its size, its bytes, or the end of its window.
async fn gather(consumer: &StreamConsumer, config: &EventSourceConfig) -> Result<Vec<OwnedMessage>> {
    let first = consumer.recv().await?;
    let deadline = Instant::now() + config.batching_window;
    let mut bytes = size(&first);
    let mut batch = vec![first.detach()];
    while batch.len() < config.batch_size && bytes < config.batch_bytes {
        let Ok(message) = timeout_at(deadline, consumer.recv()).await else { break };
        let message = message?;
        bytes += size(&message);
        batch.push(message.detach());
    }
    Ok(batch)
}

fn size(message: &BorrowedMessage<'_>) -> usize {
    message.key_len() + message.payload_len()
}

/// The offsets to commit: one behind the last record of each partition.
fn behind(batch: &[OwnedMessage]) -> Result<TopicPartitionList> {
    let last: BTreeMap<_, _> =
        batch.iter().map(|message| ((message.topic(), message.partition()), message.offset())).collect();
    let mut offsets = TopicPartitionList::new();
    for ((topic, partition), offset) in last {
        offsets.add_partition_offset(topic, partition, Offset::Offset(offset + 1))?;
    }
    Ok(offsets)
}

/// The event that Lambda sends for a batch from self-managed Kafka.
#[must_use]
pub fn lambda_event(bootstrap_server: &str, batch: &[OwnedMessage]) -> Value {
    let mut records: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for message in batch {
        let partition = format!("{}-{}", message.topic(), message.partition());
        records.entry(partition).or_default().push(lambda_record(message));
    }
    json!({"eventSource": "SelfManagedKafka", "bootstrapServers": bootstrap_server, "records": records})
}

fn lambda_record(message: &OwnedMessage) -> Value {
    // Bytes of headers are signed there, as in Java.
    let signed = |value: &[u8]| value.iter().map(|byte| byte.cast_signed()).collect::<Vec<_>>();
    let headers: Vec<_> = message
        .headers()
        .map(|headers| headers.iter().map(|header| json!({ header.key: signed(header.value.unwrap_or_default()) })))
        .map_or_else(Vec::new, Iterator::collect);
    let (timestamp, timestamp_type) = match message.timestamp() {
        Timestamp::NotAvailable => (-1, "NO_TIMESTAMP_TYPE"),
        Timestamp::CreateTime(millis) => (millis, "CREATE_TIME"),
        Timestamp::LogAppendTime(millis) => (millis, "LOG_APPEND_TIME"),
    };
    json!({
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp": timestamp,
        "timestampType": timestamp_type,
        "key": message.key().map(|key| BASE64_STANDARD.encode(key)),
        "value": message.payload().map(|value| BASE64_STANDARD.encode(value)),
        "headers": headers
    })
}
