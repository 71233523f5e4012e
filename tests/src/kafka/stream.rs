//! How to connect to Kafka: to our own broker, or to somebody else's, as probe does it.

use std::error::Error;

use probe::stream::{
    Connection,
    context::StreamContext,
    topic::{self, TopicError},
};
use rdkafka::{
    ClientConfig, ClientContext, client::OAuthToken, config::FromClientConfigAndContext, consumer::ConsumerContext,
    error::KafkaError,
};

/// A way to Kafka.
#[derive(Clone)]
pub struct Stream {
    /// `host:port`, several with commas.
    pub bootstrap_server: String,
    connection: Connection,
}

/// What clients that are no producers ask of us.
#[derive(Clone)]
pub struct Context(StreamContext);

impl Stream {
    /// The way that `connection` goes.
    #[must_use]
    pub fn new(connection: Connection) -> Self {
        let bootstrap_server = connection.settings.get("bootstrap.servers").unwrap_or_default().to_owned();
        Self { bootstrap_server, connection }
    }

    /// To a broker that takes plain text.
    #[must_use]
    pub fn plain(bootstrap_server: &str) -> Self {
        Self::new(Connection::plain(bootstrap_server))
    }

    /// The settings of any client.
    #[must_use]
    pub fn client_config(&self) -> ClientConfig {
        self.connection.settings.clone()
    }

    /// A client with these settings.
    ///
    /// # Errors
    /// The settings are refused.
    pub fn create<T: FromClientConfigAndContext<Context>>(&self, settings: &ClientConfig) -> Result<T, KafkaError> {
        settings.create_with_context(Context(self.connection.context.clone()))
    }

    /// What a producer is made of.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }

    fn generate_oauth_token(&self, configured: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.0.generate_oauth_token(configured)
    }
}

impl ConsumerContext for Context {}

/// Makes a topic unless it is there.
///
/// # Errors
/// The broker cannot be reached or refuses.
pub async fn create_topic(stream: &Stream, topic: &str, partitions: i32) -> Result<(), TopicError> {
    topic::create(&stream.connection, topic, partitions).await
}
