//! An invocation: the slots of a tick, many at a time, each accounted for.

use std::{borrow::Cow, collections::BTreeSet, sync::Arc, time::Duration};

use futures::{
    future::join,
    stream::{FuturesUnordered, StreamExt as _},
};
use jiff::Timestamp;
use lambda_runtime::tracing;
use serde::Serialize;
use shared::{
    Record,
    record::{Hop, Outcome},
};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::{
    Probe, ProbeError,
    gate::{Gate, KEPT_BODIES, PER_HOST},
    input::{InputError, Selection, Tick},
    monitors::{Monitor, Monitors},
    plan::{Pace, Slot, since, slots},
    request::{Circumstances, Requester},
    stream::publish::{PublishError, Publisher},
};

/// Kept back from the time of an invocation for Kafka, at most; of a short one, a fifth.
const PUBLISH_RESERVE: Duration = Duration::from_secs(3);
/// What a record tells of an error, or of where a redirect led, at most.
const MAX_TEXT_BYTES: usize = 2_048;
/// Before the second attempt; twice as long before each further one.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The answer of an invocation that did its work. `up + degraded + down + missed + repeated` is the number of slots, each with
/// its one verdict; `probed` is `up + degraded + down + retried`, and `published` is `probed + missed`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Summary {
    /// Requests made.
    pub probed: usize,
    /// Slots whose answer was as expected.
    pub up: usize,
    /// Slots whose answer was as expected, but slow.
    pub degraded: usize,
    /// Slots without an answer that was as expected, at the last attempt.
    pub down: usize,
    /// Requests that failed and were made again.
    pub retried: usize,
    /// Slots without a request that could tell anything.
    pub missed: usize,
    /// Slots that had their verdict before, since their tick was delivered again.
    pub repeated: usize,
    /// Records acknowledged by Kafka; anything but all of them is an error.
    pub published: usize,
    /// Time taken by the invocation, in milliseconds.
    pub elapsed_ms: u64,
    /// A sentence about what was done in another way than the event asks; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What the slots of an invocation share.
struct Invocation<'run> {
    requester: &'run Requester,
    publisher: &'run Publisher,
    monitors: &'run Monitors,
    is_cold: bool,
    /// One moment on both clocks.
    now: (Timestamp, Instant),
    /// Until when requests may take.
    last_request: Instant,
    gate: Gate<'run>,
}

/// What became of a record.
type Published = (Outcome, bool, Result<(), PublishError>);

/// Probes what the tick asks for, at most `WM_PROBE_CONCURRENCY` at a time and two of one host, publishes each record as
/// soon as it is there, and returns when all are acknowledged. Apart from [`handle`](crate::handle) so that it can be called
/// without Lambda.
///
/// A tick whose time is long past or far ahead is none of a schedule: it is [probed now](Tick::drop_implausible_time), as by hand.
///
/// Each slot ends as one verdict. What could not be probed, or not for as long as its timeout says, before only the time for
/// Kafka was left, is a record too: it was missed.
///
/// # Errors
/// Nothing to probe, no Kafka, or, with their count, records that were not acknowledged within `budget`.
pub async fn run(probe: &Probe, mut tick: Tick, budget: Duration) -> Result<Summary, ProbeError> {
    let (started, now) = (Instant::now(), Timestamp::now());
    let note = tick.drop_implausible_time(now);
    if let Some(note) = &note {
        tracing::warn!("{note}");
    }
    let deadline = started + budget;
    let preparing = async { Ok::<_, ProbeError>((monitors(probe, &tick).await?, probe.connect().await?)) };
    let (monitors, publisher) = timeout_at(deadline, preparing).await.map_err(|_| ProbeError::NoTime)??;

    let selected = select(&monitors, &tick, &probe.config.location)?;
    let pace = Pace { tick: probe.config.defaults.tick, spread: probe.config.spread };
    let mut slots = slots(&selected, tick.scheduled_at, now, pace);
    let mut settled = probe.settled.lock().await;
    let all = slots.len();
    // What an event brings along is not what the schedule asks for, by whatever name and time.
    let is_own = !matches!(tick.selection, Selection::Urls(_) | Selection::Monitors(_));
    slots.retain(|slot| !is_own || !settled.has(slot));
    let invocation = Invocation {
        requester: &probe.requester,
        publisher: &publisher,
        monitors: &monitors,
        is_cold: probe.is_cold(),
        now: (now, started),
        last_request: deadline - PUBLISH_RESERVE.min(budget / 5),
        gate: Gate::new(probe.config.concurrency, slots.iter().map(|slot| slot.monitor)),
    };
    let work = async |slot| (slot, invocation.work(slot).await);
    let mut working: FuturesUnordered<_> = slots.iter().map(work).collect();

    let (mut summary, mut records) = (Summary { repeated: all - slots.len(), note, ..Summary::default() }, 0);
    let mut failure = None;
    // Ends early only if Kafka takes longer than its reserve.
    while let Ok(Some((slot, published))) = timeout_at(deadline, working.next()).await {
        // That a slot was missed is told again: it is the same record.
        let is_verdict = |(outcome, _, acknowledged): &Published| *outcome != Outcome::Missed && acknowledged.is_ok();
        if is_own && published.iter().all(is_verdict) {
            settled.add(slot, now);
        }
        for (outcome, is_retried, acknowledged) in published {
            records += 1;
            summary.add(outcome, is_retried);
            match acknowledged {
                Ok(()) => summary.published += 1,
                Err(error) => failure = Some(error.to_string()),
            }
        }
    }
    summary.elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    records += working.len();
    // Metrics are made of this line, by the names in it.
    let Summary { probed, up, degraded, down, missed, retried, repeated, published, elapsed_ms, .. } = summary;
    tracing::info!(probed, up, degraded, down, missed, retried, repeated, published, elapsed_ms, "tick done");
    match records - summary.published {
        0 => Ok(summary),
        unacknowledged => {
            let no_time = || {
                let trouble = publisher.trouble().map(|trouble| format!("; {trouble}")).unwrap_or_default();
                format!("no time left after {} ms{trouble}", budget.as_millis())
            };
            Err(ProbeError::Unacknowledged { records, unacknowledged, reason: failure.unwrap_or_else(no_time) })
        }
    }
}

