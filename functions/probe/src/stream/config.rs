//! What the environment says of Kafka.

use shared::{
    aws::secret::Secret,
    env::{Env, Hidden},
};
use url::Url;

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

/// Who we are to the brokers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Identity {
    /// Nobody in particular.
    #[default]
    Anonymous,
    /// Whoever has this certificate.
    Certificate(Certificate),
    /// A user with a password.
    User {
        /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
        mechanism: &'static str,
        /// Name and password.
        login: Login,
    },
    /// A client of an authorization server, which issues tokens to it (RFC 6749, 4.4).
    Client {
        /// `WM_STREAM_SASL_TOKEN_ENDPOINT`.
        endpoint: Url,
        /// `WM_STREAM_SASL_SCOPE`.
        scope: Option<String>,
        /// Its id and secret.
        login: Login,
    },
    /// The role of the function.
    Iam,
}

/// The client's certificate and key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificate {
    /// `WM_STREAM_SSL_CERT_FILE` and `WM_STREAM_SSL_KEY_FILE`.
    Files {
        /// The certificate, in PEM.
        cert: String,
        /// The key, in PEM.
        key: String,
    },
    /// `WM_STREAM_SECRET_ARN`, with `certificate`, `privateKey` and perhaps `privateKeyPassword`.
    Secret(Secret),
}

