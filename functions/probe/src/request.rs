//! One attempt at a target, with a record as its result whatever happens.

use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use shared::{
    Millis, Record,
    record::{Failure, Outcome, Prober},
    timestamp,
};
use tokio::task::yield_now;
use twox_hash::XxHash3_64;
use uuid::Uuid;

use crate::{
    config::ProbeConfig,
    exchange::{Exchange, Exchanger, Limits, Request, TlsError, egress::Egress},
    monitors::{Monitor, Monitors, expect::Certificate},
    plan::{Slot, since},
};

/// What every probe of an execution environment is made with.
pub struct Requester {
    exchanger: Exchanger,
    location: String,
    in_flight: AtomicU32,
}

/// The circumstances of an attempt.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances {
    /// 1 for the first.
    pub attempt: u16,
    /// Whether this is the first invocation of its environment.
    pub is_cold: bool,
    /// What is left of the invocation for requests.
    pub time_left: Duration,
}

impl Requester {
    /// Prepares TLS, and the guard of what may be connected to.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(config: &ProbeConfig) -> Result<Self, TlsError> {
        let egress = Egress::new(config.allow_private_targets, config.runtime_api.as_deref());
        Ok(Self {
            exchanger: Exchanger::new(egress, &config.extra_roots)?,
            location: config.location.clone(),
            in_flight: AtomicU32::new(0),
        })
    }

    /// Makes an attempt. The response time is from its start to the last byte of the body (or the first mebibyte of it), or
    /// to the moment it was given up, after the timeout of the monitor. If there is less time left than that, and it was
    /// given up for that reason, nothing is known of the target, and the slot is missed. Messages show long values in part, and
    /// references in the place of the secrets of `monitors`.
    pub async fn request(&self, slot: &Slot<'_>, circumstances: Circumstances, monitors: &Monitors) -> Record {
        let Circumstances { attempt, is_cold, time_left } = circumstances;
        let settings = &slot.monitor.settings;
        let timeout = settings.timeout.min(time_left);
        let in_flight = self.in_flight.fetch_add(1, Relaxed) + 1;
        let timestamp = timestamp::now();
        let started = Instant::now();
        let limits = Limits { connect_timeout: settings.connect_timeout, timeout, deadline: started + timeout };
        let request = Request {
            url: &slot.monitor.target.0,
            method: settings.method.clone(),
            headers: &settings.headers,
            body: settings.body.as_ref().map(|body| body.0.as_str()),
            max_redirects: settings.max_redirects,
            keeps_body: !settings.expect.body.is_empty(),
        };
        let exchange = self.exchanger.exchange(&request, limits).await;
        let elapsed = started.elapsed();
        // What has arrived for others is timed before this is judged.
        yield_now().await;
        self.in_flight.fetch_sub(1, Relaxed);
        if timeout < settings.timeout && elapsed >= timeout && exchange.result.is_err() {
            let [elapsed, timeout] = [elapsed, settings.timeout].map(|time| time.as_millis());
            return self.missed(slot, format!("given up after {elapsed} of {timeout} ms: the invocation had to end"));
        }
        let late = (attempt == 1).then(|| slot.scheduled_at.map(|_| since(slot.starts_at, timestamp))).flatten();
        let prober = Prober { cold_start: is_cold, in_flight, late_ms: late.map(Millis::from) };
        let blank = self.blank(slot, timestamp);
        let record = Record { attempt, prober: Some(prober), id: Some(Uuid::now_v7()), ..blank };
        judge(slot.monitor, exchange, elapsed, record, monitors)
    }

    /// The record of a slot without a request that could tell anything. Told twice, it is the same record.
    #[must_use]
    pub fn missed(&self, slot: &Slot<'_>, reason: String) -> Record {
        let record = self.blank(slot, slot.scheduled_at.unwrap_or_else(timestamp::now));
        let identity =
            [record.monitor.as_deref().unwrap_or_default(), &record.url, &self.location, &record.timestamp.to_string()];
        let identity = identity.join("\n");
        let half = |seed| XxHash3_64::oneshot_with_seed(seed, identity.as_bytes());
        let id = Uuid::from_u64_pair(half(0), half(1)).into_bytes();
        let id = uuid::Builder::from_custom_bytes(id).into_uuid();
        Record { outcome: Some(Outcome::Missed), reason: Some(reason), id: Some(id), ..record }
    }

    fn blank(&self, slot: &Slot<'_>, timestamp: Timestamp) -> Record {
        Record {
            url: slot.monitor.url.clone(),
            timestamp,
            http_status_code: None,
            response_time_ms: None,
            scheduled_at: slot.scheduled_at,
            location: Some(self.location.clone()),
            monitor: slot.monitor.id.clone(),
            outcome: None,
            error: None,
            reason: None,
            phases: None,
            hops: Vec::new(),
            body_cut: false,
            certificate_expires_at: None,
            attempt: 1,
            retried: false,
            interval_ms: slot.scheduled_at.and_then(|_| u32::try_from(slot.monitor.settings.interval.as_millis()).ok()),
            tags: slot.monitor.settings.tags.clone(),
            prober: None,
            id: None,
        }
    }
}