/// The monitors that a tick selects from: those of the configuration, or those that it carries.
async fn monitors(probe: &Probe, tick: &Tick) -> Result<Arc<Monitors>, ProbeError> {
    let defaults = &probe.config.defaults;
    let carried = match &tick.selection {
        Selection::Urls(urls) => Monitors::of_urls(urls, defaults).map_err(|mistakes| mistakes.join("; ")),
        // Without secrets: whoever may send an event need not be whoever may know them.
        Selection::Monitors(text) => Monitors::read(text, defaults, Default::default())
            .map_err(|mistakes| mistakes.iter().map(|mistake| format!("\n  monitors:{mistake}")).collect()),
        Selection::All | Selection::Ids(_) | Selection::Tags(_) => return probe.monitors().await,
    };
    Ok(Arc::new(carried.map_err(InputError)?))
}

/// The monitors that a tick asks for, of its shard and for this location.
fn select<'monitors>(
    monitors: &'monitors Monitors,
    tick: &Tick,
    location: &str,
) -> Result<Vec<&'monitors Monitor>, ProbeError> {
    let enabled = monitors.enabled.iter();
    let is_here = |monitor: &&Monitor| {
        let locations = &monitor.settings.locations;
        locations.is_empty() || locations.iter().any(|name| name == location)
    };
    let mut selected: Vec<_> = match &tick.selection {
        Selection::Ids(ids) => {
            let find = |id: &String| {
                let found = monitors.enabled.iter().find(|monitor| monitor.id.as_ref() == Some(id));
                found.ok_or_else(|| InputError(unknown(monitors, id)))
            };
            // Each once, however often it is named.
            let once = ids.iter().collect::<BTreeSet<_>>();
            once.into_iter().map(find).collect::<Result<_, _>>()?
        }
        Selection::Tags(tags) => {
            let has_one = |monitor: &&Monitor| monitor.settings.tags.iter().any(|tag| tags.contains(tag));
            let tagged: Vec<_> = enabled.filter(has_one).collect();
            if tagged.is_empty() {
                return Err(InputError(format!("no monitor that is enabled has a tag of {tags:?}")).into());
            }
            tagged.into_iter().filter(is_here).collect()
        }
        Selection::All if monitors.enabled.is_empty() => return Err(ProbeError::NoMonitors),
        Selection::All => enabled.filter(is_here).collect(),
        Selection::Urls(_) | Selection::Monitors(_) => enabled.collect(),
    };
    selected.retain(|monitor| tick.shard.is_none_or(|shard| shard.has(monitor)));
    Ok(selected)
}

