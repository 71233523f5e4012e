//! Secrets from the AWS Parameters and Secrets Lambda extension, which answers on a port of this machine
//! (<https://docs.aws.amazon.com/secretsmanager/latest/userguide/retrieving-secrets_lambda.html>,
//! <https://docs.aws.amazon.com/systems-manager/latest/userguide/ps-integration-lambda-extensions.html>).

use std::time::Duration;

use reqwest::{Client, header::HeaderValue, redirect::Policy};
use serde_json::Value;
use shared::{causes::causes, env::Hidden};
use url::Url;

/// Where the extension listens unless `PARAMETERS_SECRETS_EXTENSION_HTTP_PORT` says otherwise.
pub(crate) const PORT: u16 = 2773;
/// For one secret. The extension asks AWS at the first request for each.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How the extension is asked.
#[derive(Debug, Clone)]
pub struct Extension {
    /// `PARAMETERS_SECRETS_EXTENSION_HTTP_PORT`.
    pub port: u16,
    /// `AWS_SESSION_TOKEN`, by which it knows that this function asks.
    pub token: Option<Hidden<String>>,
}

impl Extension {
    /// What a reference leads to: `secretsmanager:NAME`, `secretsmanager:NAME#KEY` for one value of a secret that is JSON,
    /// or `ssm:NAME`.
    ///
    /// # Errors
    /// Why there is nothing; without any of it.
    pub(crate) async fn resolve(&self, client: &Client, reference: &str) -> Result<String, String> {
        self.ask(client, reference).await.map_err(|error| format!("${{{reference}}} leads nowhere: {error}"))
    }

    async fn ask(&self, client: &Client, reference: &str) -> Result<String, String> {
        let (service, name) = reference.split_once(':').unwrap_or((reference, ""));
        let (name, key) = match (service, name.split_once('#')) {
            ("secretsmanager", Some((name, key))) => (name, Some(key)),
            _ => (name, None),
        };
        let answer = if service == "ssm" {
            self.get(client, "/systemsmanager/parameters/get", &[("name", name), ("withDecryption", "true")]).await?
        } else {
            self.get(client, "/secretsmanager/get", &[("secretId", name)]).await?
        };
        let value = if service == "ssm" { &answer["Parameter"]["Value"] } else { &answer["SecretString"] };
        let value = value.as_str().ok_or("it has no text")?;
        let Some(key) = key else { return Ok(value.to_owned()) };
        let secret: Value = serde_json::from_str(value).map_err(|_| "the secret is not JSON")?;
        let value = secret[key].as_str().map(str::to_owned);
        value.ok_or_else(|| format!("the secret has no text under the key {key:?}"))
    }

    async fn get(&self, client: &Client, path: &str, query: &[(&str, &str)]) -> Result<Value, String> {
        let mut url = Url::parse("http://localhost").map_err(|error| error.to_string())?;
        url.set_port(Some(self.port)).map_err(|()| "its port is none")?;
        url.set_path(path);
        url.query_pairs_mut().extend_pairs(query);
        let mut request = client.get(url);
        if let Some(Hidden(token)) = &self.token {
            let mut token: HeaderValue = token.parse().map_err(|_| "AWS_SESSION_TOKEN cannot be sent in a header")?;
            token.set_sensitive(true);
            request = request.header("x-aws-parameters-secrets-token", token);
        }
        let silent = |error: reqwest::Error| {
            let port = self.port;
            format!(
                "the AWS Parameters and Secrets Lambda extension does not answer on port {port} ({}): is it among the \
                 layers of this function?",
                causes(&error.without_url())
            )
        };
        let response = request.send().await.map_err(silent)?;
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(silent)?;
        match status {
            200 => serde_json::from_slice(&body).map_err(|_| "the extension answers with no JSON".to_owned()),
            // Its text says what AWS said, such as that the role may not have the secret.
            status => {
                let text = String::from_utf8_lossy(&body);
                Err(format!("the extension answers {status}: {}", text.trim().chars().take(300).collect::<String>()))
            }
        }
    }
}

/// The client of the extension, which goes nowhere but to this machine.
///
/// # Errors
/// The system has no roots that it trusts.
pub(crate) fn client() -> reqwest::Result<Client> {
    Client::builder().timeout(TIMEOUT).no_proxy().redirect(Policy::none()).build()
}
