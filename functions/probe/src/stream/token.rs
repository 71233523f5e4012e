//! Tokens for SASL/OAUTHBEARER (RFC 7628), which stand in for passwords and run out.

use std::{
    error::Error,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_sdk_kafka::error::DisplayErrorContext;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use rdkafka::client::OAuthToken;
use reqwest::Client;
use serde::Deserialize;
use serde_json::Value;
use shared::{
    aws::{
        self,
        presign::{PresignError, Signer, VALID_FOR},
    },
    env::Hidden,
};
use url::{Url, form_urlencoded};

/// For a whole token. The client of Kafka asks again by itself.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a token is taken to count where its issuer does not say.
const LIFETIME: Duration = Duration::from_secs(300);

/// Where tokens come from.
#[derive(Debug, Clone)]
pub enum TokenSource {
    /// From the credentials of the function, for Amazon MSK.
    Iam {
        /// That of the cluster; `AWS_REGION` where that is not known.
        region: Option<String>,
    },
    /// From an authorization server (RFC 6749, 4.4).
    Endpoint {
        /// Its URL.
        endpoint: Url,
        /// What the token is to be good for.
        scope: Option<String>,
        /// The id of the client.
        client: String,
        /// Its secret.
        secret: Hidden<String>,
    },
}

/// What the authorization server answers (RFC 6749, 5.1).
#[derive(Deserialize)]
struct Issued {
    access_token: String,
    expires_in: Option<u64>,
}

impl TokenSource {
    /// A new token. Blocks, and may be called within a runtime or outside of one: Kafka's client asks on whatever thread it
    /// is on.
    pub(super) fn token(&self) -> Result<OAuthToken, Box<dyn Error>> {
        let ask = || -> Result<OAuthToken, String> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(|error| error.to_string())?.block_on(self.ask())
        };
        let answer = std::thread::scope(|scope| scope.spawn(ask).join());
        Ok(answer.map_err(|_| "the thread that asks for a token panicked")??)
    }

    async fn ask(&self) -> Result<OAuthToken, String> {
        match self {
            Self::Iam { region } => {
                let mut signer = Signer::from_sdk(&aws::sdk().await).await.map_err(|error| error.to_string())?;
                if let Some(region) = region {
                    signer.region.clone_from(region);
                }
                let now = SystemTime::now();
                let token = iam_token(&signer, now).map_err(|error| error.to_string())?;
                Ok(OAuthToken { token, principal_name: String::new(), lifetime_ms: millis(now + VALID_FOR) })
            }
            Self::Endpoint { endpoint, scope, client, secret } => {
                let issued = issue(endpoint, scope.as_deref(), client, secret).await;
                let Issued { access_token, expires_in } =
                    issued.map_err(|reason| format!("WM_STREAM_SASL_TOKEN_ENDPOINT {endpoint} {reason}"))?;
                let lifetime = expires_in.map_or(LIFETIME, Duration::from_secs);
                Ok(OAuthToken {
                    token: access_token,
                    principal_name: client.clone(),
                    lifetime_ms: millis(SystemTime::now() + lifetime),
                })
            }
        }
    }
}

async fn issue(endpoint: &Url, scope: Option<&str>, client: &str, secret: &Hidden<String>) -> Result<Issued, String> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    if let Some(scope) = scope {
        form.append_pair("scope", scope);
    }
    let http = Client::builder().timeout(TIMEOUT).no_proxy().build().map_err(|error| error.to_string())?;
    let request = http
        .post(endpoint.clone())
        // Each encoded as in a form (RFC 6749, 2.3.1).
        .basic_auth(form_encoded(client), Some(form_encoded(&secret.0)))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form.finish());
    let silent = |error| format!("does not answer: {}", DisplayErrorContext::<reqwest::Error>(error));
    let response = request.send().await.map_err(silent)?;
    let status = response.status();
    let body = response.bytes().await.map_err(silent)?;
    if status.is_success() {
        return serde_json::from_slice(&body).map_err(|error| {
            // Without the words of the parser, which may be the token's.
            format!("answers with no token: expected JSON with access_token, line {}", error.line())
        });
    }
    // RFC 6749, 5.2.
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    let reason = answer["error"].as_str().unwrap_or_default();
    let is_about_us = matches!(status.as_u16(), 400 | 401);
    let advice =
        if is_about_us { "; check the name and the password that WM_STREAM_SASL_… or its secret has" } else { "" };
    Err(format!("answers {status} {reason}{advice}"))
}

fn form_encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// The token of MSK: a request that is signed, and an agent behind the signature
/// (<https://github.com/aws/aws-msk-iam-auth#details>).
fn iam_token(signer: &Signer, now: SystemTime) -> Result<String, PresignError> {
    let domain = if signer.region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    let url = format!("https://kafka.{}.{domain}/?Action=kafka-cluster%3AConnect", signer.region);
    let signed = signer.presign("kafka-cluster", &url, now)?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(format!("{signed}&User-Agent=website-monitor")))
}

fn millis(instant: SystemTime) -> i64 {
    let since = instant.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use aws_credential_types::Credentials;

    use super::*;

    #[test]
    fn the_token_of_msk_is_that_of_its_own_signer() {
        let answers = include_str!("../../../../tests/signatures/known_answers.json");
        let answers: serde_json::Value = serde_json::from_str(answers).unwrap();
        let text = |name: &str| answers[name].as_str().unwrap().to_owned();
        for (answer, session) in [("msk", None), ("msk_with_session", Some(text("session_token")))] {
            let credentials = Credentials::new(text("access_key"), text("secret_key"), session, None, "test");
            let signer = Signer { credentials, region: text("region") };
            let now = UNIX_EPOCH + Duration::from_secs(answers["time"].as_u64().unwrap());

            let token = BASE64_URL_SAFE_NO_PAD.decode(iam_token(&signer, now).unwrap()).unwrap();

            // The order of what is in a query means nothing, and the agent is not signed.
            let token = String::from_utf8(token).unwrap();
            let signed = token.strip_suffix("&User-Agent=website-monitor").unwrap();
            let parts = |url: &str| url.split('&').map(str::to_owned).collect::<BTreeSet<_>>();
            assert_eq!(parts(signed), parts(&text(answer)));
        }
    }
}
