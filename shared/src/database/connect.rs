//! Opening a connection: the password and the roots as they are now, TLS, and who drives it.

use std::{pin::Pin, sync::Arc, time::SystemTime};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tokio::time::timeout;
use tokio_postgres::{Client, Config, Error, NoTls, config::SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    config::{CONNECT_TIMEOUT, DatabaseConfig, Password, Roots, host_name},
    error::{DatabaseError, causes},
};
use crate::{
    aws::{
        self,
        presign::{PresignError, Signer, percent_encoded},
    },
    env::pem::read_root_certificates,
};

/// The authorities of Amazon RDS, which are among nobody else's roots.
const RDS: &[u8] = include_bytes!("../../certificates/rds.pem");

impl DatabaseConfig {
    /// Opens a connection and drives it in a task of its own.
    ///
    /// # Errors
    /// A secret cannot be read, the host cannot be reached or its certificate verified, the password is wrong, the
    /// database does not exist.
    pub fn connect(&self) -> Pin<Box<dyn Future<Output = Result<Client, DatabaseError>> + Send + '_>> {
        // Boxed: the types of the AWS SDK would otherwise be part of each caller's, too deep for the compiler.
        Box::pin(self.open())
    }

    async fn open(&self) -> Result<Client, DatabaseError> {
        let mut config = self.with_secret().await?;
        if config.password == Password::Iam {
            let token = iam_token(&config.postgres, &Signer::from_sdk(&aws::sdk().await).await?, SystemTime::now())?;
            config.postgres.password(token);
        }
        // The driver's own limit covers each address of the host and no TLS handshake.
        let limit = config.postgres.get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT) * 2;
        let failed = |error| DatabaseError::connect(error, &config);
        // Before the clock starts: a secret may have to be read for it.
        let tls = if config.postgres.get_ssl_mode() == SslMode::Disable { None } else { Some(config.tls().await?) };
        let connecting = async {
            let Some(tls) = tls else {
                let (client, connection) = config.postgres.connect(NoTls).await.map_err(failed)?;
                drive(connection);
                return Ok(client);
            };
            let tls = MakeRustlsConnect::new(tls);
            let (client, connection) = config.postgres.connect(tls).await.map_err(failed)?;
            drive(connection);
            Ok(client)
        };
        timeout(limit, connecting).await.unwrap_or(Err(DatabaseError::ConnectTimeout(limit)))
    }

    async fn tls(&self) -> Result<ClientConfig, DatabaseError> {
        let roots = match &self.roots {
            Roots::Given(roots) => Arc::clone(roots),
            Roots::Secret(secret) => {
                let certificates = read_root_certificates(secret.read_certificates().await?.as_bytes());
                Arc::new(root_store(certificates.map_err(|reason| secret.error(format!("cannot be used: {reason}")))?))
            }
            Roots::Known => Arc::new(known_roots(host_name(&self.postgres).unwrap_or_default())),
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| DatabaseError::Tls(error.to_string()))?;
        Ok(builder.with_root_certificates(roots).with_no_client_auth())
    }
}

/// The password of IAM database authentication: a request that is signed, without its scheme
/// (<https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.Connecting.html>).
fn iam_token(postgres: &Config, signer: &Signer, now: SystemTime) -> Result<String, PresignError> {
    let host = host_name(postgres).unwrap_or_default();
    let port = postgres.get_ports().first().copied().unwrap_or(5432);
    let user = percent_encoded(postgres.get_user().unwrap_or_default());
    let url = signer.presign("rds-db", &format!("https://{host}:{port}/?Action=connect&DBUser={user}"), now)?;
    Ok(url.trim_start_matches("https://").to_owned())
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

/// The roots that certificates are, each of which was checked.
pub(super) fn root_store(certificates: Vec<CertificateDer<'static>>) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    roots
}

/// The system's roots, and those of RDS for a host of it (RDS Proxy has certificates of the former). None at all is not
/// an error here: the handshake then says that the issuer is unknown.
fn known_roots(host: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if host.ends_with(".rds.amazonaws.com") {
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(RDS).flatten());
    }
    roots
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        time::{Duration, UNIX_EPOCH},
    };

    use aws_credential_types::Credentials;

    use super::*;

    #[test]
    fn the_token_is_that_of_the_python_sdk() {
        let answers: serde_json::Value =
            serde_json::from_str(include_str!("../../../tests/signatures/known_answers.json")).unwrap();
        for (answer, session) in [("rds", None), ("rds_with_session", answers["session_token"].as_str())] {
            let text = |name: &str| answers[name].as_str().unwrap().to_owned();
            let credentials =
                Credentials::new(text("access_key"), text("secret_key"), session.map(str::to_owned), None, "test");
            let signer = Signer { credentials, region: text("region") };
            let postgres: Config = text("database").parse().unwrap();

            let token =
                iam_token(&postgres, &signer, UNIX_EPOCH + Duration::from_secs(answers["time"].as_u64().unwrap()));

            // The order of what is in a query means nothing.
            let parts = |url: &str| url.split('&').map(str::to_owned).collect::<BTreeSet<_>>();
            assert_eq!(parts(&token.unwrap()), parts(&text(answer)));
        }
    }

    #[test]
    fn the_authorities_of_rds_are_trusted_for_hosts_of_rds_alone() {
        let whole = CertificateDer::pem_slice_iter(RDS).collect::<Result<Vec<_>, _>>().unwrap();
        assert_eq!(read_root_certificates(RDS).unwrap().len(), whole.len());
        let more =
            known_roots("db.abc.eu-west-1.rds.amazonaws.com").len() - known_roots("rds.amazonaws.com.evil.test").len();
        assert_eq!(more, whole.len());
    }
}