fn unknown(monitors: &Monitors, id: &String) -> String {
    if monitors.disabled.contains(id) {
        return format!("the monitor {id:?} is not enabled");
    }
    let ids: Vec<_> = monitors.enabled.iter().filter_map(|monitor| monitor.id.as_deref()).take(10).collect();
    format!("there is no monitor {id:?}; there are {ids:?}")
}

impl Summary {
    fn add(&mut self, outcome: Outcome, is_retried: bool) {
        self.probed += usize::from(outcome != Outcome::Missed);
        let count = match outcome {
            _ if is_retried => &mut self.retried,
            Outcome::Up => &mut self.up,
            Outcome::Degraded => &mut self.degraded,
            Outcome::Down => &mut self.down,
            Outcome::Missed => &mut self.missed,
        };
        *count += 1;
    }
}

impl Invocation<'_> {
    /// Waits for the slot's time, makes as many attempts as it takes, and publishes a record of each.
    async fn work(&self, slot: &Slot<'_>) -> Vec<Published> {
        let starts_at = self.now.1 + since(self.now.0, slot.starts_at);
        if slot.is_over(self.now.0) {
            let late = since(slot.starts_at, self.now.0).as_secs();
            return vec![self.miss(slot, format!("its tick came {late} s late, when the next slot had begun")).await];
        }
        if starts_at >= self.last_request {
            let reason = "its time comes when the invocation has to end: give the function a longer timeout";
            return vec![self.miss(slot, reason.to_owned()).await];
        }
        sleep_until(starts_at).await;
        // On the heap, so that what waits is small.
        Box::pin(self.attempts(slot)).await
    }

    async fn attempts(&self, slot: &Slot<'_>) -> Vec<Published> {
        let settings = &slot.monitor.settings;
        let mut published = Vec::new();
        let mut failed: Option<Record> = None;
        let mut attempt = 1;
        loop {
            let permit = timeout_at(self.last_request, self.gate.enter(slot.monitor)).await;
            let time_left = self.last_request.saturating_duration_since(Instant::now());
            let circumstances = Circumstances { attempt, is_cold: self.is_cold, time_left };
            let record = match failed.take() {
                None if permit.is_err() || time_left.is_zero() => {
                    let at_a_time = self.gate.concurrency;
                    let reason = format!(
                        "no time left: it waited for others, {at_a_time} at a time, {PER_HOST} of one host, {KEPT_BODIES} of \
                             whose bodies something is expected"
                    );
                    published.push(self.miss(slot, reason).await);
                    return published;
                }
                None if slot.is_over(Timestamp::now()) => {
                    let reason = "when it had waited for others, the next slot had begun";
                    published.push(self.miss(slot, reason.to_owned()).await);
                    return published;
                }
                None => {
                    let record = self.requester.request(slot, circumstances, self.monitors).await;
                    drop(permit);
                    record
                }
                // An attempt that might not come to its end tells no more than the one before.
                Some(record) if permit.is_err() || time_left < settings.timeout => {
                    published.push(self.publish(record).await);
                    return published;
                }
                Some(before) => {
                    let before = self.publish(Record { retried: true, ..before });
                    let request = async {
                        let record = self.requester.request(slot, circumstances, self.monitors).await;
                        drop(permit);
                        record
                    };
                    let (before, record) = join(before, request).await;
                    published.push(before);
                    record
                }
            };
            let again_at = Instant::now() + RETRY_AFTER * 2_u32.pow(u32::from(attempt - 1));
            let is_last = attempt > settings.retries || again_at + settings.timeout > self.last_request;
            if record.outcome() != Outcome::Down || is_last {
                published.push(self.publish(record).await);
                return published;
            }
            failed = Some(record);
            sleep_until(again_at).await;
            attempt += 1;
        }
    }

    async fn miss(&self, slot: &Slot<'_>, reason: String) -> Published {
        self.publish(self.requester.missed(slot, reason)).await
    }

    async fn publish(&self, mut record: Record) -> Published {
        // What a target says may hold what it was sent.
        let texts = record.error.iter_mut().map(|error| &mut error.message);
        for text in texts.chain(record.hops.iter_mut().map(|Hop { url, .. }| url)) {
            if let Cow::Owned(masked) = self.monitors.mask(text) {
                *text = masked;
            }
            // After masking: a mask does not find a part of a secret.
            text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
        }
        (record.outcome(), record.retried, self.publisher.publish(&record).await)
    }
}
