//! What the file of monitors says of targets, as their records carry it: it changes with a deployment, and is not to stand in
//! every row.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use shared::{Micros, history::block::Owner, record::Record};
use tokio_postgres::{
    Client, Error,
    types::{ToSql, Type},
};

use crate::row::Row;

/// What was said of each target, location by location, as far as this connection has seen.
pub(crate) struct Settings {
    /// When what is known was last forgotten: somebody else may have stored something else since.
    since: Instant,
    /// In the order of time.
    known: HashMap<Owner, Vec<Said>>,
    /// Those that are to be stored, in an order in which two instances do not deadlock.
    changed: BTreeSet<(Owner, Micros)>,
}

/// What records say of their target.
struct Said {
    /// The first and the last slot of which it was said.
    since: Micros,
    until: Micros,
    /// `None` where no schedule asked: the interval goes on.
    interval_ms: Option<u32>,
    tags: Vec<String>,
}

/// How long after its slot a probe starts, at most, for the slot to be one of its schedule; longer where the interval is.
const MAX_LATE: i64 = 15 * 60 * 1_000_000;

/// For how long what is known is taken to be what is stored.
const KNOWN_FOR: Duration = Duration::from_secs(60);

impl Default for Settings {
    fn default() -> Self {
        Self { since: Instant::now(), known: HashMap::new(), changed: BTreeSet::new() }
    }
}

/// The interval that a record says and since when it holds: since its slot, as its probe started a moment later, each time
/// another one. A record whose slot is not about when its probe started was asked for by hand, or by a clock that is wrong:
/// it says no interval.
fn schedule(record: &Record, probed_at: Micros) -> (Option<u32>, Micros) {
    let Some(interval_ms) = record.interval_ms else { return (None, probed_at) };
    let Some(slot) = record.scheduled_at.map(Micros::from) else { return (Some(interval_ms), probed_at) };
    let late = probed_at.0.saturating_sub(slot.0);
    if late.saturating_abs() > MAX_LATE.max(i64::from(interval_ms).saturating_mul(1_000)) {
        return (None, probed_at);
    }
    (Some(interval_ms), slot.min(probed_at))
}

impl Said {
    /// Whether this goes on with such an interval and tags.
    fn goes_on(&self, interval_ms: Option<u32>, tags: &[String]) -> bool {
        (interval_ms.is_none() || self.interval_ms == interval_ms) && self.tags == tags
    }
}

impl Settings {
    /// Looks at what the record of a row says. One that no schedule asked for says its tags, if it has any.
    pub(crate) fn see(&mut self, row: &Row<'_>) {
        let record = &row.observation.record;
        let (interval_ms, at) = schedule(record, row.key.probed_at);
        if interval_ms.is_none() && record.tags.is_empty() {
            return;
        }
        let owner = (row.key.target_id, row.location_id);
        let said = self.known.entry(owner).or_default();
        let next = said.partition_point(|said| said.since <= at);
        if let Some(before) = next.checked_sub(1).and_then(|before| said.get_mut(before)) {
            if before.goes_on(interval_ms, &record.tags) {
                before.until = before.until.max(at);
                return;
            }
            // Others said something else before this and after it.
            if at <= before.until {
                return;
            }
        }
        let is_same = |after: &&mut Said| after.interval_ms == interval_ms && after.tags == record.tags;
        match said.get_mut(next).filter(is_same) {
            // It was so earlier than was known.
            Some(after) => after.since = at,
            None => {
                let tags = record.tags.clone();
                said.insert(next, Said { since: at, until: at, interval_ms, tags });
            }
        }
        self.changed.insert((owner, at));
    }

    /// Stores what is not as it was before.
    pub(crate) async fn store(&self, client: &Client) -> Result<(), Error> {
        let said = |(owner, since): &(Owner, Micros)| {
            let said = self.known.get(owner)?.iter().find(|said| said.since == *since)?;
            Some((*owner, said))
        };
        let said: Vec<_> = self.changed.iter().filter_map(said).collect();
        if said.is_empty() {
            return Ok(());
        }
        let (targets, locations): (Vec<i32>, Vec<i16>) = said.iter().map(|(owner, _)| *owner).unzip();
        let intervals: Vec<_> = said.iter().map(|(_, said)| said.interval_ms.map(u32::cast_signed)).collect();
        let tags: Vec<_> = said.iter().map(|(_, said)| serde_json::json!(said.tags).to_string()).collect();
        let since: Vec<_> = said.iter().map(|(_, said)| said.since).collect();
        let parameters: [(&(dyn ToSql + Sync), Type); 5] = [
            (&targets, Type::INT4_ARRAY),
            (&locations, Type::INT2_ARRAY),
            (&intervals, Type::INT4_ARRAY),
            (&tags, Type::TEXT_ARRAY),
            (&since, Type::TIMESTAMPTZ_ARRAY),
        ];
        client.execute_typed(include_str!("insert_settings.sql"), &parameters).await.map(drop)
    }

    /// What was to be stored is.
    pub(crate) fn stored(&mut self) {
        self.changed.clear();
        if self.since.elapsed() > KNOWN_FOR {
            *self = Self::default();
        }
    }
}
