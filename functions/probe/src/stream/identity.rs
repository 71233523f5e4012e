//! Who we are to the brokers, as the environment says it.

use shared::{
    aws::secret::Secret,
    env::{Env, Hidden, pem::is_key_of_another},
};
use url::Url;

use super::config::read_certificates;

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

impl Identity {
    pub(super) fn from_env(env: &mut Env<'_>) -> Self {
        let mechanism = env.optional("WM_STREAM_SASL_MECHANISM");
        let secret = env.secret("WM_STREAM_SECRET_ARN");
        let (cert, key) = read_client_certificate(env);
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

/// The paths of the client's certificate and of its private key. OpenSSL reads them again.
fn read_client_certificate(env: &mut Env<'_>) -> (Option<String>, Option<String>) {
    const NAMES: [&str; 2] = ["WM_STREAM_SSL_CERT_FILE", "WM_STREAM_SSL_KEY_FILE"];
    let [certificate, key] = NAMES;
    let (path, certificates) = read_certificates(env, certificate);
    let private_key = env.private_key(key);
    if let (Some(first), Some(private_key)) = (certificates.into_iter().next(), private_key)
        && is_key_of_another(first, private_key)
    {
        env.mistake(format!(
            "{key} is not the private key of the first certificate in {certificate}; use the two files that were issued together"
        ));
    }
    (path, env.optional(key))
}

/// Whether nobody else reads what is sent there.
fn takes_secrets(endpoint: &Url) -> bool {
    let is_here = endpoint.host_str().is_some_and(|host| ["localhost", "127.0.0.1", "[::1]"].contains(&host));
    let is_protected = endpoint.scheme() == "https" || (endpoint.scheme() == "http" && is_here);
    is_protected && endpoint.has_host() && endpoint.username().is_empty() && endpoint.password().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::config::Security;

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
