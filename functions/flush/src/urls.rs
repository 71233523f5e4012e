//! The URL of each monitor, per location. It changes with a deployment, so rows do not repeat it.
//!
//! A URL holds from its first probe until the first probe of another URL. A record that arrives late, or between others, can
//! therefore change the URL of stored rows. So each batch ends with a check of `target_urls` under a lock. One batch at a time
//! changes the table, after all batches that have passed their check. A batch whose cached URLs are outdated starts again and
//! reads them under that lock.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, Instant},
};

use futures::join;
use shared::{Micros, history::block::Owner, record::Outcome, timestamp};
use tokio_postgres::{
    Client, Error,
    error::SqlState,
    types::{ToSql, Type},
};

use crate::{dictionary::monitor, row::Row};

/// Lifetime of the cached URLs. The check of a batch reads all changes since they were cached.
const KNOWN_FOR: Duration = Duration::from_secs(600);

/// The URLs of monitors.
#[derive(Default)]
pub(crate) struct Urls {
    /// Version of `target_urls` when `known` was read, and the time of that; `None` without cached URLs.
    version: Option<(i64, Instant)>,
    /// Cached URLs with their first instants, in the order of time.
    known: HashMap<Owner, Vec<(Micros, String)>>,
    /// Monitors that have a newer URL than the one of now: their next probes set it.
    outdated: BTreeSet<i32>,
    /// URLs of the batch from the first one that differs from `known`, in the order of time.
    said: BTreeMap<Owner, Vec<Said>>,
    /// Monitors of the batch.
    targets: BTreeSet<i32>,
}

/// Consecutive probes of one URL.
struct Said {
    since: Micros,
    until: Micros,
    url: String,
    is_known: bool,
}

/// Why URLs could not be stored.
pub(crate) enum UrlError {
    /// Another batch has changed URLs that this one has cached.
    Outdated,
    Database(Error),
}

impl From<Error> for UrlError {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

fn owner(row: &Row<'_>) -> Owner {
    (row.key.target_id, row.location_id)
}

/// Takes the lock of `target_urls` until the end of the transaction. Since other batches wait for it, the server ends this
/// session if the instance is frozen or gone before COMMIT.
pub(crate) async fn lock(client: &Client) -> Result<(), Error> {
    let (limited, locked) = join!(
        client.batch_execute("set local idle_in_transaction_session_timeout = '10s'"),
        client.execute_typed(include_str!("lock_target_urls.sql"), &[]),
    );
    limited.and(locked).map(drop)
}

impl Urls {
    /// Reads the stored URLs of the rows' monitors that are not cached.
    pub(crate) async fn learn<'rows, 'record: 'rows>(
        &mut self,
        client: &Client,
        rows: impl IntoIterator<Item = &'rows Row<'record>>,
    ) -> Result<(), Error> {
        if self.version.is_some_and(|(_, since)| since.elapsed() > KNOWN_FOR) {
            *self = Self::default();
        }
        let unknown =
            |row: &&Row<'_>| monitor(&row.observation.record).is_some() && !self.known.contains_key(&owner(row));
        let unknown: BTreeSet<Owner> = rows.into_iter().filter(unknown).map(owner).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let (targets, locations): (Vec<i32>, Vec<i16>) = unknown.iter().copied().unzip();
        let latest = Micros::from(timestamp::now()).latest_plausible();
        let owners: [(&(dyn ToSql + Sync), Type); 3] =
            [(&targets, Type::INT4_ARRAY), (&locations, Type::INT2_ARRAY), (&latest, Type::TIMESTAMPTZ)];
        // The version comes first: the URLs are of that version or of a later one, which the check at the end detects.
        let (version, stored) = join!(
            client.query_typed("select url_changes from horizon", &[]),
            client.query_typed(include_str!("select_target_urls.sql"), &owners),
        );
        let version = version?.first().map_or(Ok(0), |row| row.try_get(0))?;
        // What was known before is of an earlier version.
        self.version.get_or_insert((version, Instant::now()));
        self.known.extend(unknown.into_iter().map(|owner| (owner, Vec::new())));
        for row in stored? {
            let (owner, entry): (Owner, _) = ((row.try_get(0)?, row.try_get(1)?), (row.try_get(2)?, row.try_get(3)?));
            self.known.entry(owner).or_default().push(entry);
            if row.try_get(4)? {
                self.outdated.insert(owner.0);
            }
        }
        Ok(())
    }

