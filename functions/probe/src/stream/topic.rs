//! The topic, made where it is not there.

use std::time::Duration;

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{connection::Connection, context::StreamContext};

/// How long the brokers may take, within the 10 s that a function has to start.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no topic.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the topic {topic:?} (WM_STREAM_TOPIC): {reason}")]
pub struct TopicError {
    /// The topic.
    pub topic: String,
    /// What Kafka says.
    pub reason: String,
}

/// Makes a topic with so many partitions, and as many replicas as the cluster thinks right, unless it is there.
///
/// # Errors
/// Kafka cannot be reached, or refuses.
pub async fn create(connection: &Connection, topic: &str, partitions: i32) -> Result<(), TopicError> {
    let context = &connection.context;
    let failed = |reason: String| TopicError { topic: topic.to_owned(), reason };
    let about = |error: KafkaError| failed(error.to_string());
    let admin: AdminClient<StreamContext> = connection.settings.create_with_context(context.clone()).map_err(about)?;
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT)).operation_timeout(Some(TIMEOUT));
    let wanted = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
    match admin.create_topics([&wanted], &options).await.map_err(about)?.into_iter().next() {
        Some(Err((_, code))) if code != RDKafkaErrorCode::TopicAlreadyExists => Err(failed(code.to_string())),
        _ => Ok(()),
    }
}
