//! What keeps probe from its work. A target that fails is not among it.

use lambda_runtime::Diagnostic;

use crate::{brokers::BrokersError, exchange::TlsError, input::InputError};

/// Why an invocation failed.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The event is none of those that probe takes.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Neither the event nor the environment names a URL.
    #[error("nothing to probe: set WM_URL to a URL or to a comma-separated list, or send {{\"url\": \"https://…\"}}")]
    NoUrls,
    /// The HTTP client cannot be made.
    #[error("cannot set up the HTTP client: {0}")]
    Http(#[from] TlsError),
    /// The brokers of the cluster cannot be found.
    #[error(transparent)]
    Brokers(#[from] BrokersError),
    /// Kafka's client refuses its settings.
    #[error("cannot set up the Kafka producer: {0}; check the WM_STREAM_… variables")]
    Publisher(#[source] rdkafka::error::KafkaError),
    /// The deadline passed before anything could be done.
    #[error("no time left: nothing was probed")]
    NoTime,
    /// Not every URL was probed, or not every record acknowledged, in time.
    #[error(
        "of {urls} URLs, {unacknowledged} have a record that Kafka did not acknowledge, and {unprobed} were not probed: \
         {reason}"
    )]
    Incomplete {
        /// What the invocation was to probe.
        urls: usize,
        /// Requests that were made and whose record is not known to be in the topic.
        unacknowledged: usize,
        /// Requests that were not made.
        unprobed: usize,
        /// The last reason met.
        reason: String,
    },
}

impl From<ProbeError> for Diagnostic {
    /// A stable name for alarms and metric filters beside the sentence for people.
    fn from(error: ProbeError) -> Self {
        let error_type = match error {
            ProbeError::Input(_) => "InvalidInput",
            ProbeError::NoUrls => "NoUrls",
            ProbeError::Http(_) => "HttpClient",
            ProbeError::Brokers(_) => "Brokers",
            ProbeError::Publisher(_) => "Producer",
            ProbeError::Incomplete { unacknowledged: 1.., .. } => "UnacknowledgedRecords",
            ProbeError::NoTime | ProbeError::Incomplete { .. } => "NoTime",
        };
        Self { error_type: error_type.to_owned(), error_message: error.to_string() }
    }
}
