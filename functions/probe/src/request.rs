//! One probe of a target, with a record as its result whatever happens.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::{Method, header::HeaderMap};
use shared::{
    Millis, Record,
    record::{Failure, FailureKind, Outcome},
    timestamp,
};
use url::Url;
use uuid::Uuid;

use crate::{
    config::ProbeConfig,
    exchange::{Exchanger, Limits, Request, TlsError, egress::Egress},
};

/// Redirects that are followed.
const MAX_REDIRECTS: usize = 10;

/// What every probe of an execution environment is made with.
pub struct Requester {
    exchanger: Exchanger,
    connect_timeout: Duration,
    timeout: Duration,
    location: String,
}

impl Requester {
    /// Prepares TLS, and the guard of what may be connected to.
    ///
    /// # Errors
    /// `WM_PROBE_CA_FILE` cannot be used.
    pub fn new(config: &ProbeConfig) -> Result<Self, TlsError> {
        let egress = Egress::new(config.allow_private_targets, config.runtime_api.as_deref());
        Ok(Self {
            exchanger: Exchanger::new(egress, config.ca_file.as_deref())?,
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
        let limits = Limits { connect_timeout: self.connect_timeout, timeout, deadline: started + timeout };
        let mut record = Record {
            url: url.to_owned(),
            timestamp,
            http_status_code: None,
            response_time_ms: None,
            scheduled_at,
            location: Some(self.location.clone()),
            monitor: None,
            outcome: None,
            error: None,
            phases: None,
            hops: Vec::new(),
            body_cut: false,
            certificate_expires_at: None,
            attempt: 1,
            id: Some(Uuid::now_v7()),
        };
        match Url::parse(url) {
            Ok(url) => self.exchange(&url, limits, &mut record).await,
            Err(error) => record.error = Some(Failure { kind: FailureKind::Protocol, message: error.to_string() }),
        }
        record.response_time_ms = Some(Millis::from(started.elapsed()));
        record.outcome = Some(if record.error.is_none() { Outcome::Up } else { Outcome::Down });
        record
    }

    async fn exchange(&self, url: &Url, limits: Limits, record: &mut Record) {
        let request = Request {
            url,
            method: Method::GET,
            headers: &HeaderMap::new(),
            body: None,
            max_redirects: MAX_REDIRECTS,
            keeps_body: false,
        };
        let exchange = self.exchanger.exchange(&request, limits).await;
        record.phases = Some(exchange.phases);
        record.certificate_expires_at = exchange.certificate_expires_at;
        if exchange.hops.len() > 1 {
            record.hops = exchange.hops;
        }
        match exchange.result {
            Ok(answer) => {
                record.http_status_code = Some(answer.status);
                record.body_cut = answer.is_cut;
                record.error = unexpected(answer.status);
            }
            Err(failure) => record.error = Some(failure),
        }
    }
}

/// A status of 400 or above is a failed expectation, not a failed request.
fn unexpected(status: u16) -> Option<Failure> {
    (status >= 400)
        .then(|| Failure { kind: FailureKind::Assertion, message: format!("HTTP status {status}: expected below 400") })
}
