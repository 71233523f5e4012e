//! Lambda, as a trigger may meet it at its worst: instances of flush that are killed, frozen and thawed, answers that are
//! lost, and batches that come twice at once, in halves, or after later ones.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Result, anyhow, bail};
use fastrand::Rng;
use nix::sys::signal::{Signal, kill};
use serde_json::Value;
use tokio::{
    join,
    sync::oneshot,
    time::{sleep, timeout},
};

use super::faults::Faults;
use crate::{
    event_source::Invoke,
    instance::{Instance, InvokeError},
};

/// What Lambda would give an invocation.
const LIMIT: Duration = Duration::from_secs(30);
/// How many earlier batches are kept, to come again.
const EARLIER: usize = 32;

/// Invocations of flush that were killed.
pub const KILLS: &str = "flush killed in an invocation";
/// Invocations that ran beside another one of the same records.
pub const OVERLAPS: &str = "invocations beside another of the same records";

/// Invocations of flush that ended its process by themselves: there is to be none.
pub const ENDED: &str = "flush ended by itself";

/// Runs instances of flush, well or badly.
pub struct Lambda {
    program: PathBuf,
    variables: Vec<(&'static str, String)>,
    log: PathBuf,
    idle: Mutex<Vec<Instance>>,
    random: Mutex<Rng>,
    /// Of invocations that went well, in microseconds: when to strike.
    typical: AtomicU64,
    earlier: Mutex<VecDeque<Value>>,
    faults: Arc<Faults>,
    /// Of a hundred invocations, how many meet a fault.
    severity: AtomicU8,
    /// Records delivered so far, of batches that came to their end.
    delivered: AtomicU64,
}

enum Fault {
    Kill,
    LoseAnswer,
    Freeze,
    Twice,
    Halves,
    Earlier,
}

impl Lambda {
    /// An environment for `program` with these variables; of a hundred invocations, `severity` meet a fault.
    #[must_use]
    pub fn new(
        program: PathBuf,
        variables: Vec<(&'static str, String)>,
        log: PathBuf,
        faults: Arc<Faults>,
        random: Rng,
        severity: u8,
    ) -> Self {
        Self {
            program,
            variables,
            log,
            idle: Mutex::default(),
            random: Mutex::new(random),
            typical: AtomicU64::new(30_000),
            earlier: Mutex::default(),
            faults,
            severity: AtomicU8::new(severity),
            delivered: AtomicU64::new(0),
        }
    }

    /// From now on, nothing goes wrong.
    pub fn calm_down(&self) {
        self.severity.store(0, Relaxed);
    }

    /// Records in the batches that came to their end.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Relaxed)
    }

    fn fault(&self) -> Option<Fault> {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        if random.u8(0..100) >= self.severity.load(Relaxed) {
            return None;
        }
        // Half of them kills.
        Some(match random.u8(0..10) {
            0..5 => Fault::Kill,
            5 => Fault::LoseAnswer,
            6 => Fault::Freeze,
            7 => Fault::Twice,
            8 => Fault::Halves,
            _ => Fault::Earlier,
        })
    }

    /// A moment within an invocation, or shortly after it.
    fn moment(&self) -> Duration {
        let share = self.random.lock().unwrap_or_else(PoisonError::into_inner).f64() * 1.2;
        Duration::from_micros(self.typical.load(Relaxed)).mul_f64(share)
    }

    fn millis(&self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.random.lock().unwrap_or_else(PoisonError::into_inner).u64(range))
    }

