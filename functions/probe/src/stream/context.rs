//! What the client of Kafka asks of us, and what it says when something is wrong. It tries again by itself, for as long as
//! a record may take: what an error is then about is what it complained of on the way.

use std::{
    error::Error,
    sync::{Arc, Mutex, PoisonError},
};

use lambda_runtime::tracing;
use rdkafka::{
    ClientContext,
    client::OAuthToken,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{
    config::{Brokers, Certificate, Identity, Login, Pem, StreamConfig},
    token::TokenSource,
};

/// What OpenSSL calls it where the broker's certificate is not taken.
const VERIFY_FAILED: &str = "certificate verify failed";
/// What TLS calls it where a client's certificate is missing, or is not taken (RFC 8446, 6.2).
const ALERTS: [&str; 5] = [
    "alert certificate required",
    "alert bad certificate",
    "alert unknown ca",
    "alert certificate expired",
    "alert certificate unknown",
];

/// The context of a client.
#[derive(Clone)]
pub struct StreamContext {
    config: StreamConfig,
    token: Option<TokenSource>,
    trouble: Arc<Mutex<Option<Trouble>>>,
}

/// What the client complained of.
struct Trouble {
    /// Its words, and which setting mends it.
    text: String,
    /// Whether it is about who we are or whom we trust, or about the topic that we make: to begin anew may help.
    is_refusal: bool,
}

impl StreamContext {
    pub(super) fn new(config: &StreamConfig, token: Option<TokenSource>) -> Self {
        Self { config: config.clone(), token, trouble: Arc::default() }
    }

    /// What the client complained of last, and which setting mends it.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|trouble| trouble.text.clone())
    }

    /// Whether to begin anew may help, and nothing was sent since it would.
    pub(super) fn is_refused(&self) -> bool {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(|trouble| trouble.is_refusal)
    }

    /// Forgets what the client complained of, since it does its work.
    pub(super) fn works(&self) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Which setting an error is about that a record ended with, or else what the client complained of on the way.
    pub(super) fn fails(&self, code: RDKafkaErrorCode) -> Option<String> {
        let advice = self.advice(code, "");
        if advice.is_empty() {
            // What it complained of is not what a record ends with that is too large, say.
            return self.trouble().filter(|_| code == RDKafkaErrorCode::MessageTimedOut);
        }
        if is_about_topic(code) && self.config.partitions.is_some() {
            self.remember(advice.clone(), true);
        }
        Some(advice)
    }

    fn remember(&self, text: String, is_refusal: bool) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        // What another broker says afterwards does not take a refusal back.
        let is_refusal = is_refusal || trouble.as_ref().is_some_and(|trouble| trouble.is_refusal);
        *trouble = Some(Trouble { text, is_refusal });
    }

    /// The setting that an error is about, with what to do.
    pub(super) fn advice(&self, code: RDKafkaErrorCode, reason: &str) -> String {
        let topic = &self.config.topic;
        // What the broker says of us comes after the handshake of TLS 1.3, as a connection that failed.
        if ALERTS.iter().any(|alert| reason.contains(alert)) {
            return self.credentials().to_owned();
        }
        if reason.contains(VERIFY_FAILED) {
            return self.advice_on_trust();
        }
        if reason.contains("mechanism handshake failed") {
            return "the brokers do not take this WM_STREAM_SASL_MECHANISM on that port".to_owned();
        }
        match code {
            RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => {
                self.credentials().to_owned()
            }
            code if is_about_topic(code) && self.config.partitions.is_none() => {
                format!("WM_STREAM_TOPIC is {topic:?}: make that topic, or name another")
            }
            code if is_about_topic(code) => format!(
                "WM_STREAM_TOPIC is {topic:?}, which is made at the next invocation (WM_STREAM_TOPIC_PARTITIONS) if we may: \
                 allow Create"
            ),
            RDKafkaErrorCode::TopicAuthorizationFailed => {
                format!(
                    "whom WM_STREAM_… says we are may not write to WM_STREAM_TOPIC {topic:?}: allow Describe and Write"
                )
            }
            RDKafkaErrorCode::ClusterAuthorizationFailed => {
                "whom WM_STREAM_… says we are may not write idempotently: allow IdempotentWrite, or Write on a topic"
                    .to_owned()
            }
            RDKafkaErrorCode::SSL
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::Resolve => {
                let servers = match &self.config.brokers {
                    Brokers::Servers(_) => "WM_STREAM_BOOTSTRAP_SERVER",
                    Brokers::Cluster { .. } => "WM_STREAM_BROKERS and the network of the function",
                };
                format!("check {servers}, and that WM_STREAM_SSL is what that port speaks")
            }
            _ => String::new(),
        }
    }

    /// Which of them it is, the client does not say.
    fn advice_on_trust(&self) -> String {
        let roots = match &self.config.security.roots {
            None => "the system (WM_STREAM_SSL_CA_FILE or WM_STREAM_CA_SECRET_ARN is for a private one)",
            Some(Pem::File(_)) => "WM_STREAM_SSL_CA_FILE",
            Some(Pem::Secret(_)) => "the secret of WM_STREAM_CA_SECRET_ARN",
        };
        let name = match &self.config.brokers {
            Brokers::Servers(_) => "WM_STREAM_BOOTSTRAP_SERVER",
            Brokers::Cluster { .. } => "what the cluster in WM_STREAM_CLUSTER_ARN says",
        };
        format!("the broker's certificate is not of a CA in {roots}, is not for the name in {name}, or has run out")
    }

    fn credentials(&self) -> &'static str {
        match &self.config.security.identity {
            Identity::Anonymous => {
                "the brokers want to know who we are: WM_STREAM_SASL_MECHANISM, or WM_STREAM_SSL_CERT_FILE and \
                 WM_STREAM_SSL_KEY_FILE, or WM_STREAM_SECRET_ARN"
            }
            Identity::Certificate(Certificate::Files { .. }) => {
                "check WM_STREAM_SSL_CERT_FILE and WM_STREAM_SSL_KEY_FILE"
            }
            Identity::Iam => "the role of the function needs kafka-cluster:Connect on the cluster",
            Identity::Certificate(Certificate::Secret(_))
            | Identity::User { login: Login::Secret(_), .. }
            | Identity::Client { login: Login::Secret(_), .. } => "check the secret of WM_STREAM_SECRET_ARN",
            Identity::User { .. } | Identity::Client { .. } => {
                "check WM_STREAM_SASL_USERNAME, WM_STREAM_SASL_PASSWORD and WM_STREAM_SASL_MECHANISM"
            }
        }
    }
}

