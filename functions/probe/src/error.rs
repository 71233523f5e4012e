//! What keeps probe from its work. A target that fails is not among it.

use lambda_runtime::Diagnostic;

use crate::{exchange::TlsError, input::InputError, stream::StreamError};

/// Why an invocation failed.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The event is none of those that probe takes.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The file of monitors has none that is enabled.
    #[error(
        "nothing to probe: no monitor is enabled; add one to the file, set WM_URL to a URL or a comma-separated list, or \
         send {{\"url\": \"https://…\"}}"
    )]
    NoMonitors,
    /// The file of monitors cannot be used with the secrets that it refers to.
    #[error("the monitors cannot be used:\n  {}", .0.join("\n  "))]
    Monitors(Vec<String>),
    /// The HTTP client cannot be made.
    #[error("cannot set up the HTTP client: {0}")]
    Http(#[from] TlsError),
    /// The brokers of the cluster cannot be found, or a secret cannot be used.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// Kafka's client refuses its settings.
    #[error("cannot set up the Kafka producer: {0}; check the WM_STREAM_… variables")]
    Publisher(#[source] rdkafka::error::KafkaError),
    /// The deadline passed before anything could be done.
    #[error("no time left: nothing was probed")]
    NoTime,
    /// Not every record was acknowledged in time.
    #[error("of {records} records, Kafka did not acknowledge {unacknowledged}: {reason}")]
    Unacknowledged {
        /// What the invocation had to publish.
        records: usize,
        /// Records that are not known to be in the topic.
        unacknowledged: usize,
        /// The last reason met.
        reason: String,
    },
}

impl From<ProbeError> for Diagnostic {
    /// A stable name for alarms and metric filters beside the sentence for people.
    fn from(error: ProbeError) -> Self {
        let error_type = match error {
            ProbeError::Input(_) => "InvalidInput",
            ProbeError::NoMonitors | ProbeError::Monitors(_) => "Monitors",
            ProbeError::Http(_) => "HttpClient",
            ProbeError::Stream(StreamError::Brokers(_)) => "Brokers",
            ProbeError::Stream(StreamError::Secret(_)) => "Secret",
            ProbeError::Publisher(_) => "Producer",
            ProbeError::Unacknowledged { .. } => "UnacknowledgedRecords",
            ProbeError::NoTime => "NoTime",
        };
        Self { error_type: error_type.to_owned(), error_message: error.to_string() }
    }
}
