//! What the environment says of Kafka.

use rustls::pki_types::CertificateDer;
use shared::{
    aws::secret::Secret,
    env::{Env, pem::damaged},
};
use x509_parser::parse_x509_certificate;

pub use super::identity::{Certificate, Identity, Login};

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
            (Some(servers), _) => Self::Servers(servers),
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
