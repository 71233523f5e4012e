//! A database made anew from the topic: every record there is, from the first offset on, through flush as ever.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail};
use flush::Flush;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{Consumer as _, StreamConsumer},
    error::KafkaError,
    message::OwnedMessage,
    metadata::MetadataTopic,
};

use crate::{
    event_source::{ASK_TIMEOUT, lambda_event},
    kafka::{Context, Stream},
};

/// Records in a batch.
const BATCH: usize = 10_000;

/// How far a rebuild is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rebuilt {
    /// Records in the topic when it began.
    pub total: u64,
    /// Records read.
    pub read: u64,
    /// Observations that are new in the database.
    pub stored: u64,
    /// Records that were there already.
    pub duplicates: u64,
    /// Records that went to `rejects`.
    pub rejected: u64,
    /// Probes in the hours, days and months that were sealed.
    pub sealed: u64,
}

/// Reads the topic from its first record to the last one there is, hands all of it to flush, and seals what has ended.
/// Nothing is committed in Kafka. What is in the database already is recognised, so a rebuild that was stopped is begun
/// again and ends the same. Tells `observe` how far it is.
///
/// # Errors
/// There is no such topic, Kafka cannot be read, or the database refuses.
pub async fn run(stream: &Stream, topic: &str, flush: &Flush, mut observe: impl FnMut(&Rebuilt)) -> Result<Rebuilt> {
    let mut settings = stream.client_config();
    settings
        .set("group.id", "website-monitor-rebuild")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true");
    let consumer: StreamConsumer<Context> = stream.create(&settings)?;
    let mut rebuilt = Rebuilt::default();
    let mut unread = assign(&consumer, topic, &mut rebuilt)?;
    let mut batch = Vec::with_capacity(BATCH);
    while !unread.is_empty() {
        match consumer.recv().await {
            Ok(message) => batch.push(message.detach()),
            Err(KafkaError::PartitionEOF(partition)) => drop(unread.remove(&partition)),
            Err(error @ KafkaError::MessageConsumptionFatal(_)) => return Err(error.into()),
            // Brokers that are away come back.
            Err(error) => tracing::warn!("{error}"),
        }
        if batch.len() == BATCH || unread.is_empty() {
            deliver(stream, &batch, flush, &mut rebuilt).await?;
            batch.clear();
            observe(&rebuilt);
        }
    }
    flush::seal_all(flush, |sealed| {
        rebuilt.sealed += sealed.probes;
        observe(&rebuilt);
    })
    .await?;
    Ok(rebuilt)
}

/// Assigns every partition from its beginning; returns those that hold anything.
fn assign(consumer: &StreamConsumer<Context>, topic: &str, rebuilt: &mut Rebuilt) -> Result<BTreeSet<i32>> {
    let metadata = consumer.fetch_metadata(Some(topic), ASK_TIMEOUT).context("Kafka cannot be asked")?;
    let partitions = metadata.topics().first().map(MetadataTopic::partitions).unwrap_or_default();
    if partitions.is_empty() {
        bail!("there is no topic {topic:?}");
    }
    let mut assigned = TopicPartitionList::new();
    let mut unread = BTreeSet::new();
    for partition in partitions {
        let (low, high) = consumer.fetch_watermarks(topic, partition.id(), ASK_TIMEOUT)?;
        rebuilt.total += u64::try_from(high - low).unwrap_or_default();
        if low < high {
            assigned.add_partition_offset(topic, partition.id(), Offset::Offset(low))?;
            unread.insert(partition.id());
        }
    }
    consumer.assign(&assigned)?;
    Ok(unread)
}

async fn deliver(stream: &Stream, batch: &[OwnedMessage], flush: &Flush, rebuilt: &mut Rebuilt) -> Result<()> {
    let summary = flush::run(flush, lambda_event(&stream.bootstrap_server, batch)).await?;
    rebuilt.read += summary.received as u64;
    rebuilt.stored += summary.stored as u64;
    rebuilt.duplicates += summary.duplicates as u64;
    rebuilt.rejected += summary.rejected as u64;
    Ok(())
}
