//! What the environment says of the database.

use std::{sync::Arc, time::Duration};

use rustls::RootCertStore;
use tokio_postgres::{
    Config,
    config::{Host, SslMode},
};

use super::{
    connect::root_store,
    error::{DatabaseError, causes},
};
use crate::{aws::secret::Secret, env::Env};

/// How long a connection attempt may take where the connection string does not say.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long sent data may stay unacknowledged before the connection counts as dead.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(5);
/// The first keepalive of an idle connection; below the 350 s after which network address translators forget a flow.
const KEEPALIVES_IDLE: Duration = Duration::from_secs(30);

/// Where the database is, who we are there, and how to trust it.
#[derive(Clone)]
pub struct DatabaseConfig {
    /// `WM_DB_CONNECTION_STRING`, as far as there is one; the secret adds to it.
    pub(super) postgres: Config,
    /// `WM_DB_SECRET_ARN`: a connection string, or what one lacks.
    pub(super) secret: Option<Secret>,
    /// `WM_DB_AUTH`.
    pub(super) password: Password,
    /// `WM_DB_SSL_CA_FILE` or `WM_DB_CA_SECRET_ARN`.
    pub(super) roots: Roots,
    /// `WM_DB_USER`.
    user: Option<String>,
    /// Whether there is a `WM_DB_CONNECTION_STRING`.
    is_told: bool,
}

/// Where passwords come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Password {
    /// From the connection string or the secret.
    Given,
    /// From the role of the function, a new one for each connection.
    Iam,
}

/// Whose word counts for the server's certificate.
#[derive(Clone)]
pub(super) enum Roots {
    /// Those whom the system trusts, and for hosts of Amazon RDS its own authorities.
    Known,
    /// Those of a file.
    Given(Arc<RootCertStore>),
    /// Those of a secret.
    Secret(Secret),
}

impl DatabaseConfig {
    /// Reads `WM_DB_CONNECTION_STRING` (a `postgres://` URL or `key=value` pairs), `WM_DB_SECRET_ARN` (a secret whose text
    /// is such a string, or an object with what the string lacks, as RDS makes it), `WM_DB_USER`, `WM_DB_AUTH` (`password`
    /// or `iam`), and whom to trust in place of the system: `WM_DB_SSL_CA_FILE` (PEM) or `WM_DB_CA_SECRET_ARN`.
    ///
    /// `sslmode` may be `disable`, `prefer` or `require`; whenever TLS is used, the server's certificate and name are
    /// verified. Where secrets, `iam` or roots say that it matters, `prefer`, the default, is `require`.
    ///
    /// Mistakes are noted in `env`; the configuration then returned leads nowhere.
    #[must_use]
    pub fn from_env(env: &mut Env<'_>) -> Self {
        let secret = env.secret("WM_DB_SECRET_ARN");
        let text = match (&secret, env.optional("WM_DB_CONNECTION_STRING")) {
            (Some(_), text) => text.unwrap_or_default(),
            (None, Some(text)) => text,
            (None, None) => {
                let expected = "a connection string such as postgres://user:password@host/db, or WM_DB_SECRET_ARN, the ARN \
                                of a secret with one";
                env.required("WM_DB_CONNECTION_STRING", expected)
            }
        };
        let parsed = text.parse::<Config>();
        let is_readable = parsed.is_ok();
        let mut postgres = parsed.unwrap_or_else(|error| {
            env.mistake(format!(
                "WM_DB_CONNECTION_STRING cannot be read{}; expected postgres://user:password@host:5432/db, with what is special \
                 in the password percent-encoded, sslmode one of disable, prefer, require, and a private CA in \
                 WM_DB_SSL_CA_FILE or WM_DB_CA_SECRET_ARN",
                reason(&error)
            ));
            Config::new()
        });
        if is_readable && !has_host(&postgres) && !text.is_empty() && secret.is_none() {
            env.mistake(
                "WM_DB_CONNECTION_STRING names no host: expected postgres://user:password@host:5432/db".to_owned(),
            );
        }
        let user = env.optional("WM_DB_USER");
        if user.is_some() && postgres.get_user().is_some() {
            env.mistake("WM_DB_USER is set, and WM_DB_CONNECTION_STRING names a user too: leave one out".to_owned());
        }
        let password = read_auth(env);
        if secret.is_some() && postgres.get_password().is_some() {
            env.mistake(
                "WM_DB_SECRET_ARN is set, and WM_DB_CONNECTION_STRING has a password: leave one out".to_owned(),
            );
        }
        if secret.is_some() && password == Password::Given && (user.is_some() || postgres.get_user().is_some()) {
            env.mistake("WM_DB_SECRET_ARN has the user as well as the password: leave others out".to_owned());
        }
        let roots = read_trust(env);
        let matters = secret.is_some() || password == Password::Iam || !matches!(roots, Roots::Known);
        if matters && postgres.get_ssl_mode() == SslMode::Prefer {
            postgres.ssl_mode(SslMode::Require);
        }
        let mut config = Self { postgres, secret, password, roots, user, is_told: !text.is_empty() };
        config.settle();
        // What a secret adds is looked at when it is read.
        if config.secret.is_none()
            && !text.is_empty()
            && let Err(mistake) = config.check_iam()
        {
            env.mistake(format!("WM_DB_AUTH is iam: {mistake}"));
        }
        config
    }

