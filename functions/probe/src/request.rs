//! One HTTP request, timed, with a record as its result whatever happens.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::{Client, redirect::Policy};
use shared::{
    Millis, Record,
    record::{Failure, FailureKind, Outcome},
    timestamp,
};
use uuid::Uuid;

use crate::{config::ProbeConfig, outcome::failure};

/// How much of a body is read; what is behind it is not waited for.
const MAX_BODY_BYTES: usize = 1 << 20;
/// Redirects that are followed.
const MAX_REDIRECTS: usize = 10;

/// The HTTP client of an execution environment. It keeps no connection: a probe that reused one would leave out the
/// very phases that most often fail.
pub struct Requester {
    client: Client,
    connect_timeout: Duration,
    timeout: Duration,
    location: String,
}

impl Requester {
    /// Makes the client with the timeouts of the configuration.
    ///
    /// # Errors
    /// The TLS provider cannot be set up.
    pub fn new(config: &ProbeConfig) -> reqwest::Result<Self> {
        let client = Client::builder()
            .user_agent(concat!("website-monitor/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(config.connect_timeout)
            .redirect(Policy::limited(MAX_REDIRECTS))
            .pool_max_idle_per_host(0)
            .no_proxy()
            .build()?;
        Ok(Self {
            client,
            connect_timeout: config.connect_timeout,
            timeout: config.timeout,
            location: config.location.clone(),
        })
    }

    /// Requests `url` with GET and follows redirects. The response time is from the start of the request to the last
    /// byte of the body (or the first mebibyte of it), or to the moment the request was given up: after the configured
    /// timeout, or when `time_left` is over.
    pub async fn request(&self, url: &str, scheduled_at: Option<Timestamp>, time_left: Duration) -> Record {
        let timeout = self.timeout.min(time_left);
        let timestamp = timestamp::now();
        let started = Instant::now();
        let result = self.get(url, timeout).await;
        let elapsed = started.elapsed();

        let (http_status_code, error) = match result {
            Ok(status) => (Some(status), unexpected(status)),
            Err(error) => (None, Some(failure(&error, self.connect_timeout, timeout, elapsed))),
        };
        Record {
            url: url.to_owned(),
            timestamp,
            http_status_code,
            response_time_ms: Some(Millis::from(elapsed)),
            scheduled_at,
            location: Some(self.location.clone()),
            monitor: None,
            outcome: Some(if error.is_none() { Outcome::Up } else { Outcome::Down }),
            error,
            phases: None,
            certificate_expires_at: None,
            attempt: 1,
            id: Some(Uuid::now_v7()),
        }
    }

    async fn get(&self, url: &str, timeout: Duration) -> reqwest::Result<u16> {
        let mut response = self.client.get(url).timeout(timeout).send().await?;
        let mut read = 0;
        while let Some(chunk) = response.chunk().await? {
            read += chunk.len();
            if read >= MAX_BODY_BYTES {
                break;
            }
        }
        Ok(response.status().as_u16())
    }
}

/// A status of 400 or above is a failed expectation, not a failed request.
fn unexpected(status: u16) -> Option<Failure> {
    (status >= 400)
        .then(|| Failure { kind: FailureKind::Assertion, message: format!("HTTP status {status}: expected below 400") })
}
