//! Records as a fleet of probes makes them.

use std::f64::consts::TAU;

use fastrand::Rng;
use flush::{
    batch::{Batch, Observation},
    event::{KafkaRecord, Position},
};
use shared::{
    Micros, Millis, Record, millis,
    record::{Failure, FailureKind, Outcome, Phases},
};
use uuid::Uuid;

/// Ticks of a schedule, every 30 seconds, each of which probes every target.
pub(crate) struct Traffic {
    rng: Rng,
    urls: Vec<String>,
    /// The typical response time of each target, in microseconds.
    medians: Vec<f64>,
    /// The next tick.
    pub(crate) tick: i64,
    next_target: usize,
    offset: i64,
}

const TICK: i64 = 30_000_000;

impl Traffic {
    pub(crate) fn new(targets: usize, first_tick: i64) -> Self {
        let mut rng = Rng::with_seed(42);
        let medians = (0..targets).map(|_| 25_000.0 * (rng.f64() * 2.8).exp()).collect();
        let urls =
            (0..targets).map(|target| format!("https://www.example-{target:05}.com/health/check?probe=1")).collect();
        Self { rng, urls, medians, tick: first_tick, next_target: 0, offset: 0 }
    }

    /// The first tick of a run of so many probes that ends now.
    pub(crate) fn start(now: Micros, targets: u64, probes: u64) -> i64 {
        now.0 - i64::try_from(probes / targets).unwrap_or_default() * TICK
    }

    /// The next records, in the order of their ticks.
    pub(crate) fn batch(&mut self, records: usize) -> Batch {
        let observations = (0..records).map(|_| self.observation()).collect();
        Batch { observations, rejects: Vec::new() }
    }

    fn observation(&mut self) -> Observation {
        let target = self.next_target;
        self.next_target += 1;
        let at = self.tick;
        if self.next_target == self.urls.len() {
            self.next_target = 0;
            self.tick += TICK;
        }
        self.offset += 1;
        let record = self.record(target, at);
        Observation {
            record_id: self.rng.i64(..),
            record,
            source: KafkaRecord {
                position: Position { topic: "website-monitor".to_owned(), partition: 0, offset: self.offset },
                timestamp_ms: None,
                key: None,
                value: Ok(None),
                more: String::new(),
            },
        }
    }

    /// A response time that is log-normal around the target's median, with a heavy tail; one in 500 times out, one in
    /// 200 is a server error.
    fn record(&mut self, target: usize, tick: i64) -> Record {
        let rng = &mut self.rng;
        let median = self.medians.get(target).copied().unwrap_or_default();
        let normal = (-2.0 * rng.f64().max(1e-12).ln()).sqrt() * (TAU * rng.f64()).cos();
        let tail = if rng.u32(0..50) == 0 { rng.f64().max(1e-3).powf(-0.7) } else { 1.0 };
        let is_timeout = rng.u32(0..500) == 0;
        let is_error = rng.u32(0..200) == 0;
        let micros = if is_timeout { 30_000_000.0 } else { (median * (0.3 * normal).exp() * tail).min(29e6) };
        #[expect(clippy::cast_possible_truncation, reason = "float to integer saturates")]
        let part = |share: f64| Some(millis::Millis::from(std::time::Duration::from_micros((micros * share) as u64)));
        // The schedule fires a little late, and the function needs a moment.
        let started = tick + 80_000 + rng.i64(0..60_000);
        let instant = |micros: i64| Micros(micros).timestamp();
        let error = match (is_timeout, is_error) {
            (true, _) => Some((FailureKind::Timeout, "no response within 30 s")),
            (false, true) => Some((FailureKind::Assertion, "HTTP status 503: expected below 400")),
            (false, false) => None,
        };
        let status = if is_error { 503 } else { 200 };
        let response_time: Option<Millis> = part(1.0);
        Record {
            url: self.urls.get(target).cloned().unwrap_or_default(),
            timestamp: instant(started),
            http_status_code: (!is_timeout).then_some(status),
            response_time_ms: response_time,
            scheduled_at: Some(instant(tick)),
            location: Some("eu-central-1".to_owned()),
            monitor: None,
            outcome: Some(if error.is_some() { Outcome::Down } else { Outcome::Up }),
            error: error.map(|(kind, message)| Failure { kind, message: message.to_owned() }),
            reason: None,
            phases: (!is_timeout).then(|| {
                let (dns, connect) = (part(0.05 + 0.02 * rng.f64()), part(0.15 + 0.02 * rng.f64()));
                let (tls, first_byte) = (part(0.25 + 0.03 * rng.f64()), part(0.35 + 0.03 * rng.f64()));
                Phases { dns, connect, tls, first_byte, download: part(0.08 + 0.02 * rng.f64()) }
            }),
            hops: Vec::new(),
            body_cut: false,
            certificate_expires_at: Some(instant(1_830_000_000_000_000)),
            attempt: 1,
            retried: false,
            interval_ms: Some(30_000),
            tags: Vec::new(),
            prober: None,
            id: Some(Uuid::from_u64_pair(rng.u64(..), rng.u64(..))),
        }
    }
}