    async fn instance(&self) -> Result<Instance> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(instance) => Ok(instance),
            None => Instance::start(&self.program, &self.variables, Some(&self.log)).await,
        }
    }

    fn put_back(&self, instance: Instance) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(instance);
    }

    /// An invocation that nobody interferes with.
    async fn alone(&self, event: &Value) -> Result<Value> {
        let mut instance = self.instance().await?;
        match instance.invoke(event, LIMIT).await {
            Ok((answer, took)) => {
                let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                self.typical.store((self.typical.load(Relaxed) * 7 + micros) / 8, Relaxed);
                self.put_back(instance);
                Ok(answer)
            }
            Err(InvokeError::Failed(reason)) => {
                self.faults.failed(&reason);
                self.put_back(instance);
                bail!(reason)
            }
            Err(error) => {
                if matches!(error, InvokeError::Ended(_)) {
                    self.faults.hit(ENDED);
                }
                Err(error.into())
            }
        }
    }

    async fn killed(&self, event: &Value) -> Result<Value> {
        let mut instance = self.instance().await?;
        let (pid, moment) = (instance.pid(), self.moment());
        let mut is_struck = false;
        let answer = {
            let mut invocation = std::pin::pin!(instance.invoke(event, LIMIT));
            tokio::select! {
                answer = &mut invocation => answer,
                () = sleep(moment) => {
                    kill(pid, Signal::SIGKILL)?;
                    is_struck = true;
                    invocation.await
                }
            }
        };
        match answer {
            Ok((answer, _)) => {
                // It may have been struck when it had answered.
                if !is_struck {
                    self.put_back(instance);
                }
                Ok(answer)
            }
            Err(InvokeError::Ended(status)) => {
                self.faults.hit(if is_struck { KILLS } else { ENDED });
                bail!("killed ({status})")
            }
            Err(InvokeError::Failed(reason)) => {
                self.faults.failed(&reason);
                bail!(reason)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// An invocation that is frozen in the middle and taken for one that took too long. It is thawed later, while its batch is
    /// delivered again: a transaction that was forgotten goes on.
    async fn frozen(self: &Arc<Self>, event: &Value) -> Result<Value> {
        let mut instance = self.instance().await?;
        let (moment, thaw) = (self.moment(), self.millis(50..1_500));
        let (told, result) = oneshot::channel();
        let (lambda, event) = (Arc::clone(self), event.clone());
        tokio::spawn(async move {
            let pid = instance.pid();
            let mut invocation = std::pin::pin!(instance.invoke(&event, LIMIT));
            let answer = tokio::select! {
                answer = &mut invocation => answer,
                () = sleep(moment) => {
                    if kill(pid, Signal::SIGSTOP).is_ok() {
                        let _ = told.send(Err(anyhow!("frozen, and taken for one that timed out")));
                        sleep(thaw).await;
                        let _ = kill(pid, Signal::SIGCONT);
                        let answer = timeout(LIMIT, invocation).await;
                        if matches!(answer, Ok(Ok(_))) {
                            lambda.faults.hit("flush frozen, and thawed when its batch had come again");
                            lambda.faults.hit(OVERLAPS);
                        }
                    }
                    return;
                }
            };
            let _ = told.send(answer.map(|(answer, _)| answer).map_err(Into::into));
        });
        result.await?
    }

    /// The batch as two, the later one first, at once.
    async fn halves(&self, event: &Value) -> Result<Value> {
        let [earlier, later] = halves(event);
        let (later, earlier) = join!(self.alone(&later), self.alone(&earlier));
        self.faults.hits("batches in halves, the later one first", (earlier.is_ok() && later.is_ok()).into());
        earlier.and(later)
    }
}

impl Invoke for Arc<Lambda> {
    async fn invoke(&self, event: &Value) -> Result<Value> {
        let result = match self.fault() {
            None => self.alone(event).await,
            Some(Fault::Kill) => self.killed(event).await,
            Some(Fault::LoseAnswer) => {
                self.alone(event).await?;
                self.faults.hit("answers of flush lost");
                bail!("its answer was lost")
            }
            Some(Fault::Freeze) => self.frozen(event).await,
            Some(Fault::Twice) => {
                let (one, other) = join!(self.alone(event), self.alone(event));
                self.faults.hits(OVERLAPS, (one.is_ok() && other.is_ok()).into());
                one.and(other)
            }
            Some(Fault::Halves) => self.halves(event).await,
            Some(Fault::Earlier) => {
                let earlier = {
                    let earlier = self.earlier.lock().unwrap_or_else(PoisonError::into_inner);
                    let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
                    random.choice(earlier.iter()).cloned()
                };
                match earlier {
                    Some(earlier) => {
                        let (answer, again) = join!(self.alone(event), self.alone(&earlier));
                        self.faults.hits("batches again after later ones", again.is_ok().into());
                        answer
                    }
                    None => self.alone(event).await,
                }
            }
        };
        if let Ok(answer) = &result {
            self.delivered.fetch_add(answer["received"].as_u64().unwrap_or_default(), Relaxed);
            let mut earlier = self.earlier.lock().unwrap_or_else(PoisonError::into_inner);
            if earlier.len() == EARLIER {
                earlier.pop_front();
            }
            earlier.push_back(event.clone());
        }
        result
    }
}

/// The records of an event in two events.
fn halves(event: &Value) -> [Value; 2] {
    let mut halves = [event.clone(), event.clone()];
    let partitions = event["records"].as_object();
    for (name, records) in partitions.into_iter().flatten() {
        let records = records.as_array().map(Vec::as_slice).unwrap_or_default();
        let (earlier, later) = records.split_at(records.len() / 2);
        halves[0]["records"][name] = earlier.into();
        halves[1]["records"][name] = later.into();
    }
    halves
}