    /// Whether a password of IAM can be made for the connection, and kept to it.
    fn check_iam(&self) -> Result<(), &'static str> {
        let postgres = &self.postgres;
        if self.password != Password::Iam {
            Ok(())
        } else if postgres.get_ssl_mode() == SslMode::Disable {
            Err("it takes TLS, leave sslmode=disable out")
        } else if postgres.get_password().is_some() {
            Err("the connection string has a password, leave one out")
        } else if postgres.get_user().is_none() {
            Err("there is no user, expected WM_DB_USER")
        } else if host_name(postgres).is_none() || postgres.get_hosts().len() > 1 {
            Err("expected one host, by its name")
        } else {
            Ok(())
        }
    }

    /// What goes for every connection, whatever its string says.
    fn settle(&mut self) {
        let postgres = &mut self.postgres;
        if postgres.get_connect_timeout().is_none() {
            postgres.connect_timeout(CONNECT_TIMEOUT);
        }
        postgres.tcp_user_timeout(TCP_USER_TIMEOUT).keepalives_idle(KEEPALIVES_IDLE);
        if postgres.get_application_name().is_none() {
            postgres.application_name("website-monitor");
        }
        if let Some(user) = &self.user {
            postgres.user(user);
        }
    }

    /// The configuration with what its secret says, as it is now.
    pub(super) async fn with_secret(&self) -> Result<Self, DatabaseError> {
        let Some(secret) = &self.secret else { return Ok(self.clone()) };
        let text = secret.read().await?;
        let mut config = self.clone();
        if text.trim_start().starts_with('{') {
            let mut fields = secret.fields(&text)?;
            let postgres = &mut config.postgres;
            if !has_host(postgres) {
                postgres.host(&fields.take("host")?);
                if postgres.get_ports().is_empty()
                    && let Some(port) = fields.optional("port")
                {
                    let bad = |_| secret.error(format!("has a port that is none: {port:?}"));
                    postgres.port(port.parse().map_err(bad)?);
                }
            }
            if postgres.get_dbname().is_none()
                && let Some(database) = fields.optional("dbname")
            {
                postgres.dbname(&database);
            }
            if postgres.get_user().is_none() {
                postgres.user(&fields.take("username")?);
            }
            if config.password == Password::Given {
                postgres.password(fields.take("password")?);
            }
        } else if self.is_told {
            let reason = "is a connection string, and WM_DB_CONNECTION_STRING is one too: leave one out";
            return Err(secret.error(reason.to_owned()).into());
        } else {
            // Without the driver's words, in which there may be some of it.
            let bad = |_| secret.error("is neither a connection string nor a JSON object".to_owned());
            config.postgres = text.trim().parse().map_err(bad)?;
            if config.postgres.get_ssl_mode() == SslMode::Prefer {
                config.postgres.ssl_mode(SslMode::Require);
            }
            config.settle();
        }
        if !has_host(&config.postgres) {
            return Err(secret.error("names no host".to_owned()).into());
        }
        config.check_iam().map_err(|mistake| secret.error(format!("does not go with WM_DB_AUTH iam: {mistake}")))?;
        Ok(config)
    }

    /// Where a mistake in who we are is mended.
    pub(super) fn credentials(&self) -> &'static str {
        match (self.password, &self.secret) {
            (Password::Iam, _) => {
                "WM_DB_AUTH is iam: the user needs the role rds_iam, and the function the right rds-db:connect for it"
            }
            (Password::Given, Some(_)) => "check the user and the password in the secret of WM_DB_SECRET_ARN",
            (Password::Given, None) => "check the user and the password in WM_DB_CONNECTION_STRING",
        }
    }

    /// Where a mistake in whom to trust is mended.
    pub(super) fn trust(&self) -> &'static str {
        match self.roots {
            Roots::Known => {
                "the system does not know its CA: a private one goes into WM_DB_CA_SECRET_ARN or WM_DB_SSL_CA_FILE"
            }
            Roots::Given(_) => "its CA is not in WM_DB_SSL_CA_FILE",
            Roots::Secret(_) => "its CA is not in the secret of WM_DB_CA_SECRET_ARN",
        }
    }
}

