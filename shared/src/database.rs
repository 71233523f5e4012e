//! The connection to Postgres: read from the environment, opened when first needed, kept for the life of the
//! execution environment, and replaced when it died while the function was frozen.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tokio::{
    sync::{Mutex, MutexGuard},
    time::timeout,
};
use tokio_postgres::{Client, Config, Error, NoTls, config::SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

pub use crate::database_error::{DatabaseError, causes, is_about_data};
use crate::env::Env;

/// How long a connection attempt may take where the connection string does not say.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long sent data may stay unacknowledged before the connection counts as dead.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(5);
/// The first keepalive of an idle connection; below the 350 s after which network address translators forget a flow.
const KEEPALIVES_IDLE: Duration = Duration::from_secs(30);
/// A connection used more recently than this is taken to be alive: asking it costs a round trip.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);
/// How long a connection that was idle for longer may take to show that it lives.
const LIFE_SIGN_TIMEOUT: Duration = Duration::from_secs(1);

/// Where the database is and how to trust it.
#[derive(Clone)]
pub struct DatabaseConfig {
    postgres: Config,
    roots: Option<Arc<RootCertStore>>,
}

/// The one connection of an execution environment, with the state `S` that belongs to it and dies with it.
pub struct Database<S> {
    config: DatabaseConfig,
    session: Mutex<Option<Session<S>>>,
}

/// An open connection and what is known through it.
pub struct Session<S> {
    /// The connection.
    pub client: Client,
    /// What its user remembers between invocations; new with each connection.
    pub state: S,
    /// By the clock on the wall: another one may stand still while the function is frozen.
    last_used: SystemTime,
}

/// Exclusive use of the connection for one invocation. Unless it is [kept](Lease::keep), the connection is given up at
/// the end, whatever that end is: the next invocation has nothing to do with what went wrong in this one.
pub struct Lease<'database, S> {
    config: &'database DatabaseConfig,
    session: MutexGuard<'database, Option<Session<S>>>,
    kept: bool,
}

// === impl DatabaseConfig ===

impl DatabaseConfig {
    /// Reads `WM_DB_CONNECTION_STRING` (a `postgres://` URL or `key=value` pairs) and `WM_DB_SSL_CA_FILE` (PEM
    /// certificates to trust in place of the system's). `sslmode` may be `disable`, `prefer` (the default) or
    /// `require`; whenever TLS is used, the server's certificate and name are verified.
    ///
    /// Mistakes are noted in `env`; the configuration then returned leads nowhere.
    #[must_use]
    pub fn from_env(env: &mut Env<'_>) -> Self {
        let text =
            env.required("WM_DB_CONNECTION_STRING", "a connection string such as postgres://user:password@host/db");
        let mut postgres = text.parse::<Config>().unwrap_or_else(|error| {
            env.mistake(format!(
                "WM_DB_CONNECTION_STRING cannot be read: {}; expected postgres://user:password@host:5432/db, with \
                 sslmode one of disable, prefer, require, and a private CA in WM_DB_SSL_CA_FILE",
                causes(&error)
            ));
            Config::new()
        });
        if postgres.get_hosts().is_empty() && postgres.get_hostaddrs().is_empty() && !text.is_empty() {
            env.mistake("WM_DB_CONNECTION_STRING names no host".to_owned());
        }
        if postgres.get_connect_timeout().is_none() {
            postgres.connect_timeout(CONNECT_TIMEOUT);
        }
        postgres.tcp_user_timeout(TCP_USER_TIMEOUT).keepalives_idle(KEEPALIVES_IDLE);
        if postgres.get_application_name().is_none() {
            postgres.application_name("website-monitor");
        }
        let roots = env.optional("WM_DB_SSL_CA_FILE").and_then(|file| match read_roots(&file) {
            Ok(roots) => Some(Arc::new(roots)),
            Err(error) => {
                env.mistake(format!("WM_DB_SSL_CA_FILE is {file:?}: {error}; expected a file of PEM certificates"));
                None
            }
        });
        Self { postgres, roots }
    }

    /// Opens a connection and drives it in a task of its own.
    ///
    /// # Errors
    /// The host cannot be reached or its certificate verified, the password is wrong, the database does not exist.
    pub async fn connect(&self) -> Result<Client, DatabaseError> {
        // The driver's own limit covers each address of the host and no TLS handshake.
        let limit = self.postgres.get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT) * 2;
        let connecting = async {
            if self.postgres.get_ssl_mode() == SslMode::Disable {
                let (client, connection) = self.postgres.connect(NoTls).await.map_err(DatabaseError::Connect)?;
                drive(connection);
                return Ok(client);
            }
            let tls = MakeRustlsConnect::new(self.tls()?);
            let (client, connection) = self.postgres.connect(tls).await.map_err(DatabaseError::Connect)?;
            drive(connection);
            Ok(client)
        };
        timeout(limit, connecting).await.unwrap_or(Err(DatabaseError::ConnectTimeout(limit)))
    }

    fn tls(&self) -> Result<ClientConfig, DatabaseError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| DatabaseError::Tls(error.to_string()))?;
        let roots = match &self.roots {
            Some(roots) => Arc::clone(roots),
            None => Arc::new(system_roots()),
        };
        Ok(builder.with_root_certificates(roots).with_no_client_auth())
    }
}

