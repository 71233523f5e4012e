//! Secrets from the AWS Parameters and Secrets Lambda extension, which answers on a port of this machine
//! (<https://docs.aws.amazon.com/secretsmanager/latest/userguide/retrieving-secrets_lambda.html>,
//! <https://docs.aws.amazon.com/systems-manager/latest/userguide/ps-integration-lambda-extensions.html>).

use std::time::{Duration, Instant};

use reqwest::{Method, header::HeaderMap};
use serde_json::Value;
use shared::env::Hidden;
use url::Url;

use crate::exchange::{Exchanger, Limits, Request};

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
    pub(crate) async fn resolve(&self, exchanger: &Exchanger, reference: &str) -> Result<String, String> {
        self.ask(exchanger, reference).await.map_err(|error| format!("${{{reference}}} leads nowhere: {error}"))
    }

    async fn ask(&self, exchanger: &Exchanger, reference: &str) -> Result<String, String> {
        let (service, name) = reference.split_once(':').unwrap_or((reference, ""));
        let (name, key) = match (service, name.split_once('#')) {
            ("secretsmanager", Some((name, key))) => (name, Some(key)),
            _ => (name, None),
        };
        let answer = if service == "ssm" {
            self.get(exchanger, "/systemsmanager/parameters/get", &[("name", name), ("withDecryption", "true")]).await?
        } else {
            self.get(exchanger, "/secretsmanager/get", &[("secretId", name)]).await?
        };
        let value = if service == "ssm" { &answer["Parameter"]["Value"] } else { &answer["SecretString"] };
        let value = value.as_str().ok_or("it has no text")?;
        let Some(key) = key else { return Ok(value.to_owned()) };
        let secret: Value = serde_json::from_str(value).map_err(|_| "the secret is not JSON")?;
        let value = secret[key].as_str().map(str::to_owned);
        value.ok_or_else(|| format!("the secret has no text under the key {key:?}"))
    }

    async fn get(&self, exchanger: &Exchanger, path: &str, query: &[(&str, &str)]) -> Result<Value, String> {
        let mut url = Url::parse("http://localhost").map_err(|error| error.to_string())?;
        url.set_port(Some(self.port)).map_err(|()| "its port is none")?;
        url.set_path(path);
        url.query_pairs_mut().extend_pairs(query);
        let mut headers = HeaderMap::new();
        if let Some(Hidden(token)) = &self.token {
            let token = token.parse().map_err(|_| "AWS_SESSION_TOKEN cannot be sent in a header")?;
            headers.insert("x-aws-parameters-secrets-token", token);
        }
        let request = Request {
            url: &url,
            method: Method::GET,
            headers: &headers,
            body: None,
            max_redirects: 0,
            keeps_body: true,
        };
        let limits = Limits { connect_timeout: TIMEOUT, timeout: TIMEOUT, deadline: Instant::now() + TIMEOUT };
        let answer = exchanger.exchange(&request, limits).await.result.map_err(|failure| {
            let port = self.port;
            format!(
                "the AWS Parameters and Secrets Lambda extension does not answer on port {port} ({}): is it among the \
                 layers of this function?",
                failure.message
            )
        })?;
        match answer.status {
            200 => serde_json::from_slice(&answer.body).map_err(|_| "the extension answers with no JSON".to_owned()),
            // Its text says what AWS said, such as that the role may not have the secret.
            status => {
                let text = String::from_utf8_lossy(&answer.body);
                Err(format!("the extension answers {status}: {}", text.trim().chars().take(300).collect::<String>()))
            }
        }
    }
}
