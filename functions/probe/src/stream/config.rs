//! What the environment says of Kafka.

use std::net::Ipv6Addr;

use rustls::pki_types::CertificateDer;
use shared::{
    aws::secret::Secret,
    env::{Env, pem::damaged},
};
use x509_parser::parse_x509_certificate;

pub use super::identity::{Certificate, Identity, Login};

/// The longest name of a topic (Kafka's own limit).
const MAX_TOPIC_BYTES: usize = 249;

/// How Kafka is reached, and who we are there.
#[derive(Debug, Clone)]
pub struct StreamConfig {
    /// `WM_STREAM_BOOTSTRAP_SERVER`, or `WM_STREAM_CLUSTER_ARN` where that is not set.
    pub brokers: Brokers,
    /// `WM_STREAM_TOPIC`.
    pub topic: String,
    /// `WM_STREAM_TOPIC_PARTITIONS`: make the topic, with so many partitions, unless it is there.
    pub partitions: Option<i32>,
    /// How the connection is protected.
    pub security: Security,
}

/// How the brokers are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Brokers {
    /// `host:port`, several with commas.
    Servers(String),
    /// An MSK cluster, which is asked for its brokers.
    Cluster {
        /// `WM_STREAM_CLUSTER_ARN`.
        arn: String,
        /// `WM_STREAM_BROKERS`: by which of their addresses.
        network: Network,
    },
}

/// The addresses that the brokers of an MSK cluster may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// In the VPC of the cluster.
    Private,
    /// In another VPC, by private connectivity.
    Vpc,
    /// On the internet.
    Public,
}

/// Whether there is TLS, whom it trusts, and who we are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Security {
    /// `WM_STREAM_SSL`.
    pub tls: bool,
    /// Whom to trust; the system's roots where there is none.
    pub roots: Option<Pem>,
    /// Who we are to the brokers.
    pub identity: Identity,
}

/// Where certificates are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pem {
    /// `WM_STREAM_SSL_CA_FILE`.
    File(String),
    /// `WM_STREAM_CA_SECRET_ARN`.
    Secret(Secret),
}

impl StreamConfig {
    /// Reads the `WM_STREAM_…` variables. Mistakes are noted in `env`.
    #[must_use]
    pub fn from_env(env: &mut Env<'_>) -> Self {
        let brokers = Brokers::from_env(env);
        let topic = env.required("WM_STREAM_TOPIC", "the name of the topic that records go to");
        if !topic.is_empty() && !is_topic(&topic) {
            env.mistake(format!(
                "WM_STREAM_TOPIC is {topic:?}: expected 1 to {MAX_TOPIC_BYTES} letters, digits, dots, underscores and hyphens, \
                 and neither \".\" nor \"..\""
            ));
        }
        let expected = "a number from 1 to 10000, to make the topic with so many";
        let partitions = env.parsed("WM_STREAM_TOPIC_PARTITIONS", 0, expected, |count| (1..=10_000).contains(count));
        let security = Security::from_env(env);
        if partitions > 0 && matches!(security.identity, Identity::Client { .. } | Identity::Iam) {
            env.mistake(
                "WM_STREAM_TOPIC_PARTITIONS is set, but the client of Kafka cannot make topics with the tokens of \
                 OAUTHBEARER and AWS_MSK_IAM: make the topic by hand"
                    .to_owned(),
            );
        }
        Self { brokers, topic, partitions: (partitions > 0).then_some(partitions), security }
    }
}

impl Brokers {
    fn from_env(env: &mut Env<'_>) -> Self {
        let network = match env.optional("WM_STREAM_BROKERS").as_deref() {
            None | Some("private") => Network::Private,
            Some("vpc") => Network::Vpc,
            Some("public") => Network::Public,
            Some(other) => {
                env.mistake(format!("WM_STREAM_BROKERS is {other:?}: expected private, vpc or public"));
                Network::Private
            }
        };
        let servers = env.optional("WM_STREAM_BOOTSTRAP_SERVER");
        match (servers, env.optional("WM_STREAM_CLUSTER_ARN")) {
            (Some(servers), _) => {
                if let Some(wrong) = servers.split(',').map(str::trim).find(|server| !is_server(server)) {
                    env.mistake(format!(
                        "WM_STREAM_BOOTSTRAP_SERVER has {wrong:?}: expected host:port, with a port from 1 to 65535 and without a \
                         scheme, several with commas"
                    ));
                }
                Self::Servers(servers)
            }
            (None, Some(arn)) => {
                if !arn.starts_with("arn:") || !arn.contains(":kafka:") {
                    env.mistake(format!("WM_STREAM_CLUSTER_ARN is {arn:?}: expected arn:aws:kafka:…:cluster/…"));
                }
                Self::Cluster { arn, network }
            }
            (None, None) => {
                env.mistake(
                    "neither WM_STREAM_BOOTSTRAP_SERVER (host:port, several with commas) nor WM_STREAM_CLUSTER_ARN is set"
                        .to_owned(),
                );
                Self::Servers(String::new())
            }
        }
    }
}