/// Polls a connection until it ends; without this, every query would wait for ever.
fn drive<S, T>(connection: tokio_postgres::Connection<S, T>)
where
    tokio_postgres::Connection<S, T>: Future<Output = Result<(), Error>> + Send + 'static,
{
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::warn!("the database connection ended: {}", causes(&error));
        }
    });
}

fn read_roots(file: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| error.to_string())? {
        roots.add(certificate.map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() { Err("no certificate in it".to_owned()) } else { Ok(roots) }
}

/// The system's roots. None at all is not an error here: the handshake then says that the issuer is unknown.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

// === impl Database ===

impl<S: Default> Database<S> {
    /// A database that is connected to when it is first needed, so that one that is down fails an invocation and not
    /// the start of the function.
    #[must_use]
    pub fn new(config: DatabaseConfig) -> Self {
        Self { config, session: Mutex::new(None) }
    }

    /// Waits for exclusive use of the connection.
    pub async fn lease(&self) -> Lease<'_, S> {
        Lease { config: &self.config, session: self.session.lock().await, kept: false }
    }
}

// === impl Lease ===

impl<S: Default> Lease<'_, S> {
    /// The open connection: the one of the invocation before if it still answers, else a new one. One that was used
    /// within the last second is not asked; any other has a second to answer.
    ///
    /// # Errors
    /// No connection can be made.
    pub async fn session(&mut self) -> Result<&mut Session<S>, DatabaseError> {
        let mut session = match self.session.take() {
            Some(session) if session.is_alive().await => session,
            _ => Session { client: self.config.connect().await?, state: S::default(), last_used: SystemTime::now() },
        };
        session.last_used = SystemTime::now();
        Ok(self.session.insert(session))
    }

    /// Gives the connection up now, so that the next [`Lease::session`] opens a new one.
    pub fn discard(&mut self) {
        *self.session = None;
    }

    /// Ends the lease and keeps the connection for the next one.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl<S> Drop for Lease<'_, S> {
    fn drop(&mut self) {
        if !self.kept {
            *self.session = None;
        }
    }
}

impl<S> Session<S> {
    async fn is_alive(&self) -> bool {
        if self.client.is_closed() {
            return false;
        }
        self.last_used.elapsed().is_ok_and(|idle| idle < TRUSTED_IDLE)
            || matches!(timeout(LIFE_SIGN_TIMEOUT, self.client.check_connection()).await, Ok(Ok(())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(connection_string: &str, ca_file: &str) -> String {
        let lookup = |name: &str| match name {
            "WM_DB_CONNECTION_STRING" => Some(connection_string.to_owned()),
            "WM_DB_SSL_CA_FILE" => Some(ca_file.to_owned()),
            _ => None,
        };
        let mut env = Env::new(&lookup);
        let _ = DatabaseConfig::from_env(&mut env);
        env.finish(()).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn each_mistake_names_its_variable_and_no_password() {
        let cases = [
            ("", "", "WM_DB_CONNECTION_STRING is not set"),
            ("postgres://u:hunter2@host:port/db", "", "WM_DB_CONNECTION_STRING cannot be read"),
            ("postgres://u:hunter2@host/db?sslmode=verify-full", "", "sslmode one of disable, prefer, require"),
            ("postgres://u:hunter2@host/db?color=red", "", "unknown option `color`"),
            ("user=u password=hunter2", "", "WM_DB_CONNECTION_STRING names no host"),
            ("postgres://u:hunter2@host/db", "/nonexistent.pem", "WM_DB_SSL_CA_FILE is \"/nonexistent.pem\""),
        ];
        for (connection_string, ca_file, expected) in cases {
            let mistakes = mistakes(connection_string, ca_file);
            assert!(mistakes.contains(expected), "{mistakes}");
            assert!(!mistakes.contains("hunter2"), "{mistakes}");
        }
    }

    #[test]
    fn a_usual_connection_string_is_read() {
        assert_eq!(mistakes("postgres://avnadmin:hunter2@pg.example.com:12345/defaultdb?sslmode=require", ""), "");
        assert_eq!(mistakes("host=127.0.0.1 user=postgres", ""), "");
    }
}
