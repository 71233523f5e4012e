//! The real probe in a storm: ticks that are killed, frozen, and delivered twice, and what becomes of their slots.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;
use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use nix::sys::signal::{Signal, kill};
use serde_json::Value;
use shared::{Micros, timestamp};
use tokio::time::sleep;
use tokio_postgres::Client;

use super::faults::Faults;
use crate::{
    instance::{Instance, InvokeError},
    schedule::rule_event,
};

/// What Lambda would give an invocation.
const LIMIT: Duration = Duration::from_secs(30);

/// The ticks so far, by their times, and whether probe said that each record of it is in the topic.
pub type Ticks = BTreeMap<Timestamp, bool>;

/// What became of the slots.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Slots {
    /// Slots of all ticks.
    pub slots: u64,
    /// With one verdict, or one note that they were missed.
    pub one: u64,
    /// With none, of a tick that was killed: a gap that coverage shows.
    pub none: u64,
    /// With none, though probe said that all is well.
    pub lost: u64,
    /// With more than one.
    pub doubled: u64,
    /// Verdicts of slots that no tick had.
    pub stray: u64,
}

/// Runs probe.
pub struct Prober {
    /// Its program.
    pub program: PathBuf,
    /// Its variables; what they name is probed every second.
    pub variables: Vec<(&'static str, String)>,
    /// Where its output goes.
    pub log: PathBuf,
}

impl Prober {
    /// A tick a second, for ever, some of which go wrong; `ticks` has what became of them.
    ///
    /// # Errors
    /// probe does not start.
    pub async fn run(&self, random: &mut Rng, faults: &Faults, ticks: &mut Ticks) -> Result<Infallible> {
        let mut instance = None;
        loop {
            let now = timestamp::now().round(jiff::Unit::Second)?;
            let next = ticks.last_key_value().map(|(last, _)| *last + SignedDuration::from_secs(1));
            let tick = next.map_or(now, |next| next.max(now));
            sleep(Duration::try_from(tick.duration_since(timestamp::now())).unwrap_or_default()).await;
            ticks.insert(tick, false);
            let mut running = match instance.take() {
                Some(instance) => instance,
                None => start(&self.program, &self.variables, &self.log).await?,
            };
            let event = rule_event(tick);
            let answer = match random.u8(0..10) {
                0..3 => strike(&mut running, &event, random, Signal::SIGKILL, faults).await,
                3 => strike(&mut running, &event, random, Signal::SIGSTOP, faults).await,
                _ => running.invoke(&event, LIMIT).await,
            };
            match answer {
                Ok(_) => {
                    ticks.insert(tick, true);
                    if random.u8(0..4) == 0 && running.invoke(&event, LIMIT).await.is_ok() {
                        faults.hit("ticks delivered twice");
                    }
                    instance = Some(running);
                }
                Err(InvokeError::Ended(_)) => faults.hit("probe killed in an invocation"),
                Err(InvokeError::Failed(_)) => {
                    faults.hit("ticks that failed, since Kafka was away");
                    instance = Some(running);
                }
                Err(error @ InvokeError::TimedOut(_)) => return Err(error.into()),
            }
        }
    }
}

async fn start(program: &Path, variables: &[(&str, String)], log: &Path) -> Result<Instance> {
    Instance::start(program, variables, Some(log)).await
}

/// An invocation in which a signal comes; one that stops it is followed by the one that lets it go on.
async fn strike(
    instance: &mut Instance,
    event: &Value,
    random: &mut Rng,
    signal: Signal,
    faults: &Faults,
) -> Result<(Value, Duration), InvokeError> {
    let pid = instance.pid();
    let mut invocation = std::pin::pin!(instance.invoke(event, LIMIT));
    tokio::select! {
        answer = &mut invocation => return answer,
        () = sleep(Duration::from_millis(random.u64(0..250))) => {}
    }
    // It is there: its end has not been seen.
    let _ = kill(pid, signal);
    if signal == Signal::SIGSTOP {
        sleep(Duration::from_millis(random.u64(200..1_500))).await;
        let _ = kill(pid, Signal::SIGCONT);
        faults.hit("ticks of probe frozen and thawed");
    }
    invocation.await
}

/// Counts what the slots of `targets` targets a tick ended as.
///
/// # Errors
/// The database failed.
pub async fn count_slots(client: &Client, ticks: &Ticks, targets: u64) -> Result<Slots> {
    let query = "select scheduled_at, count(*) from probes where scheduled_at is not null
                 group by scheduled_at, target_id";
    let mut verdicts: BTreeMap<Micros, Vec<i64>> = BTreeMap::new();
    for row in client.query(query, &[]).await? {
        verdicts.entry(row.try_get(0)?).or_default().push(row.try_get(1)?);
    }
    let mut slots = Slots::default();
    for (tick, is_answered) in ticks {
        let of_tick = verdicts.remove(&Micros::from(*tick)).unwrap_or_default();
        let one = of_tick.iter().filter(|count| **count == 1).count() as u64;
        let doubled = of_tick.len() as u64 - one;
        let none = targets - of_tick.len() as u64;
        slots.slots += targets;
        slots.one += one;
        slots.doubled += doubled;
        *(if *is_answered { &mut slots.lost } else { &mut slots.none }) += none;
    }
    slots.stray = verdicts.values().flatten().map(|count| count.unsigned_abs()).sum();
    Ok(slots)
}
