//! The Kafka event source: consumes the topic in a group, hands batches to flush as Lambda would, and commits what was
//! flushed.

use std::{collections::BTreeMap, sync::mpsc, thread, time::Duration};

use anyhow::{Context as _, Result};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use rdkafka::{
    Message, Offset, Timestamp, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer as _, StreamConsumer},
    error::KafkaError,
    message::{Headers as _, OwnedMessage},
    metadata::MetadataTopic,
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};

use crate::{
    functions::FunctionsClient,
    kafka::{Context, Stream},
};

/// How long Kafka may take to say how far it is.
pub(crate) const ASK_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the consumer may take to leave its group.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);
/// What the event says of a record beside its key and value, at most.
const ENVELOPE_BYTES: usize = 500;

/// The settings of the trigger, with the limits that Lambda has.
#[derive(Clone)]
pub struct EventSourceConfig {
    /// The brokers.
    pub stream: Stream,
    /// The one topic.
    pub topic: String,
    /// The consumer group; Kafka keeps its offsets.
    pub group: String,
    /// Records in a batch, at most.
    pub batch_size: usize,
    /// Bytes of a batch as JSON, at most; a record that is larger by itself is a batch of its own.
    pub batch_bytes: usize,
    /// How long to gather a batch, from its first record on.
    pub batching_window: Duration,
    /// How long to wait before a failed batch is delivered again, at first and at most.
    pub retry_delay: (Duration, Duration),
}

/// What takes batches: flush, wherever it runs.
pub trait Invoke {
    /// Invokes it with the event of a batch, and returns its answer.
    fn invoke(&self, event: &Value) -> impl Future<Output = Result<Value>> + Send;
}

impl Invoke for FunctionsClient {
    async fn invoke(&self, event: &Value) -> Result<Value> {
        self.invoke("flush", event).await
    }
}

/// What became of a batch.
pub enum Delivery<'batch> {
    /// Flush took it; its answer.
    Done(&'batch Value),
    /// Flush failed; the batch comes again.
    Failed(&'batch anyhow::Error),
    /// Kafka is in trouble; its client tries again by itself.
    Trouble(&'batch KafkaError),
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
            batch_bytes: 6_000_000,
            batching_window: Duration::from_millis(500),
            retry_delay: (Duration::from_millis(500), Duration::from_secs(10)),
        }
    }
}

/// Delivers batches until it is dropped, and tells `observe` of each delivery. A batch that fails is delivered again,
/// the same and before anything behind it, until it succeeds; only then are its offsets committed. So every record is
/// delivered at least once, and in order within its partition.
///
/// # Errors
/// The consumer cannot be made, or Kafka ended it for good.
pub async fn run(config: &EventSourceConfig, flush: &impl Invoke, mut observe: impl FnMut(Delivery<'_>)) -> Result<()> {
    let mut settings = config.stream.client_config();
    settings
        .set("group.id", &config.group)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        // The shortest that brokers allow: after a run that was killed, the next one waits no longer for its partitions.
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "1500")
        // A batch may be retried for long, and no other consumer waits for the partitions.
        .set("max.poll.interval.ms", "86400000");
    let leaving = Leaving(Some(config.stream.create(&settings)?));
    let consumer = leaving.consumer()?;
    consumer.subscribe(&[&config.topic])?;
    let mut held = None;
    loop {
        let batch = gather(consumer, config, &mut held, &mut observe).await?;
        let event = lambda_event(&config.stream.bootstrap_server, &batch);
        let mut delay = config.retry_delay.0;
        loop {
            match flush.invoke(&event).await {
                Ok(answer) => {
                    observe(Delivery::Done(&answer));
                    break;
                }
                Err(error) => observe(Delivery::Failed(&error)),
            }
            sleep(delay).await;
            delay = (delay * 2).min(config.retry_delay.1);
        }
        consumer.commit(&behind(&batch)?, CommitMode::Async)?;
    }
}

/// A consumer that leaves its group when it is dropped. Kafka's client waits for the broker then, also for one that is gone.
struct Leaving(Option<StreamConsumer<Context>>);

impl Leaving {
    fn consumer(&self) -> Result<&StreamConsumer<Context>> {
        self.0.as_ref().context("the consumer has left its group")
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let consumer = self.0.take();
        let (left, has_left) = mpsc::channel();
        thread::spawn(move || {
            drop(consumer);
            left.send(()).unwrap_or_default();
        });
        has_left.recv_timeout(LEAVE_TIMEOUT).unwrap_or_default();
    }
}

/// The next batch: up to its size, its bytes, or the end of its window. The record that would be one too many is `held`
/// for the batch after.
async fn gather(
    consumer: &StreamConsumer<Context>,
    config: &EventSourceConfig,
    held: &mut Option<OwnedMessage>,
    observe: &mut impl FnMut(Delivery<'_>),
) -> Result<Vec<OwnedMessage>> {
    let first = match held.take() {
        Some(message) => message,
        None => receive(consumer, observe).await?,
    };
    let deadline = Instant::now() + config.batching_window;
    let mut bytes = size(&first);
    let mut batch = vec![first];
    while batch.len() < config.batch_size {
        let Ok(message) = timeout_at(deadline, receive(consumer, observe)).await else { break };
        let message = message?;
        bytes += size(&message);
        if bytes > config.batch_bytes {
            *held = Some(message);
            break;
        }
        batch.push(message);
    }
    Ok(batch)
}

/// The next record. Brokers that are away come back, or the consumer says that it is at its end.
async fn receive(consumer: &StreamConsumer<Context>, observe: &mut impl FnMut(Delivery<'_>)) -> Result<OwnedMessage> {
    loop {
        match consumer.recv().await {
            Ok(message) => return Ok(message.detach()),
            Err(error @ KafkaError::MessageConsumptionFatal(_)) => return Err(error.into()),
            Err(error) => observe(Delivery::Trouble(&error)),
        }
    }
}

/// The bytes of a record in the event, where base64 makes four of three.
fn size(message: &OwnedMessage) -> usize {
    let base64 = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len).div_ceil(3) * 4;
    ENVELOPE_BYTES + base64(message.key()) + base64(message.payload())
}

/// Whether the group has committed all that is in the topic. Blocks.
///
/// # Errors
/// Kafka cannot be asked.
pub fn is_drained(config: &EventSourceConfig) -> Result<bool> {
    let mut settings = config.stream.client_config();
    let consumer: BaseConsumer<Context> = config.stream.create(settings.set("group.id", &config.group))?;
    let metadata = consumer.fetch_metadata(Some(&config.topic), ASK_TIMEOUT)?;
    let partitions = metadata.topics().first().map(MetadataTopic::partitions).unwrap_or_default();
    let mut asked = TopicPartitionList::new();
    for partition in partitions {
        asked.add_partition(&config.topic, partition.id());
    }
    for committed in consumer.committed_offsets(asked, ASK_TIMEOUT)?.elements() {
        let (low, high) = consumer.fetch_watermarks(&config.topic, committed.partition(), ASK_TIMEOUT)?;
        let next = match committed.offset() {
            Offset::Offset(next) => next,
            _ => low,
        };
        if next < high {
            return Ok(false);
        }
    }
    Ok(true)
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