fn has_host(postgres: &Config) -> bool {
    !postgres.get_hosts().is_empty() || !postgres.get_hostaddrs().is_empty()
}

/// The first host that has a name, for certificates and signatures.
pub(super) fn host_name(postgres: &Config) -> Option<&str> {
    postgres.get_hosts().iter().find_map(|host| match host {
        Host::Tcp(name) => Some(name.as_str()),
        #[cfg(unix)]
        Host::Unix(_) => None,
    })
}

fn read_auth(env: &mut Env<'_>) -> Password {
    match env.optional("WM_DB_AUTH").as_deref() {
        None | Some("password") => Password::Given,
        Some("iam") => Password::Iam,
        Some(other) => {
            env.mistake(format!("WM_DB_AUTH is {other:?}: expected password or iam"));
            Password::Given
        }
    }
}

fn read_trust(env: &mut Env<'_>) -> Roots {
    let certificates = env.root_certificates("WM_DB_SSL_CA_FILE");
    let secret = env.secret("WM_DB_CA_SECRET_ARN");
    if secret.is_some() && env.optional("WM_DB_SSL_CA_FILE").is_some() {
        env.mistake("WM_DB_SSL_CA_FILE and WM_DB_CA_SECRET_ARN are both set: leave one out".to_owned());
    }
    match (certificates, secret) {
        (Some(certificates), _) => Roots::Given(Arc::new(root_store(certificates))),
        (None, Some(secret)) => Roots::Secret(secret),
        (None, None) => Roots::Known,
    }
}

