//! probe: a tick of the schedule in, one record per URL out to Kafka.
//!
//! In the order of the data: [`input`] reads the event, [`request`] probes one target by an
//! [`exchange`] over HTTP, [`publish`] hands the record to Kafka and waits for the acknowledgement; [`brokers`] finds the brokers
//! of an MSK cluster. A target that fails is a record; an error is only what kept the function from its work.

pub mod brokers;
pub mod config;
mod deadline;
mod error;
pub mod exchange;
pub mod input;
pub mod publish;
pub mod request;

use std::{sync::Arc, time::Duration};

use futures::stream::{FuturesUnordered, StreamExt as _};
use jiff::Timestamp;
use lambda_runtime::LambdaEvent;
use serde::Serialize;
use serde_json::Value;
use shared::record::Outcome;
use tokio::{
    sync::{Mutex, Semaphore},
    time::{Instant, timeout_at},
};

pub use crate::{config::ProbeConfig, error::ProbeError};
use crate::{input::Tick, publish::Publisher, request::Requester};

/// Kept back from the time of an invocation for Kafka, at most; of a short one, a fifth.
const PUBLISH_RESERVE: Duration = Duration::from_secs(3);

/// What is made once per execution environment.
pub struct Probe {
    config: ProbeConfig,
    requester: Requester,
    publisher: Mutex<Option<Arc<Publisher>>>,
}

/// The answer of an invocation that did its work.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Requests made.
    pub probed: usize,
    /// Requests whose response was as expected.
    pub up: usize,
    /// The others.
    pub down: usize,
    /// Records acknowledged by Kafka; always equal to `probed`, anything else is an error.
    pub published: usize,
    /// Time taken by the invocation, in milliseconds.
    pub elapsed_ms: u64,
}

impl Probe {
    /// Prepares the HTTP client; Kafka is connected to by [`Probe::connect`] or the first invocation.
    ///
    /// # Errors
    /// `WM_PROBE_CA_FILE` cannot be used.
    pub fn new(config: ProbeConfig) -> Result<Self, ProbeError> {
        let requester = Requester::new(&config)?;
        Ok(Self { config, requester, publisher: Mutex::new(None) })
    }

    /// Finds the brokers and makes the producer, unless that is done. Called in the init phase, which has more CPU than
    /// invocations have; what fails there is tried again by the first invocation.
    ///
    /// # Errors
    /// The brokers of the cluster cannot be found, or Kafka's client refuses its settings.
    pub async fn connect(&self) -> Result<Arc<Publisher>, ProbeError> {
        let mut publisher = self.publisher.lock().await;
        // A producer that met an error it cannot recover from would fail for ever.
        if let Some(publisher) = publisher.as_ref().filter(|publisher| !publisher.is_broken()) {
            return Ok(Arc::clone(publisher));
        }
        let servers = brokers::bootstrap_servers(&self.config.stream).await?;
        let made = Publisher::new(&self.config.stream, &servers).map_err(ProbeError::Publisher)?;
        Ok(Arc::clone(publisher.insert(Arc::new(made))))
    }
}

/// The Lambda handler: takes the event apart and hands it to [`run`].
///
/// # Errors
/// Those of [`run`], and an event that cannot be understood.
pub async fn handle(probe: &Probe, event: LambdaEvent<Value>) -> Result<Summary, ProbeError> {
    let tick = Tick::from_event(&event.payload)?;
    let budget = deadline::budget(event.context.deadline, Timestamp::now());
    run(probe, tick, budget).await
}

/// Requests all URLs of the tick, at most `WM_PROBE_CONCURRENCY` at a time, publishes each record as soon as it is
/// there, and returns when all are acknowledged. Apart from [`handle`] so that it can be called without Lambda.
///
/// A request that is not finished when only the time for Kafka is left is given up, and is a record like any other that
/// took too long. One that could not even be started is not.
///
/// # Errors
/// No URL to probe, no Kafka, or, with their counts, URLs that were not requested and records that were not acknowledged
/// within `budget`.
pub async fn run(probe: &Probe, tick: Tick, budget: Duration) -> Result<Summary, ProbeError> {
    let started = Instant::now();
    let deadline = started + budget;
    let last_request = deadline - PUBLISH_RESERVE.min(budget / 5);
    let urls = tick.urls.unwrap_or_else(|| probe.config.urls.clone());
    if urls.is_empty() {
        return Err(ProbeError::NoUrls);
    }
    let publisher = timeout_at(deadline, probe.connect()).await.map_err(|_| ProbeError::NoTime)??;

    let permits = Semaphore::new(probe.config.concurrency);
    let mut probes: FuturesUnordered<_> = urls
        .iter()
        .map(async |url| {
            let permit = permits.acquire().await;
            let time_left = last_request.saturating_duration_since(Instant::now());
            if time_left.is_zero() {
                return None;
            }
            let record = probe.requester.request(url, tick.scheduled_at, time_left).await;
            drop(permit);
            Some((record.outcome(), publisher.publish(&record).await))
        })
        .collect();

    let mut summary = Summary { probed: 0, up: 0, down: 0, published: 0, elapsed_ms: 0 };
    let mut unprobed = 0;
    let mut reason = format!("no time left after {} ms", budget.as_millis());
    // Ends early only if Kafka takes longer than its reserve.
    while let Ok(Some(probed)) = timeout_at(deadline, probes.next()).await {
        let Some((outcome, acknowledged)) = probed else {
            unprobed += 1;
            continue;
        };
        summary.probed += 1;
        match outcome {
            Outcome::Up | Outcome::Degraded => summary.up += 1,
            Outcome::Down | Outcome::Missed => summary.down += 1,
        }
        match acknowledged {
            Ok(()) => summary.published += 1,
            Err(error) => reason = error.to_string(),
        }
    }
    summary.elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    match urls.len() - summary.published {
        0 => Ok(summary),
        missing => {
            let unacknowledged = missing - unprobed;
            Err(ProbeError::Incomplete { urls: urls.len(), unprobed, unacknowledged, reason })
        }
    }
}
