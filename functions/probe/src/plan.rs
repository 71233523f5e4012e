//! Whose turn it is in a tick, and when: arithmetic on the schedule's time, without any state. Every location, and every
//! later invocation, comes to the same slots.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use twox_hash::XxHash3_64;

use crate::monitors::Monitor;

/// By how much the time of an event may be too early: EventBridge leaves out what is less than a second.
const TIME_OF_EVENTS: Duration = Duration::from_secs(1);
/// How late an event may come: EventBridge promises no more.
const LATENESS_OF_EVENTS: Duration = Duration::from_secs(60);

/// How slots follow each other.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How often the schedule asks.
    pub tick: Duration,
    /// Over how much time the starts of a slot are spread.
    pub spread: Duration,
}

/// A part of the monitors, so that one schedule for each part shares the work without a coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Which part, from 0.
    pub index: u32,
    /// Of how many.
    pub count: u32,
}

/// One probe that is to be made.
#[derive(Debug, Clone)]
pub struct Slot<'monitors> {
    /// Of what.
    pub monitor: &'monitors Monitor,
    /// The slot's time by the schedule; none for what is asked for by hand.
    pub scheduled_at: Option<Timestamp>,
    /// When it is to start: the slot's time and the monitor's place in the spread, or now.
    pub starts_at: Timestamp,
    /// When its probe would no longer be one of this slot: where another slot follows in the tick, when that begins; else
    /// an interval later, or a minute later if that is shorter. Never for what is asked for by hand.
    pub over_at: Option<Timestamp>,
}

/// What a hash is for, so that none follows from another.
#[derive(Clone, Copy)]
enum Purpose {
    Shard,
    Turn,
    Spread,
}

impl Shard {
    /// Whether a monitor is in this part: by a stable hash (XXH3) of its id, or of its URL where it has none.
    #[must_use]
    pub fn has(self, monitor: &Monitor) -> bool {
        hash(monitor, Purpose::Shard) % u64::from(self.count.max(1)) == u64::from(self.index)
    }
}

impl<'monitors> Slot<'monitors> {
    /// What is asked for by hand, or otherwise now.
    #[must_use]
    pub fn now(monitor: &'monitors Monitor, now: Timestamp) -> Self {
        Self { monitor, scheduled_at: None, starts_at: now, over_at: None }
    }

    /// Whether its time has passed.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.over_at.is_some_and(|over_at| now > over_at)
    }
}

/// The slots of a tick, in the order of their starts. A monitor whose interval is longer than the tick has one in some
/// ticks, and monitors of one interval have theirs in different ones; one whose interval is shorter has several in every
/// tick. Without a time of the schedule, each monitor has one, now.
#[must_use]
pub fn slots<'monitors>(
    monitors: &[&'monitors Monitor],
    scheduled_at: Option<Timestamp>,
    now: Timestamp,
    pace: Pace,
) -> Vec<Slot<'monitors>> {
    let Some(tick) = scheduled_at else {
        return monitors.iter().map(|monitor| Slot::now(monitor, now)).collect();
    };
    let mut slots = Vec::with_capacity(monitors.len());
    for &monitor in monitors {
        let interval = monitor.settings.interval.max(Duration::from_millis(1));
        if interval > pace.tick && !is_turn(monitor, tick, pace.tick) {
            continue;
        }
        // Within its slot and its tick, with room for the request.
        let spread = place(monitor, pace.spread.min(interval).min(pace.tick / 2));
        let mut offset = Duration::ZERO;
        while offset < pace.tick {
            let next = offset + interval;
            let over = if next < pace.tick { next } else { next.max(offset + LATENESS_OF_EVENTS) } + TIME_OF_EVENTS;
            // A schedule does not reach the end of the years that there are.
            let [scheduled_at, starts_at, over_at] =
                [offset, offset + spread, over].map(|offset| tick.checked_add(offset).unwrap_or(Timestamp::MAX));
            slots.push(Slot { monitor, scheduled_at: Some(scheduled_at), starts_at, over_at: Some(over_at) });
            offset = next;
        }
    }
    slots.sort_by_key(|slot| slot.starts_at);
    slots
}

/// Whether a tick is the one in its interval that a hash of the monitor picks.
fn is_turn(monitor: &Monitor, tick: Timestamp, length: Duration) -> bool {
    let length = i64::try_from(length.as_millis().max(1)).unwrap_or(i64::MAX);
    let interval = i64::try_from(monitor.settings.interval.as_millis()).unwrap_or(i64::MAX);
    let ticks = (interval / length).max(1);
    // To the nearest, since the time of an event may be somewhat before or after its tick.
    let number = tick.as_millisecond().saturating_add(length / 2).div_euclid(length);
    let turn = i64::try_from(hash(monitor, Purpose::Turn) % ticks.unsigned_abs()).unwrap_or(0);
    number.rem_euclid(ticks) == turn
}

/// A monitor's place within a span of time, the same in every slot.
fn place(monitor: &Monitor, span: Duration) -> Duration {
    let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    if micros == 0 { Duration::ZERO } else { Duration::from_micros(hash(monitor, Purpose::Spread) % micros) }
}

fn hash(monitor: &Monitor, purpose: Purpose) -> u64 {
    XxHash3_64::oneshot_with_seed(purpose as u64, monitor.name().as_bytes())
}