    /// Returns the cached URLs without those of the batch.
    pub(crate) fn known(&self) -> Self {
        Self { version: self.version, known: self.known.clone(), outdated: self.outdated.clone(), ..Self::default() }
    }

    /// Looks at the URL of a row, in the order of time. A slot that was missed requested no URL, so it changes none.
    pub(crate) fn see(&mut self, row: &Row<'_>) {
        let record = &row.observation.record;
        if monitor(record).is_none() || record.outcome() == Outcome::Missed {
            return;
        }
        self.targets.insert(row.key.target_id);
        let (owner, at) = (owner(row), row.key.probed_at);
        let known = self.known.get(&owner).map(Vec::as_slice).unwrap_or_default();
        let before =
            known.partition_point(|(since, _)| *since <= at).checked_sub(1).and_then(|before| known.get(before));
        let is_known = before.is_some_and(|(_, url)| *url == record.url) && !self.outdated.contains(&row.key.target_id);
        if is_known && !self.said.contains_key(&owner) {
            return;
        }
        let said = self.said.entry(owner).or_default();
        match said.last_mut() {
            // One after the other, since others that are stored may lie between them.
            Some(last) if last.url == record.url && known.is_empty() => last.until = at,
            // The cached URL continues.
            Some(last) if last.is_known && is_known => {}
            _ => said.push(Said { since: at, until: at, url: record.url.clone(), is_known }),
        }
    }

    /// Stores what was said, and with it the URL that each monitor has now. All of it is sent together.
    pub(crate) async fn store(&self, client: &Client) -> Result<(), UrlError> {
        if self.targets.is_empty() {
            return Ok(());
        }
        let version = self.version.map_or(0, |(version, _)| version);
        let relied_on: Vec<i32> = self.targets.iter().copied().collect();
        let relied_on: [(&(dyn ToSql + Sync), Type); 2] = [(&version, Type::INT8), (&relied_on, Type::INT4_ARRAY)];
        let check = client.execute_typed(include_str!("check_target_urls.sql"), &relied_on);
        if self.said.is_empty() {
            let (shared, is_true) = join!(client.execute_typed(include_str!("share_target_urls.sql"), &[]), check);
            shared?;
            return checked(is_true);
        }
        let said: Vec<_> = self.said.iter().flat_map(|(owner, said)| said.iter().map(|said| (*owner, said))).collect();
        let (targets, locations): (Vec<i32>, Vec<i16>) = said.iter().map(|(owner, _)| *owner).unzip();
        let urls: Vec<_> = said.iter().map(|(_, said)| said.url.as_str()).collect();
        let (since, until): (Vec<_>, Vec<_>) = said.iter().map(|(_, said)| (said.since, said.until)).unzip();
        let latest = Micros::from(timestamp::now()).latest_plausible();
        let parameters: [(&(dyn ToSql + Sync), Type); 5] = [
            (&targets, Type::INT4_ARRAY),
            (&locations, Type::INT2_ARRAY),
            (&urls, Type::TEXT_ARRAY),
            (&since, Type::TIMESTAMPTZ_ARRAY),
            (&until, Type::TIMESTAMPTZ_ARRAY),
        ];
        let of_now: [(&(dyn ToSql + Sync), Type); 2] = [(&targets, Type::INT4_ARRAY), (&latest, Type::TIMESTAMPTZ)];
        let (locked, is_true, inserted, updated) = join!(
            client.execute_typed(include_str!("lock_target_urls.sql"), &[]),
            check,
            client.execute_typed(include_str!("insert_target_urls.sql"), &parameters),
            client.execute_typed(include_str!("update_target_urls.sql"), &of_now),
        );
        locked?;
        checked(is_true)?;
        Ok(inserted.and(updated).map(drop)?)
    }

    /// What a batch said is stored.
    pub(crate) fn stored(&mut self) {
        if self.said.is_empty() {
            self.targets.clear();
        } else {
            *self = Self::default();
        }
    }
}

/// Reads the result of the check, a statement that divides by zero if cached URLs are outdated.
fn checked(answer: Result<u64, Error>) -> Result<(), UrlError> {
    match answer {
        Err(error) if error.code() == Some(&SqlState::DIVISION_BY_ZERO) => Err(UrlError::Outdated),
        answer => Ok(answer.map(drop)?),
    }
}
