//! The slots of the configuration that have their verdict. A schedule delivers each tick at least once: when one comes twice,
//! what is settled is not probed again.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use jiff::{SignedDuration, Timestamp};

use crate::plan::Slot;

/// How long slots are remembered: longer than the ten minutes after which Lambda drops an event that could not be delivered.
const REMEMBERED: SignedDuration = SignedDuration::from_mins(15);

/// What this execution environment knows of; another one knows nothing of it.
#[derive(Debug, Default)]
pub(crate) struct Settled(BTreeSet<(Timestamp, u64)>);

impl Settled {
    /// Whether the slot has its verdict. One that was asked for by hand never has.
    pub(crate) fn has(&self, slot: &Slot<'_>) -> bool {
        key(slot).is_some_and(|key| self.0.contains(&key))
    }

    /// Notes that Kafka has its verdict, and forgets what is long past `now`.
    pub(crate) fn add(&mut self, slot: &Slot<'_>, now: Timestamp) {
        let past = now.checked_sub(REMEMBERED).unwrap_or(Timestamp::MIN);
        self.0.extend(key(slot));
        self.0 = self.0.split_off(&(past, 0));
    }
}

/// The time of a slot and a hash of its name, since there may be many: that two names of one time have the same is not to be
/// expected.
fn key(slot: &Slot<'_>) -> Option<(Timestamp, u64)> {
    let mut hasher = DefaultHasher::new();
    slot.monitor.name().hash(&mut hasher);
    slot.scheduled_at.map(|time| (time, hasher.finish()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::monitors::{Defaults, Monitor};

    #[test]
    fn what_is_settled_is_known_for_a_while_and_what_is_asked_for_by_hand_never() {
        let second = Duration::from_secs(1);
        let defaults = Defaults { timeout: second, connect_timeout: second, tick: second };
        let [one, other] = ["https://a.test/", "https://b.test/"].map(|url| Monitor::of_url(url, &defaults).unwrap());
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let slot = |monitor, minutes| {
            let time = now + SignedDuration::from_mins(minutes);
            Slot { monitor, scheduled_at: Some(time), starts_at: time, over_at: None }
        };
        let mut settled = Settled::default();

        settled.add(&slot(&one, 0), now);
        settled.add(&Slot::now(&one, now), now);
        assert!(settled.has(&slot(&one, 0)));
        assert!(!settled.has(&slot(&other, 0)) && !settled.has(&slot(&one, 1)) && !settled.has(&Slot::now(&one, now)));

        let later = |minutes| now + SignedDuration::from_mins(minutes);
        settled.add(&slot(&other, 15), later(15));
        assert!(settled.has(&slot(&one, 0)));
        settled.add(&slot(&other, 15), later(16));
        assert!(!settled.has(&slot(&one, 0)) && settled.has(&slot(&other, 15)));
    }
}