/// Fills in what came of an exchange.
fn judge(monitor: &Monitor, exchange: Exchange, elapsed: Duration, mut record: Record, monitors: &Monitors) -> Record {
    record.response_time_ms = Some(Millis::from(elapsed));
    record.phases = Some(exchange.phases);
    record.certificate_expires_at = exchange.certificate_expires_at;
    let is_tls = exchange.hops.iter().any(|hop| hop.url.starts_with("https:"));
    let certificate = if is_tls { Certificate::Expires(exchange.certificate_expires_at) } else { Certificate::None };
    if exchange.hops.len() > 1 {
        record.hops = exchange.hops;
    }
    match exchange.result {
        Ok(answer) => {
            record.http_status_code = Some(answer.status);
            record.body_cut = answer.is_cut;
            let now = record.timestamp;
            record.error = monitor.settings.expect.check(&answer, certificate, now, &|text| monitors.mask(text)).err();
        }
        Err(failure) => record.error = Some(failure),
    }
    record.outcome = Some(outcome(record.error.as_ref(), elapsed, monitor.settings.degraded_after));
    record
}

/// Correctness decides first, speed second. What takes exactly as long as it may is not degraded.
fn outcome(error: Option<&Failure>, elapsed: Duration, degraded_after: Option<Duration>) -> Outcome {
    match (error, degraded_after) {
        (Some(_), _) => Outcome::Down,
        // As the record tells it, in whole microseconds.
        (None, Some(limit)) if Millis::from(elapsed) > Millis::from(limit) => Outcome::Degraded,
        (None, _) => Outcome::Up,
    }
}

#[cfg(test)]
mod tests {
    use shared::record::FailureKind;

    use super::*;

    #[test]
    fn correctness_decides_first_and_speed_second_with_equality_in_time() {
        let wrong = Failure { kind: FailureKind::Assertion, message: String::new() };
        let limit = Duration::from_millis(800);
        let (before, after) = (limit - Duration::from_micros(1), limit + Duration::from_micros(1));
        for (error, elapsed, degraded_after, expected) in [
            (None, before, Some(limit), Outcome::Up),
            (None, limit, Some(limit), Outcome::Up),
            (None, limit + Duration::from_nanos(999), Some(limit), Outcome::Up),
            (None, after, Some(limit), Outcome::Degraded),
            (None, after, None, Outcome::Up),
            (Some(&wrong), before, Some(limit), Outcome::Down),
            (Some(&wrong), after, Some(limit), Outcome::Down),
        ] {
            assert_eq!(outcome(error, elapsed, degraded_after), expected);
        }
    }
}
