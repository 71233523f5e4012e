//! What the file of monitors says of targets, as their records carry it: it changes with a deployment, and is not to stand in
//! every row.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use shared::{Micros, history::block::Owner};
use tokio_postgres::{
    Client, Error,
    types::{ToSql, Type},
};

use crate::row::Row;

/// What was said last of each target, location by location, as far as this connection has seen.
pub(crate) struct Settings {
    /// When what is known was last forgotten: somebody else may have stored something else since.
    since: Instant,
    known: HashMap<Owner, Said>,
    /// Those that are to be stored, in an order in which two instances do not deadlock.
    changed: BTreeSet<Owner>,
}

/// What records say of their target.
struct Said {
    /// When the first and the last probe started that said so.
    since: Micros,
    until: Micros,
    interval_ms: Option<u32>,
    tags: Vec<String>,
}

/// For how long what is known is taken to be what is stored.
const KNOWN_FOR: Duration = Duration::from_secs(600);

impl Default for Settings {
    fn default() -> Self {
        Self { since: Instant::now(), known: HashMap::new(), changed: BTreeSet::new() }
    }
}

impl Settings {
    /// Looks at what the record of a row says. One that no schedule asked for says nothing.
    pub(crate) fn see(&mut self, row: &Row<'_>) {
        let record = &row.observation.record;
        if record.interval_ms.is_none() {
            return;
        }
        let (owner, since) = ((row.key.target_id, row.location_id), row.key.probed_at);
        if let Some(said) = self.known.get_mut(&owner) {
            let is_same = said.interval_ms == record.interval_ms && said.tags == record.tags;
            if is_same {
                (said.since, said.until) = (said.since.min(since), said.until.max(since));
            }
            if is_same || since < said.until {
                return;
            }
        }
        self.known
            .insert(owner, Said { since, until: since, interval_ms: record.interval_ms, tags: record.tags.clone() });
        self.changed.insert(owner);
    }

    /// Stores what is not as it was before.
    pub(crate) async fn store(&mut self, client: &Client) -> Result<(), Error> {
        if self.since.elapsed() > KNOWN_FOR {
            self.since = Instant::now();
            self.known.retain(|owner, _| self.changed.contains(owner));
        }
        let owners = std::mem::take(&mut self.changed);
        if owners.is_empty() {
            return Ok(());
        }
        let said: Vec<_> = owners.iter().filter_map(|owner| self.known.get(owner)).collect();
        let (targets, locations): (Vec<i32>, Vec<i16>) = owners.iter().copied().unzip();
        let intervals: Vec<_> = said.iter().map(|said| said.interval_ms.map(u32::cast_signed)).collect();
        let tags: Vec<_> = said.iter().map(|said| serde_json::json!(said.tags).to_string()).collect();
        let since: Vec<_> = said.iter().map(|said| said.since).collect();
        let parameters: [(&(dyn ToSql + Sync), Type); 5] = [
            (&targets, Type::INT4_ARRAY),
            (&locations, Type::INT2_ARRAY),
            (&intervals, Type::INT4_ARRAY),
            (&tags, Type::TEXT_ARRAY),
            (&since, Type::TIMESTAMPTZ_ARRAY),
        ];
        client.execute_typed(include_str!("insert_settings.sql"), &parameters).await.map(drop)
    }
}
