//! probe: a tick of the schedule in, one record per attempt out to Kafka.
//!
//! In the order of the data: [`input`] reads the event, [`monitors`] is what there is to probe, [`plan`] says whose turn it
//! is and when, `settled` which of it is done already, [`run()`] does it, many at a time, each through the `gate`; [`request`] makes one attempt by an [`exchange`] over HTTP and judges the
//! answer, [`stream`] hands the record to Kafka and waits for the acknowledgement. [`extension`] finds the secrets that
//! monitors refer to. A target that fails is a record; an error is only what kept
//! the function from its work.

pub mod config;
mod deadline;
mod error;
pub mod exchange;
pub mod extension;
mod gate;
pub mod input;
pub mod monitors;
pub mod plan;
pub mod request;
mod run;
mod settled;
pub mod stream;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use futures::future::join_all;
use jiff::Timestamp;
use lambda_runtime::{LambdaEvent, tracing};
use serde_json::value::RawValue;
use tokio::sync::Mutex;

pub use crate::{
    config::ProbeConfig,
    error::ProbeError,
    run::{Summary, run},
};
use crate::{
    input::Tick,
    monitors::Monitors,
    request::Requester,
    settled::Settled,
    stream::{Connection, Publisher, topic},
};

/// How long secrets from outside are taken to be the same. The extension itself keeps them as long.
const SECRETS_FOR: Duration = Duration::from_secs(300);

/// What is made once per execution environment.
pub struct Probe {
    config: ProbeConfig,
    requester: Requester,
    publisher: Mutex<Option<Arc<Publisher>>>,
    monitors: Mutex<Option<(Arc<Monitors>, Instant)>>,
    is_warm: AtomicBool,
    settled: Mutex<Settled>,
}

impl Probe {
    /// Prepares the HTTP client; Kafka is connected to by [`Probe::connect`] or the first invocation.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(config: ProbeConfig) -> Result<Self, ProbeError> {
        let requester = Requester::new(&config)?;
        Ok(Self {
            config,
            requester,
            publisher: Mutex::new(None),
            monitors: Mutex::new(None),
            is_warm: AtomicBool::new(false),
            settled: Mutex::default(),
        })
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
        let config = &self.config.stream;
        let connection = Connection::open(config).await?;
        let made = Publisher::new(&connection, &config.topic).map_err(ProbeError::Publisher)?;
        publisher.take().map(Publisher::retire).unwrap_or_default();
        if let Some(partitions) = config.partitions
            && let Err(error) = topic::create(&connection, &config.topic, partitions).await
        {
            // The topic may be there all the same. If it is not, publishing says so.
            tracing::warn!("{error}");
        }
        Ok(Arc::clone(publisher.insert(Arc::new(made))))
    }

    /// The monitors of the configuration. Secrets from outside are fetched by invocations, since in the init phase the
    /// extension does not answer yet, and anew when they are old; if that fails, the old ones do.
    async fn monitors(&self) -> Result<Arc<Monitors>, ProbeError> {
        let mut monitors = self.monitors.lock().await;
        let references = self.config.source.outside();
        if let Some((monitors, read_at)) = monitors.as_ref()
            && (references.is_empty() || read_at.elapsed() < SECRETS_FOR)
        {
            return Ok(Arc::clone(monitors));
        }
        let resolved: BTreeMap<_, _> = match extension::client() {
            _ if references.is_empty() => BTreeMap::new(),
            Ok(client) => {
                let resolving = references.into_iter().map(async |reference| {
                    let value = self.config.extension.resolve(&client, &reference).await;
                    (reference, value)
                });
                join_all(resolving).await.into_iter().collect()
            }
            Err(error) => {
                let error = format!("failed to set up the client of the extension: {error}");
                references.into_iter().map(|reference| (reference, Err(error.clone()))).collect()
            }
        };
        let resolve = |reference: &str| resolved.get(reference).cloned().unwrap_or_else(|| Err(String::new()));
        match (self.config.source.read(&self.config.defaults, resolve), monitors.as_ref()) {
            (Ok(read), _) => {
                let (read, _) = monitors.insert((Arc::new(read), Instant::now()));
                Ok(Arc::clone(read))
            }
            (Err(mistakes), Some((before, _))) => {
                tracing::warn!("the monitors stay as they were: {}", mistakes.join("; "));
                let before = Arc::clone(before);
                *monitors = Some((Arc::clone(&before), Instant::now()));
                Ok(before)
            }
            (Err(mistakes), None) => Err(ProbeError::Monitors(mistakes)),
        }
    }

    /// Whether this is the first invocation; for the one that asks first.
    fn is_cold(&self) -> bool {
        !self.is_warm.swap(true, Relaxed)
    }
}

/// The Lambda handler: takes the event apart and hands it to [`run()`].
///
/// # Errors
/// Those of [`run()`], and an event that cannot be understood.
pub async fn handle(probe: &Probe, event: LambdaEvent<Box<RawValue>>) -> Result<Summary, ProbeError> {
    let tick = Tick::from_event(event.payload.get())?;
    let budget = deadline::budget(event.context.deadline, Timestamp::now());
    run(probe, tick, budget).await
}
