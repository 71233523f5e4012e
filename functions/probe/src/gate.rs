//! Who may start: so many at a time, two of one host, and one after the other. What two hundred requests that start at once
//! do to each other would else be charged to their targets: each waits for the client's work on those before.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use tokio::{
    sync::{Mutex, Semaphore, SemaphorePermit},
    task::yield_now,
    time::sleep_until,
};

use crate::monitors::Monitor;

/// Requests to one host at a time.
pub(crate) const PER_HOST: usize = 2;
/// Requests whose bodies are kept until they are looked at, at a time: each may be a mebibyte.
pub(crate) const KEPT_BODIES: usize = 48;
/// From one start to the next, on average.
const START_GAP: Duration = Duration::from_micros(250);
/// How far behind that starts may be and still make up for it: the clock that wakes them has milliseconds.
const MAX_BURST: Duration = Duration::from_millis(2);
/// A turn of the runtime in which nobody had anything to do takes no longer than this.
const QUIET_TURN: Duration = Duration::from_micros(15);
/// For how long a start is put off where others have something to do all the time.
const MAX_WAIT_FOR_QUIET: Duration = Duration::from_millis(50);

/// The gate that the requests of an invocation go through.
pub(crate) struct Gate<'monitors> {
    /// Requests at a time.
    pub(crate) concurrency: usize,
    permits: Semaphore,
    hosts: HashMap<&'monitors str, Semaphore>,
    bodies: Semaphore,
    /// Held by whoever is about to start, and when the next may.
    next_start: Mutex<Instant>,
}

/// What a request holds until it is done.
pub(crate) struct Entered<'gate> {
    _of_host: Option<SemaphorePermit<'gate>>,
    _of_body: Option<SemaphorePermit<'gate>>,
    _permit: Option<SemaphorePermit<'gate>>,
}

impl<'monitors> Gate<'monitors> {
    /// A gate for these monitors, so many at a time.
    pub(crate) fn new(concurrency: usize, monitors: impl Iterator<Item = &'monitors Monitor>) -> Self {
        Self {
            concurrency,
            permits: Semaphore::new(concurrency),
            hosts: monitors.map(|monitor| (host(monitor), Semaphore::new(PER_HOST))).collect(),
            bodies: Semaphore::new(KEPT_BODIES),
            next_start: Mutex::new(Instant::now()),
        }
    }

    /// Waits until a request may start.
    pub(crate) async fn enter(&self, monitor: &Monitor) -> Entered<'_> {
        // First that of the host, then that of the body: who waits for the first keeps nobody else waiting, who waits for the second
        // only those of its host. None is ever closed.
        let of_host = match self.hosts.get(host(monitor)) {
            Some(host) => host.acquire().await.ok(),
            None => None,
        };
        let of_body = match monitor.settings.expect.body.is_empty() {
            false => self.bodies.acquire().await.ok(),
            true => None,
        };
        let permit = self.permits.acquire().await.ok();
        let mut next_start = self.next_start.lock().await;
        let now = Instant::now();
        *next_start = now.checked_sub(MAX_BURST).unwrap_or(now).max(*next_start);
        sleep_until((*next_start).into()).await;
        *next_start += START_GAP;
        quiet().await;
        Entered { _of_host: of_host, _of_body: of_body, _permit: permit }
    }
}

/// The host whose requests are counted together.
fn host(monitor: &Monitor) -> &str {
    monitor.target.0.host_str().unwrap_or_default()
}

/// Waits until nothing has arrived for anybody, or for long enough.
async fn quiet() {
    let started = Instant::now();
    let mut before = started;
    while before.duration_since(started) < MAX_WAIT_FOR_QUIET {
        // Comes back when the runtime has asked the system for what has arrived, and all of that had its turn.
        yield_now().await;
        let now = Instant::now();
        if now.duration_since(before) < QUIET_TURN {
            return;
        }
        before = now;
    }
}