/// The time from one instant to a later one; nothing where it is not later.
pub(crate) fn since(earlier: Timestamp, later: Timestamp) -> Duration {
    let distance: SignedDuration = later.duration_since(earlier);
    Duration::try_from(distance).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::monitors::Defaults;

    const PACE: Pace = Pace { tick: Duration::from_secs(60), spread: Duration::ZERO };

    fn monitor(name: &str, seconds: u64) -> Monitor {
        let timeout = Duration::from_secs(10);
        let defaults = Defaults { timeout, connect_timeout: timeout, tick: PACE.tick };
        let mut monitor = Monitor::of_url("https://a.test/", &defaults).unwrap();
        monitor.id = Some(name.to_owned());
        monitor.settings.interval = Duration::from_secs(seconds);
        monitor
    }

    fn instant(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn times(monitor: &Monitor, tick: &str, pace: Pace) -> Vec<String> {
        let slots = slots(&[monitor], Some(instant(tick)), instant(tick), pace);
        slots.iter().map(|slot| slot.scheduled_at.unwrap().to_string()).collect()
    }

    #[test]
    fn a_monitor_of_the_ticks_interval_has_one_slot_at_its_time() {
        assert_eq!(times(&monitor("a", 60), "2026-11-23T12:00:00Z", PACE), ["2026-11-23T12:00:00Z"]);
    }

    #[test]
    fn a_slower_monitor_has_one_tick_in_its_interval_however_exact_the_schedule_is() {
        for name in ["a", "b", "c", "d"] {
            let monitor = monitor(name, 300);
            for second in ["00", "01", "29", "37"] {
                let ticks = (0..60).filter(|minute| {
                    !times(&monitor, &format!("2026-11-23T12:{minute:02}:{second}Z"), PACE).is_empty()
                });
                let ticks = Vec::from_iter(ticks);
                assert_eq!(ticks.len(), 12, "{ticks:?}");
                assert!(ticks.windows(2).all(|pair| pair[1] - pair[0] == 5), "{ticks:?}");
            }
            // A second too early is the same tick.
            let early = (0..60).filter(|minute| {
                let tick = instant(&format!("2026-11-23T12:{minute:02}:00Z")) - SignedDuration::from_secs(1);
                !slots(&[&monitor], Some(tick), tick, PACE).is_empty()
            });
            assert_eq!(early.count(), 12);
        }
        // They do not all come in one tick.
        let turns: BTreeSet<_> = (0..50).map(|n| hash(&monitor(&n.to_string(), 300), Purpose::Turn) % 5).collect();
        assert_eq!(turns.len(), 5);
    }

    #[test]
    fn a_faster_monitor_has_several_slots_in_a_tick() {
        let expected = ["2026-11-23T12:00:00Z", "2026-11-23T12:00:20Z", "2026-11-23T12:00:40Z"];
        assert_eq!(times(&monitor("a", 20), "2026-11-23T12:00:00Z", PACE), expected);
    }

    #[test]
    fn starts_are_spread_and_always_at_the_same_place() {
        let pace = Pace { spread: Duration::from_secs(10), ..PACE };
        let monitors: Vec<_> = (0..1_000).map(|n| monitor(&format!("monitor-{n}"), 60)).collect();
        let monitors: Vec<_> = monitors.iter().collect();
        let tick = instant("2026-11-23T12:00:00Z");
        let places = |tick: Timestamp| {
            let slots = slots(&monitors, Some(tick), tick, pace);
            assert!(slots.is_sorted_by_key(|slot| slot.starts_at));
            Vec::from_iter(slots.iter().map(|slot| since(tick, slot.starts_at)))
        };

        let first = places(tick);
        assert_eq!(first, places(instant("2026-11-23T12:01:00Z")));
        for second in 0..10 {
            let starts = first.iter().filter(|place| place.as_secs() == second).count();
            assert!((60..140).contains(&starts), "{starts} in second {second}");
        }
    }

    #[test]
    fn what_is_asked_for_by_hand_comes_once_and_now() {
        let now = instant("2026-11-23T12:00:30Z");
        let (slow, fast) = (monitor("slow", 3_600), monitor("fast", 10));
        let slots = slots(&[&slow, &fast], None, now, PACE);

        assert_eq!(slots.len(), 2);
        assert!(slots.iter().all(|slot| slot.scheduled_at.is_none() && slot.starts_at == now));
        assert!(!slots[0].is_over(instant("2030-01-01T00:00:00Z")));
    }

    #[test]
    fn a_slot_is_over_when_the_next_one_has_come() {
        let monitor = monitor("a", 60);
        let tick = instant("2026-11-23T12:00:00Z");
        let slots = slots(&[&monitor], Some(tick), tick, PACE);

        assert!(!slots[0].is_over(instant("2026-11-23T12:01:01Z")));
        assert!(slots[0].is_over(instant("2026-11-23T12:01:01.001Z")));
        assert!(!slots[0].is_over(instant("2026-11-23T11:00:00Z")));

        // Of several in a tick, only the last has to wait for what comes late.
        let monitor = self::monitor("a", 20);
        let slots = self::slots(&[&monitor], Some(tick), tick, PACE);
        let over = slots.iter().map(|slot| since(tick, slot.over_at.unwrap()).as_secs());
        assert_eq!(Vec::from_iter(over), [21, 41, 101]);
    }

    #[test]
    fn each_monitor_is_in_one_shard_and_shards_are_of_a_size() {
        let monitors: Vec<_> = (0..1_600).map(|n| monitor(&format!("monitor-{n}"), 60)).collect();
        let mut seen = 0;
        for index in 0..16 {
            let size = monitors.iter().filter(|monitor| Shard { index, count: 16 }.has(monitor)).count();
            assert!((60..140).contains(&size), "{size} in shard {index}");
            seen += size;
        }
        assert_eq!(seen, 1_600);
        // Pinned: another release has to come to the same parts.
        let shard = (0..16).find(|&index| Shard { index, count: 16 }.has(&monitor("homepage", 60)));
        assert_eq!(shard, Some(2));
    }
}
