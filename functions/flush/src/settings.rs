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
    interval_ms: Option<u32>,
    tags: Vec<String>,
}

/// For how long what is known is taken to be what is stored.
const KNOWN_FOR: Duration = Duration::from_secs(60);

impl Default for Settings {
    fn default() -> Self {
        Self { since: Instant::now(), known: HashMap::new(), changed: BTreeSet::new() }
    }
}

impl Said {
    fn is_of(&self, record: &Record) -> bool {
        self.interval_ms == record.interval_ms && self.tags == record.tags
    }
}

impl Settings {
    /// Looks at what the record of a row says. One that no schedule asked for says nothing.
    pub(crate) fn see(&mut self, row: &Row<'_>) {
        let record = &row.observation.record;
        if record.interval_ms.is_none() {
            return;
        }
        let owner = (row.key.target_id, row.location_id);
        // Since its slot: its probe started a moment later, each time another one.
        let at = record.scheduled_at.map(Micros::from).filter(|slot| *slot <= row.key.probed_at);
        let at = at.unwrap_or(row.key.probed_at);
        let said = self.known.entry(owner).or_default();
        let next = said.partition_point(|said| said.since <= at);
        if let Some(before) = next.checked_sub(1).and_then(|before| said.get_mut(before)) {
            if before.is_of(record) {
                before.until = before.until.max(at);
                return;
            }
            // Others said something else before this and after it.
            if at <= before.until {
                return;
            }
        }
        match said.get_mut(next).filter(|after| after.is_of(record)) {
            // It was so earlier than was known.
            Some(after) => after.since = at,
            None => {
                let (interval_ms, tags) = (record.interval_ms, record.tags.clone());
                said.insert(next, Said { since: at, until: at, interval_ms, tags });
            }
        }
        self.changed.insert((owner, at));
    }

    /// Stores what is not as it was before.
    pub(crate) async fn store(&mut self, client: &Client) -> Result<(), Error> {
        let changed = std::mem::take(&mut self.changed);
        if !changed.is_empty() {
            let said = |(owner, since): &(Owner, Micros)| {
                let said = self.known.get(owner)?.iter().find(|said| said.since == *since)?;
                Some((*owner, said))
            };
            let said: Vec<_> = changed.iter().filter_map(said).collect();
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
            client.execute_typed(include_str!("insert_settings.sql"), &parameters).await?;
        }
        if self.since.elapsed() > KNOWN_FOR {
            *self = Self::default();
        }
        Ok(())
    }
}