/// A name and a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// `WM_STREAM_SASL_USERNAME` and `WM_STREAM_SASL_PASSWORD`.
    Given {
        /// The name.
        username: String,
        /// The password.
        password: Hidden<String>,
    },
    /// `WM_STREAM_SECRET_ARN`, with `username` and `password`.
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
        if let Some(path) = readable(env, "WM_STREAM_SSL_CA_FILE") {
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

impl Identity {
    fn from_env(env: &mut Env<'_>) -> Self {
        let mechanism = env.optional("WM_STREAM_SASL_MECHANISM");
        let secret = env.secret("WM_STREAM_SECRET_ARN");
        let (cert, key) = (readable(env, "WM_STREAM_SSL_CERT_FILE"), readable(env, "WM_STREAM_SSL_KEY_FILE"));
        let given = Login::given(env);
        let endpoint = env.optional("WM_STREAM_SASL_TOKEN_ENDPOINT");
        let scope = env.optional("WM_STREAM_SASL_SCOPE");
        if mechanism.is_some() && (cert.is_some() || key.is_some()) {
            let names = "WM_STREAM_SASL_MECHANISM and WM_STREAM_SSL_CERT_FILE";
            env.mistake(format!("{names} are both set: who we are is said in one way, leave one out"));
        }
        if mechanism.as_deref().is_some_and(|mechanism| mechanism != "OAUTHBEARER")
            && (endpoint.is_some() || scope.is_some())
        {
            let names = "WM_STREAM_SASL_TOKEN_ENDPOINT and WM_STREAM_SASL_SCOPE";
            env.mistake(format!("{names} are for OAUTHBEARER alone, and WM_STREAM_SASL_MECHANISM is another"));
        }
        let mechanism = match mechanism.as_deref() {
            None => {
                if given.is_some() || endpoint.is_some() {
                    let expected = "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER";
                    env.mistake(format!(
                        "WM_STREAM_SASL_… are set, but not WM_STREAM_SASL_MECHANISM: expected {expected}"
                    ));
                }
                return Self::of_certificate(env, cert, key, secret);
            }
            Some("PLAIN") => "PLAIN",
            Some("SCRAM-SHA-256") => "SCRAM-SHA-256",
            Some("SCRAM-SHA-512") => "SCRAM-SHA-512",
            Some("OAUTHBEARER") => "OAUTHBEARER",
            Some("AWS_MSK_IAM") => {
                if given.is_some() || secret.is_some() {
                    env.mistake(
                        "WM_STREAM_SASL_MECHANISM is AWS_MSK_IAM, which is by the role of the function: leave \
                         WM_STREAM_SECRET_ARN and WM_STREAM_SASL_USERNAME out"
                            .to_owned(),
                    );
                }
                return Self::Iam;
            }
            Some(other) => {
                let expected = "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER or AWS_MSK_IAM";
                env.mistake(format!("WM_STREAM_SASL_MECHANISM is {other:?}: expected {expected}"));
                return Self::Anonymous;
            }
        };
        let login = match (given, secret) {
            (Some(_), Some(_)) => {
                env.mistake("WM_STREAM_SASL_USERNAME and WM_STREAM_SECRET_ARN are both set: leave one out".to_owned());
                return Self::Anonymous;
            }
            (Some(given), None) => given,
            (None, Some(secret)) => Login::Secret(secret),
            (None, None) => {
                env.mistake(format!(
                    "WM_STREAM_SASL_MECHANISM is {mechanism}, which takes WM_STREAM_SASL_USERNAME and \
                     WM_STREAM_SASL_PASSWORD, or WM_STREAM_SECRET_ARN"
                ));
                return Self::Anonymous;
            }
        };
        if mechanism != "OAUTHBEARER" {
            return Self::User { mechanism, login };
        }
        match endpoint.map(|text| text.parse::<Url>()) {
            Some(Ok(endpoint)) if takes_secrets(&endpoint) => return Self::Client { endpoint, scope, login },
            Some(_) => env.mistake(
                "WM_STREAM_SASL_TOKEN_ENDPOINT cannot be used: expected https://…, without a name or a password in it"
                    .to_owned(),
            ),
            None => env.mistake(
                "WM_STREAM_SASL_MECHANISM is OAUTHBEARER, which takes WM_STREAM_SASL_TOKEN_ENDPOINT: the URL that issues \
                 tokens"
                    .to_owned(),
            ),
        }
        Self::Anonymous
    }

    fn of_certificate(env: &mut Env<'_>, cert: Option<String>, key: Option<String>, secret: Option<Secret>) -> Self {
        match (cert, key, secret) {
            (None, None, None) => Self::Anonymous,
            (Some(cert), Some(key), None) => Self::Certificate(Certificate::Files { cert, key }),
            (None, None, Some(secret)) => Self::Certificate(Certificate::Secret(secret)),
            (_, _, Some(_)) => {
                env.mistake("WM_STREAM_SSL_CERT_FILE and WM_STREAM_SECRET_ARN are both set: leave one out".to_owned());
                Self::Anonymous
            }
            (_, _, None) => {
                env.mistake(
                    "WM_STREAM_SSL_CERT_FILE and WM_STREAM_SSL_KEY_FILE go together: set both or none".to_owned(),
                );
                Self::Anonymous
            }
        }
    }
}

impl Login {
    fn given(env: &mut Env<'_>) -> Option<Self> {
        let names = ["WM_STREAM_SASL_USERNAME", "WM_STREAM_SASL_PASSWORD"];
        match names.map(|name| env.optional(name)) {
            [Some(username), Some(password)] => Some(Self::Given { username, password: Hidden(password) }),
            [None, None] => None,
            _ => {
                env.mistake(format!("{} go together: set both or none", names.join(" and ")));
                None
            }
        }
    }
}

/// Whether nobody else reads what is sent there.
fn takes_secrets(endpoint: &Url) -> bool {
    let is_here = endpoint.host_str().is_some_and(|host| ["localhost", "127.0.0.1", "[::1]"].contains(&host));
    let is_protected = endpoint.scheme() == "https" || (endpoint.scheme() == "http" && is_here);
    is_protected && endpoint.has_host() && endpoint.username().is_empty() && endpoint.password().is_none()
}

/// The file that a variable names, which can be opened.
fn readable(env: &mut Env<'_>, name: &str) -> Option<String> {
    let file = env.optional(name)?;
    if let Err(error) = std::fs::File::open(&file) {
        env.mistake(format!("{name} is {file:?}: {error}"));
    }
    Some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:kafka-AbCdEf";

    fn read(variables: &[(&str, &str)]) -> Result<Security, String> {
        let lookup = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let mut env = Env::new(&lookup);
        let security = Security::from_env(&mut env);
        env.finish(security).map_err(|error| error.to_string())
    }

    #[test]
    fn each_way_to_say_who_we_are_is_read() {
        let secret = Secret { variable: "WM_STREAM_SECRET_ARN", arn: SECRET.to_owned() };
        let identity = |variables: &[(&str, &str)]| {
            read(&[&[("WM_STREAM_SSL", "true")], variables].concat()).map(|security| security.identity)
        };

        assert_eq!(identity(&[]), Ok(Identity::Anonymous));
        let certificate = Identity::Certificate(Certificate::Secret(secret.clone()));
        assert_eq!(identity(&[("WM_STREAM_SECRET_ARN", SECRET)]), Ok(certificate));
        let scram = identity(&[("WM_STREAM_SASL_MECHANISM", "SCRAM-SHA-512"), ("WM_STREAM_SECRET_ARN", SECRET)]);
        assert_eq!(scram, Ok(Identity::User { mechanism: "SCRAM-SHA-512", login: Login::Secret(secret) }));
        assert_eq!(identity(&[("WM_STREAM_SASL_MECHANISM", "AWS_MSK_IAM")]), Ok(Identity::Iam));
    }

    #[test]
    fn what_does_not_go_together_is_told_by_name_and_no_password_with_it() {
        let user = [("WM_STREAM_SASL_USERNAME", "u"), ("WM_STREAM_SASL_PASSWORD", "hunter2")];
        let tls = ("WM_STREAM_SSL", "true");
        let with = |more: &[(&'static str, &'static str)]| [&user, more].concat();
        let cases = [
            (with(&[("WM_STREAM_SASL_MECHANISM", "PLAIN")]), "WM_STREAM_SSL is not true"),
            (with(&[tls]), "but not WM_STREAM_SASL_MECHANISM: expected PLAIN"),
            (
                with(&[tls, ("WM_STREAM_SASL_MECHANISM", "GSSAPI")]),
                "WM_STREAM_SASL_MECHANISM is \"GSSAPI\": expected PLAIN",
            ),
            (with(&[tls, ("WM_STREAM_SASL_MECHANISM", "AWS_MSK_IAM")]), "by the role of the function"),
            (with(&[tls, ("WM_STREAM_SASL_MECHANISM", "OAUTHBEARER")]), "takes WM_STREAM_SASL_TOKEN_ENDPOINT"),
            (
                with(&[tls, ("WM_STREAM_SASL_MECHANISM", "PLAIN"), ("WM_STREAM_SECRET_ARN", SECRET)]),
                "WM_STREAM_SASL_USERNAME and WM_STREAM_SECRET_ARN are both set",
            ),
            (
                with(&[
                    tls,
                    ("WM_STREAM_SASL_MECHANISM", "OAUTHBEARER"),
                    ("WM_STREAM_SASL_TOKEN_ENDPOINT", "http://tokens.test/"),
                ]),
                "WM_STREAM_SASL_TOKEN_ENDPOINT cannot be used: expected https://",
            ),
            (
                with(&[
                    tls,
                    ("WM_STREAM_SASL_MECHANISM", "PLAIN"),
                    ("WM_STREAM_SASL_TOKEN_ENDPOINT", "https://u:hunter2@tokens.test/"),
                ]),
                "are for OAUTHBEARER alone",
            ),
            (vec![tls, ("WM_STREAM_SASL_MECHANISM", "PLAIN")], "takes WM_STREAM_SASL_USERNAME and"),
            (vec![tls, ("WM_STREAM_SASL_USERNAME", "u")], "go together: set both or none"),
            (
                vec![tls, ("WM_STREAM_SECRET_ARN", "hunter2")],
                "WM_STREAM_SECRET_ARN is no ARN of a secret: expected arn:",
            ),
            (
                vec![("WM_STREAM_CA_SECRET_ARN", SECRET)],
                "WM_STREAM_CA_SECRET_ARN is set, but WM_STREAM_SSL is not true",
            ),
        ];
        for (variables, expected) in cases {
            let error = read(&variables).unwrap_err();
            assert!(error.contains(expected), "{expected} is not in {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