/// Whether Kafka accepts a name for a topic.
fn is_topic(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    name.len() <= MAX_TOPIC_BYTES && name.bytes().all(is_allowed) && !matches!(name, "." | "..")
}

/// Whether text is a host with its port, or a host alone, for which Kafka's client takes port 9092. That client cuts a port
/// that is too high instead of refusing it.
fn is_server(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        // An IPv6 address alone.
        Some((host, _)) if host.starts_with('[') && text.ends_with(']') => (text, None),
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && !host.contains([':', '/', '[', ']', '@']) && !host.contains(char::is_whitespace),
    };
    is_host && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

impl Security {
    /// Reads `WM_STREAM_SSL`, `WM_STREAM_SASL_…` and the secrets. Mistakes are noted in `env`.
    #[must_use]
    pub fn from_env(env: &mut Env<'_>) -> Self {
        let tls = env.switch("WM_STREAM_SSL");
        let (mut file, mut secret) = (None, None);
        for name in ["WM_STREAM_SSL_CA_FILE", "WM_STREAM_CA_SECRET_ARN"] {
            if env.optional(name).is_some() && !tls {
                env.mistake(format!("{name} is set, but WM_STREAM_SSL is not true"));
            }
        }
        if let (Some(path), _) = read_certificates(env, "WM_STREAM_SSL_CA_FILE") {
            file = Some(Pem::File(path));
        }
        if let Some(arn) = env.secret("WM_STREAM_CA_SECRET_ARN") {
            secret = Some(Pem::Secret(arn));
        }
        if file.is_some() && secret.is_some() {
            env.mistake("WM_STREAM_SSL_CA_FILE and WM_STREAM_CA_SECRET_ARN are both set: leave one out".to_owned());
        }
        let identity = Identity::from_env(env);
        if identity != Identity::Anonymous && !tls {
            let names = "WM_STREAM_SASL_…, WM_STREAM_SECRET_ARN and WM_STREAM_SSL_CERT_FILE";
            env.mistake(format!("{names} are for TLS, so that nobody else reads them, but WM_STREAM_SSL is not true"));
        }
        Self { tls, roots: file.or(secret), identity }
    }
}

/// The path of the file of certificates that a variable names.
pub(super) fn read_certificates(env: &mut Env<'_>, name: &str) -> (Option<String>, Vec<CertificateDer<'static>>) {
    let path = env.optional(name);
    let certificates = env.certificates(name).unwrap_or_default();
    let is_damaged = |certificate: &CertificateDer<'_>| parse_x509_certificate(certificate).is_err();
    if let (Some(path), Some(index)) = (&path, certificates.iter().position(is_damaged)) {
        env.mistake(format!("{name} is {path:?}: {}", damaged(index + 1)));
    }
    (path, certificates)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(servers: &str, topic: &str) -> Option<String> {
        let lookup = |name: &str| match name {
            "WM_STREAM_BOOTSTRAP_SERVER" => Some(servers.to_owned()),
            "WM_STREAM_TOPIC" => Some(topic.to_owned()),
            _ => None,
        };
        let mut env = Env::new(&lookup);
        let config = StreamConfig::from_env(&mut env);
        env.finish(config).err().map(|error| error.to_string())
    }

    #[test]
    fn server_without_a_usable_host_and_port_is_a_mistake() {
        for good in
            ["my-kafka:1234", "a:1, b:65535", "my-kafka", "10.0.0.1:9092", "[::1]:9092", "[::1]", "b-1.x.test:9098"]
        {
            assert_eq!(mistakes(good, "topic"), None, "{good}");
        }
        for wrong in
            ["x:99999", "x:0", "http://x:9092", "x:", ":9092", "a:1,,b:1", "a b:1", "::1:9092", "u@x:1", "x:port"]
        {
            let error = mistakes(wrong, "topic").unwrap_or_default();
            assert!(error.contains("WM_STREAM_BOOTSTRAP_SERVER has"), "{wrong}: {error}");
        }
    }

    #[test]
    fn topic_that_kafka_refuses_is_a_mistake() {
        for good in ["t", "website-monitor", "a.b_c-1", &"t".repeat(249)] {
            assert_eq!(mistakes("a:1", good), None, "{good}");
        }
        for wrong in ["t t", ".", "..", "a/b", "ä", &"t".repeat(250)] {
            let error = mistakes("a:1", wrong).unwrap_or_default();
            assert!(error.contains("WM_STREAM_TOPIC is"), "{wrong}: {error}");
        }
    }
}
