//! What the file of monitors says of targets, as their records carry it: it changes with a deployment, and is not to stand in
//! every row.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use shared::Micros;
use tokio_postgres::{
    Client, Error,
    types::{ToSql, Type},
};

use crate::row::Row;

/// What was said last of each target, as far as this connection has seen.
pub(crate) struct Settings {
    /// When what is known was last forgotten: somebody else may have stored something else since.
    since: Instant,
    known: HashMap<i32, Said>,
    /// Those that are to be stored, in an order in which two instances do not deadlock.
    changed: BTreeSet<i32>,
}

/// What a record says of its target, and when its probe started.
struct Said {
    since: Micros,
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
        let (target, since) = (row.key.target_id, row.key.probed_at);
        if let Some(said) = self.known.get_mut(&target) {
            let is_same = said.interval_ms == record.interval_ms && said.tags == record.tags;
            if is_same {
                said.since = said.since.max(since);
            }
            if is_same || since < said.since {
                return;
            }
        }
        self.known.insert(target, Said { since, interval_ms: record.interval_ms, tags: record.tags.clone() });
        self.changed.insert(target);
    }

    /// Stores what is not as it was before.
    pub(crate) async fn store(&mut self, client: &Client) -> Result<(), Error> {
        if self.since.elapsed() > KNOWN_FOR {
            self.since = Instant::now();
            self.known.retain(|target, _| self.changed.contains(target));
        }
        let targets: Vec<i32> = std::mem::take(&mut self.changed).into_iter().collect();
        if targets.is_empty() {
            return Ok(());
        }
        let said: Vec<_> = targets.iter().filter_map(|target| self.known.get(target)).collect();
        let intervals: Vec<_> = said.iter().map(|said| said.interval_ms.map(u32::cast_signed)).collect();
        let tags: Vec<_> = said.iter().map(|said| serde_json::json!(said.tags).to_string()).collect();
        let since: Vec<_> = said.iter().map(|said| said.since).collect();
        let parameters: [(&(dyn ToSql + Sync), Type); 4] = [
            (&targets, Type::INT4_ARRAY),
            (&intervals, Type::INT4_ARRAY),
            (&tags, Type::TEXT_ARRAY),
            (&since, Type::TIMESTAMPTZ_ARRAY),
        ];
        client.execute_typed(include_str!("upsert_settings.sql"), &parameters).await.map(drop)
    }
}
