//! The settings of any client of Kafka: where the brokers are and who we are to them, with secrets as they are now.

use rdkafka::{ClientConfig, config::RDKafkaLogLevel};
use shared::{aws::secret::SecretError, env::Hidden};

use super::{
    brokers::{self, BrokersError},
    config::{Brokers, Certificate, Identity, Login, Pem, Security, StreamConfig},
    context::StreamContext,
    token::TokenSource,
};

/// What any client is made of.
#[derive(Clone)]
pub struct Connection {
    /// Brokers, TLS and SASL.
    pub settings: ClientConfig,
    /// What answers the client's questions, and remembers its complaints.
    pub context: StreamContext,
}

/// Why Kafka cannot be connected to before anything is sent.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The brokers of the cluster cannot be found.
    #[error(transparent)]
    Brokers(#[from] BrokersError),
    /// A secret cannot be used.
    #[error("cannot connect to Kafka: {0}")]
    Secret(#[from] SecretError),
}

impl Connection {
    /// Finds the brokers and reads the secrets.
    ///
    /// # Errors
    /// The cluster or a secret cannot be asked for, or has not what the configuration needs.
    pub async fn open(config: &StreamConfig) -> Result<Self, StreamError> {
        let servers = brokers::bootstrap_servers(config).await?;
        let mut settings = settings(&servers);
        let token = secure(&mut settings, config).await?;
        Ok(Self { settings, context: StreamContext::new(config, token) })
    }

    /// To brokers that take plain text from anybody, such as one on this machine.
    #[must_use]
    pub fn plain(servers: &str) -> Self {
        let brokers = Brokers::Servers(servers.to_owned());
        let config = StreamConfig { brokers, topic: String::new(), partitions: None, security: Security::default() };
        Self { settings: settings(servers), context: StreamContext::new(&config, None) }
    }
}

fn settings(servers: &str) -> ClientConfig {
    let mut settings = ClientConfig::new();
    // What the context has to hear of, whatever is logged in the end.
    settings.set("bootstrap.servers", servers).set_log_level(RDKafkaLogLevel::Info);
    settings
}

async fn secure(settings: &mut ClientConfig, config: &StreamConfig) -> Result<Option<TokenSource>, SecretError> {
    let Security { tls, roots, identity } = &config.security;
    if !tls {
        return Ok(None);
    }
    settings.set("security.protocol", "ssl");
    match roots {
        // "probe" looks for the system's roots; the bundled OpenSSL would look where there are none.
        None => settings.set("ssl.ca.location", "probe"),
        Some(Pem::File(file)) => settings.set("ssl.ca.location", file),
        Some(Pem::Secret(secret)) => settings.set("ssl.ca.pem", secret.read_certificates().await?),
    };
    match identity {
        Identity::Anonymous => {}
        Identity::Certificate(Certificate::Files { cert, key }) => {
            settings.set("ssl.certificate.location", cert).set("ssl.key.location", key);
        }
        Identity::Certificate(Certificate::Secret(secret)) => {
            let mut fields = secret.read_fields().await?;
            settings.set("ssl.certificate.pem", fields.take("certificate")?);
            settings.set("ssl.key.pem", fields.take("privateKey")?);
            if let Some(password) = fields.optional("privateKeyPassword") {
                settings.set("ssl.key.password", password);
            }
        }
        Identity::User { mechanism, login } => {
            let (username, Hidden(password)) = login.read().await?;
            sasl(settings, mechanism).set("sasl.username", username).set("sasl.password", password);
        }
        Identity::Client { endpoint, scope, login } => {
            sasl(settings, "OAUTHBEARER");
            let (client, secret) = login.read().await?;
            return Ok(Some(TokenSource::Endpoint {
                endpoint: endpoint.clone(),
                scope: scope.clone(),
                client,
                secret,
            }));
        }
        Identity::Iam => {
            sasl(settings, "OAUTHBEARER");
            return Ok(Some(TokenSource::Iam { region: config.brokers.region() }));
        }
    }
    Ok(None)
}

fn sasl<'settings>(settings: &'settings mut ClientConfig, mechanism: &str) -> &'settings mut ClientConfig {
    settings.set("security.protocol", "sasl_ssl").set("sasl.mechanism", mechanism)
}

impl Login {
    /// The name and the password.
    async fn read(&self) -> Result<(String, Hidden<String>), SecretError> {
        match self {
            Self::Given { username, password } => Ok((username.clone(), password.clone())),
            Self::Secret(secret) => {
                let mut fields = secret.read_fields().await?;
                Ok((fields.take("username")?, Hidden(fields.take("password")?)))
            }
        }
    }
}