/// Why a connection string cannot be read, as far as that is no part of a password: an `@` or a blank in one makes the rest
/// of it look like options.
fn reason(error: &tokio_postgres::Error) -> String {
    let text = causes(error);
    let known = ["sslrootcert", "sslcert", "sslkey", "sslcrl", "gssencmode", "service", "passfile", "client_encoding"];
    match text.split_once("unknown option `") {
        Some((_, option)) if !known.contains(&option.trim_end_matches('`')) => {
            ": it has an option that there is not".to_owned()
        }
        _ => format!(": {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf";

    fn read(variables: &[(&str, &str)]) -> Result<DatabaseConfig, String> {
        let lookup = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let mut env = Env::new(&lookup);
        let config = DatabaseConfig::from_env(&mut env);
        env.finish(config).map_err(|error| error.to_string())
    }

    #[test]
    fn each_mistake_names_its_variable_and_no_password() {
        let string = |text: &'static str| ("WM_DB_CONNECTION_STRING", text);
        let (secret, iam) = (("WM_DB_SECRET_ARN", SECRET), ("WM_DB_AUTH", "iam"));
        let cases = [
            (vec![], "WM_DB_CONNECTION_STRING is not set"),
            (vec![string("postgres://u:hunter2@host:port/db")], "WM_DB_CONNECTION_STRING cannot be read"),
            (
                vec![string("postgres://u:hunter2@host/db?sslmode=verify-full")],
                "sslmode one of disable, prefer, require",
            ),
            (vec![string("postgres://u:hunter2@host/db?sslrootcert=ca.pem")], "unknown option `sslrootcert`"),
            (vec![string("postgres://u:p@ss?hunter2=x@host/db")], "percent-encoded"),
            (vec![string("user=u password=my hunter2=x")], "it has an option that there is not"),
            (vec![string("user=u password=hunter2")], "WM_DB_CONNECTION_STRING names no host"),
            (
                vec![string("postgres://u:hunter2@host/db"), ("WM_DB_SSL_CA_FILE", "/nonexistent.pem")],
                "WM_DB_SSL_CA_FILE is \"/nonexistent.pem\"",
            ),
            (vec![("WM_DB_SECRET_ARN", "hunter2")], "WM_DB_SECRET_ARN is no ARN of a secret"),
            (vec![secret, string("postgres://u:hunter2@host/db")], "WM_DB_CONNECTION_STRING has a password"),
            (vec![secret, ("WM_DB_USER", "u")], "WM_DB_SECRET_ARN has the user as well as the password"),
            (vec![string("postgres://u@host/db"), ("WM_DB_USER", "u")], "names a user too"),
            (vec![string("postgres://u@host/db"), ("WM_DB_AUTH", "kerberos")], "WM_DB_AUTH is \"kerberos\""),
            (vec![iam, string("postgres://u@host/db?sslmode=disable")], "WM_DB_AUTH is iam: it takes TLS"),
            (
                vec![iam, string("postgres://u:hunter2@host/db")],
                "WM_DB_AUTH is iam: the connection string has a password",
            ),
            (vec![iam, string("postgres://host/db")], "WM_DB_AUTH is iam: there is no user"),
            (vec![iam, string("postgres://u@host,other/db")], "WM_DB_AUTH is iam: expected one host"),
        ];
        for (variables, expected) in cases {
            let mistakes = read(&variables).err().unwrap_or_default();
            assert!(mistakes.contains(expected), "{expected} is not in {mistakes}");
            assert!(!mistakes.contains("hunter2"), "{mistakes}");
        }
    }

    #[test]
    fn usual_connection_strings_are_read_and_what_is_secret_is_encrypted() {
        let mode = |variables: &[(&str, &str)]| read(variables).map(|config| config.postgres.get_ssl_mode());
        let string = |text: &'static str| ("WM_DB_CONNECTION_STRING", text);

        let aiven = string("postgres://avnadmin:hunter2@pg.example.com:12345/defaultdb?sslmode=require");
        assert_eq!(mode(&[aiven]), Ok(SslMode::Require));
        assert_eq!(mode(&[string("host=127.0.0.1 user=postgres")]), Ok(SslMode::Prefer));
        assert_eq!(mode(&[("WM_DB_SECRET_ARN", SECRET)]), Ok(SslMode::Require));
        let iam = [string("postgres://host/db"), ("WM_DB_USER", "u"), ("WM_DB_AUTH", "iam")];
        assert_eq!(mode(&iam), Ok(SslMode::Require));
    }
}
