//! One state of the database, and what is read in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::AtomicU64,
    time::Duration,
};

use futures::{TryStreamExt as _, join};
use shared::{Micros, Span, database::DatabaseError, history::Measure};
use tokio_postgres::{
    Client, Error,
    error::SqlState,
    types::{ToSql, Type},
};

use super::{
    Held, History, HistoryError, HistoryQuery, MAX_BUCKETS, TargetHistory,
    cover::{Unsealed, Window},
    held::{Verdicts, by_quorum},
    reader::{Reader, summaries},
    split::Split,
    tallies::{Tallies, merge},
    tally::Keep,
    targets::{Settings, Target, Targets},
};

/// A state of the database that stays the same while it is looked at: a transaction that only reads.
pub struct Snapshot<'client> {
    pub(super) client: &'client Client,
    /// None for a database without a schema.
    pub(super) version: Option<String>,
}

impl<'client> Snapshot<'client> {
    /// Begins to look. No statement takes longer than the limit, if there is one.
    ///
    /// # Errors
    /// The database refused.
    pub async fn begin(client: &'client Client, limit: Option<Duration>) -> Result<Self, DatabaseError> {
        let limit = limit.map_or(0, |limit| limit.as_millis());
        // The lock comes before the snapshot: no partition whose rows the snapshot holds can then be dropped.
        let begin = format!(
            "begin isolation level repeatable read read only; set local jit = off; \
             set local statement_timeout = {limit}; lock table only probes in access share mode"
        );
        let mut tries = 0..2;
        loop {
            let (begun, version) = join!(client.batch_execute(&begin), Self::version_of(client));
            match begun {
                Ok(()) => return Ok(Self { client, version: Some(version?) }),
                // A database without the schema has seen no probe yet.
                Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => {
                    client.batch_execute("rollback").await?;
                    let there = "select to_regclass('website_monitor_migrations') is not null";
                    match client.query_typed(there, &[]).await?.first().map_or(Ok(false), |row| row.try_get(0))? {
                        // It may have been made meanwhile.
                        true if tries.next() == Some(0) => {}
                        true => return Err(error.into()),
                        false => return Ok(Self { client, version: None }),
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// What tells the state that the database is in now from every other one: which transactions had ended
    /// (<https://www.postgresql.org/docs/15/functions-info.html#FUNCTIONS-PG-SNAPSHOT>). It changes with everything that is
    /// committed, by flush or by anybody, and whoever asks for it looks at no row of any table.
    ///
    /// # Errors
    /// The database failed.
    pub async fn version_of(client: &Client) -> Result<String, Error> {
        // A standby also tells how far it is: it does not list every transaction that goes on elsewhere.
        let version = "select concat_ws(' ', pg_current_snapshot(), pg_last_wal_replay_lsn())";
        let rows = client.query_typed(version, &[]).await?;
        rows.first().map_or_else(|| Ok(String::new()), |row| row.try_get(0))
    }

    /// What tells this state from every other one; the empty text for a database without a schema.
    #[must_use]
    pub fn version(&self) -> &str {
        self.version.as_deref().unwrap_or_default()
    }

    /// When the newest probe started that is not of the future; `None` where there is none whose row is still there.
    ///
    /// # Errors
    /// The database failed.
    pub async fn newest_probe(&self) -> Result<Option<Micros>, DatabaseError> {
        if self.version.is_none() {
            return Ok(None);
        }
        let newest = "select max(probed_at) from probes where probed_at <= now()";
        Ok(self.client.query_typed(newest, &[]).await?.first().map_or(Ok(None), |row| row.try_get(0))?)
    }

    /// Reads the history. An exact answer, unless there are more than `exact_probes` in the whole days of the window, or
    /// chunks of it were dropped; then whole days come from histograms, within their bound, and the edges are exact still.
    ///
    /// # Errors
    /// The database refused, or holds what this release cannot read; or it is split in a way that cannot be had for so much.
    /// After an error of the database, nothing more can be read.
    pub async fn read(&self, query: &HistoryQuery<'_>) -> Result<History, HistoryError> {
        if self.version.is_none() {
            return Ok(History { window: (query.from, query.to), ..History::default() });
        }
        let client = self.client;
        let (targets, unsealed) =
            join!(self.targets(query), client.query_typed(include_str!("select_unsealed.sql"), &[]));
        let (targets, next) = targets?;
        let (horizon, unsealed) = Unsealed::read(&unsealed?)?;
        let window = Window::new(query.from, query.to, horizon);
        window.check(query.from, query.to, horizon)?;
        check_buckets(query.split, &targets, window)?;

        let keeps_each = query.held.flatten().is_some();
        // What is only counted is exact in summaries as well.
        let probes = match query.measure {
            Some(_) => whole_days(client, &targets, &unsealed, window).await?,
            None => Some(i64::MAX),
        };
        let is_exact = probes.is_some_and(|probes| probes <= query.exact_probes);
        let coarsest = if keeps_each { Span::Hour } else { query.split.coarsest() };
        let coarsest = match probes {
            // Summaries know no states.
            _ if is_exact || query.states => Span::Hour,
            Some(probes) if coarsest == Span::Hour => {
                return Err(HistoryError::TooMany { probes, limit: query.exact_probes });
            }
            None if coarsest == Span::Hour => return Err(HistoryError::Dropped),
            _ => coarsest,
        };
        let reader = Reader {
            client,
            targets: &targets,
            split: query.split,
            measures: query.split.measures(query.measure.unwrap_or(Measure::ResponseTime)),
            window,
            keep: match query.measure {
                None => Keep::Nothing,
                Some(_) if is_exact => Keep::Each,
                Some(_) => Keep::Histogram,
            },
            exact_durations: query.exact_durations,
            samples_at_a_time: query.samples_at_a_time,
            kept: AtomicU64::default(),
            with_states: query.states,
            with_verdicts: query.held.is_some(),
            keeps_each,
        };
        let mut tallies = Tallies::default();
        for &block in targets.blocks.keys() {
            tallies.extend(reader.read_block(&unsealed.cover(block, window, coarsest)).await?);
            reader.check(&mut tallies)?;
        }
        let locations = if query.split.by.location || query.states {
            let rows = client.query_typed("select id, name from locations", &[]).await?;
            rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_, Error>>()?
        } else {
            BTreeMap::new()
        };
        let mut targets = by_target(query, targets, tallies, window.ends().1);
        self.add_urls(query, &mut targets, window).await?;
        Ok(History { targets, next, locations, window: window.ends() })
    }

    /// Adds the URLs that monitors had in the window, where they have had several. A target whose URL is another one than was
    /// asked for is left out, unless it had that one in the window: the last URL of a location holds on when nobody probes
    /// from there any more.
    async fn add_urls(
        &self,
        query: &HistoryQuery<'_>,
        targets: &mut Vec<TargetHistory>,
        window: Window,
    ) -> Result<(), DatabaseError> {
        let moved: Vec<i32> = targets.iter().filter(|target| target.has_moved).map(|target| target.id).collect();
        if moved.is_empty() {
            return Ok(());
        }
        let parameters: [(&(dyn ToSql + Sync), Type); 3] =
            [(&moved, Type::INT4_ARRAY), (&window.from, Type::TIMESTAMPTZ), (&window.to, Type::TIMESTAMPTZ)];
        let mut by_id: BTreeMap<i32, &mut TargetHistory> =
            targets.iter_mut().map(|target| (target.id, target)).collect();
        for row in self.client.query_typed(include_str!("select_target_urls.sql"), &parameters).await? {
            let (since, url, location) = (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
            let Some(target) = by_id.get_mut(&row.try_get(0)?) else { continue };
            let is_seen = query.held.is_none() || target.seen_from.contains(&location);
            // Another location has it too, or it was said late.
            let is_new = target.urls.last().is_none_or(|(_, last)| *last != url);
            if is_seen && is_new {
                target.urls.push((since, url));
            }
        }
        if let Some(asked) = query.urls.filter(|_| query.urls_within == (query.from, query.to)) {
            let had = |(_, url): &(Micros, String)| asked.contains(url);
            targets.retain(|target| asked.contains(&target.target.url) || target.urls.iter().any(had));
        }
        Ok(())
    }

    /// The targets asked for, and the last of them, if others follow the page.
    pub(super) async fn targets(&self, query: &HistoryQuery<'_>) -> Result<(Targets, Option<Target>), DatabaseError> {
        let (from, to) = query.urls_within;
        let (from, to) = (from.unwrap_or(Micros::MIN), to.unwrap_or(Micros::MAX));
        let parameters: [(&(dyn ToSql + Sync), Type); 4] = [
            (&query.urls, Type::TEXT_ARRAY),
            (&query.monitors, Type::TEXT_ARRAY),
            (&from, Type::TIMESTAMPTZ),
            (&to, Type::TIMESTAMPTZ),
        ];
        let rows = self.client.query_typed(include_str!("select_targets.sql"), &parameters).await?;
        Targets::read(&rows, query)
    }

    /// Ends it. To be awaited whatever was read, or the connection is to be given up.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn end(self) -> Result<(), DatabaseError> {
        if self.version.is_some() {
            self.client.batch_execute("rollback").await?;
        }
        Ok(())
    }
}

/// Whether there would be more buckets than an answer has, as far as that can be told before it is read. Where the window has
/// no end, it is told while it is read.
fn check_buckets(split: Split, targets: &Targets, window: Window) -> Result<(), HistoryError> {
    let (Some(bucket), (Some(from), Some(to))) = (split.bucket, window.ends()) else { return Ok(()) };
    let each = bucket.count((from, Micros(to.0.max(from.0 + 1) - 1)));
    match each.saturating_mul(targets.known.len() as u64) {
        parts if parts > MAX_BUCKETS => Err(HistoryError::TooLarge { parts, limit: MAX_BUCKETS, parameter: "bucket" }),
        _ => Ok(()),
    }
}

/// How many probes there are in the whole days of the window; `None` where some of their chunks were dropped.
async fn whole_days(
    client: &Client,
    targets: &Targets,
    unsealed: &Unsealed,
    window: Window,
) -> Result<Option<i64>, DatabaseError> {
    let mut probes = 0;
    for &block in targets.blocks.keys() {
        let cover = unsealed.cover(block, window, Span::Month);
        if cover.summaries.is_empty() {
            continue;
        }
        let rows = summaries(client, include_str!("count_summaries.sql"), targets, &cover, None).await?;
        for row in rows.try_collect::<Vec<_>>().await? {
            let oldest: Option<Micros> = row.try_get("oldest")?;
            if oldest.is_some_and(|oldest| oldest < window.chunks_from) {
                return Ok(None);
            }
            probes += row.try_get::<_, i64>("probes")?;
        }
    }
    Ok(Some(probes))
}

/// What was read, target by target; those with nothing in the window left out.
fn by_target(
    query: &HistoryQuery<'_>,
    mut targets: Targets,
    tallies: Tallies,
    to: Option<Micros>,
) -> Vec<TargetHistory> {
    let mut found: BTreeMap<i32, TargetHistory> = BTreeMap::new();
    let is_split = query.split != Split::default();
    // Of a chunk that is cut by the window there may be nothing left.
    for ((target, part), tally) in tallies.parts.into_iter().filter(|(_, tally)| tally.counts.all() > 0) {
        let history = found.entry(target).or_default();
        // Phases are no parts of the probes; and split by phase, the probes themselves are no part beside them.
        if is_split && part.group.phase.is_some() == query.split.by.phase {
            merge(&mut history.parts, part, tally.clone());
        }
        if part.group.phase.is_none() {
            history.total.merge(tally);
        }
    }
    let mut verdicts: BTreeMap<i32, BTreeMap<(i16, Option<Micros>), Verdicts>> = BTreeMap::new();
    for ((target, location, bucket), read) in tallies.verdicts {
        verdicts.entry(target).or_default().insert((location, bucket), read);
    }
    for (id, history) in &mut found {
        let settings = targets.known.remove(id).unwrap_or_default();
        if let Some(verdicts) = verdicts.get(id) {
            history.seen_from = verdicts.keys().map(|(location, _)| *location).collect();
            // Slots that were missed start no schedule, and a location with nothing else has none to be held against.
            let known = |location: i16, read: &Verdicts| !read.is_empty() || settings.schedules.contains_key(&location);
            let known = verdicts.iter().filter(|((location, _), read)| known(*location, read));
            let locations: BTreeSet<i16> = known.map(|((location, _), _)| *location).collect();
            for ((location, _), read) in verdicts {
                let Some(first) = read.first() else { continue };
                let known = history.first_verdicts.entry(*location).or_insert(first);
                *known = first.min(*known);
            }
            history.held = held(query, &settings, &locations, verdicts, to);
            let schedule = |location: i16| settings.schedules.get(&location).cloned().unwrap_or_default();
            history.schedules = locations.into_iter().map(|location| (location, schedule(location))).collect();
        }
        (history.id, history.target, history.tags) = (*id, settings.target, settings.tags);
        history.has_moved = settings.has_moved;
    }
    for ((target, location), states) in tallies.states {
        if let Some((history, state)) = found.get_mut(&target).zip(states.state()) {
            history.states.insert(location, state);
        }
    }
    let mut histories: Vec<_> = found.into_values().collect();
    histories.sort_by(|one, other| one.target.cmp(&other.target));
    histories
}

/// For how long verdicts held: by bucket and location, as far as it is split by these, and altogether.
fn held(
    query: &HistoryQuery<'_>,
    settings: &Settings,
    locations: &BTreeSet<i16>,
    verdicts: &BTreeMap<(i16, Option<Micros>), Verdicts>,
    to: Option<Micros>,
) -> BTreeMap<(Option<Micros>, Option<i16>), Held> {
    let quorum = query.held.flatten();
    let end = to.unwrap_or(Micros::MAX).min(query.as_of);
    let schedules: BTreeMap<i16, _> = locations
        .iter()
        .map(|location| (*location, settings.schedules.get(location).cloned().unwrap_or_default()))
        .collect();
    // By bucket, and with all buckets as one: whatever is in it, location by location.
    let mut by_bucket: BTreeMap<Option<Micros>, BTreeMap<i16, Verdicts>> = BTreeMap::new();
    for ((location, bucket), read) in verdicts {
        for bucket in [*bucket, None].into_iter().take(if bucket.is_some() { 2 } else { 1 }) {
            let parts = by_bucket.entry(bucket).or_default();
            parts.entry(*location).or_insert_with(|| Verdicts::new(quorum.is_some())).append(read);
        }
    }
    let mut found = BTreeMap::new();
    for (bucket, parts) in by_bucket {
        // A bucket is what would be answered if its own time had been asked for: its last verdict holds until its end.
        let end = match bucket.zip(query.split.bucket) {
            Some((start, length)) => Micros(start.0.saturating_add(length.length())).min(end),
            None => end,
        };
        let located = parts.iter().filter_map(|(location, read)| Some((location, read, schedules.get(location)?)));
        let each: Vec<_> =
            located.clone().map(|(location, read, schedule)| (*location, read.held(schedule, end))).collect();
        let together = match quorum {
            Some(quorum) => by_quorum(quorum, located.map(|(_, read, schedule)| (read, schedule)), end),
            None => each.iter().try_fold(Held::default(), |sum, (_, held)| held.map(|held| sum.plus(held))),
        };
        found.extend(together.map(|held| ((bucket, None), held)));
        if query.split.by.location {
            found.extend(each.into_iter().filter_map(|(location, held)| Some(((bucket, Some(location)), held?))));
        }
    }
    found
}