/// A topic that is not there, or whose partitions were and are not any more.
fn is_about_topic(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownPartition
    )
}

fn is_refusal(code: RDKafkaErrorCode, reason: &str) -> bool {
    matches!(code, RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed)
        || reason.contains(VERIFY_FAILED)
        || ALERTS.iter().any(|alert| reason.contains(alert))
}

impl ClientContext for StreamContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Connections die while the function is frozen: that is worth a word only where nothing works in the end.
        if facility == "FAIL" {
            let code = RDKafkaErrorCode::BrokerTransportFailure;
            self.remember(format!("{message}; {}", self.advice(code, message)), is_refusal(code, message));
        }
        match level {
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => tracing::debug!("Kafka: {facility} {message}"),
            RDKafkaLogLevel::Notice => tracing::info!("Kafka: {facility} {message}"),
            _ => tracing::warn!("Kafka: {facility} {message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        // That all brokers are down is what follows from what was said before.
        if code == RDKafkaErrorCode::AllBrokersDown && self.trouble().is_some() {
            return;
        }
        let advice = self.advice(code, reason);
        let trouble = if advice.is_empty() { reason.to_owned() } else { format!("{reason}; {advice}") };
        tracing::warn!("Kafka: {trouble}");
        self.remember(trouble, is_refusal(code, reason));
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        let source = self.token.as_ref().ok_or("there is nowhere to get tokens from")?;
        // The client tells of that in its debug log alone.
        source.token().inspect_err(|error| {
            let trouble = format!("no token for WM_STREAM_SASL_MECHANISM: {error}");
            tracing::warn!("Kafka: {trouble}");
            self.remember(trouble, true);
        })
    }
}
