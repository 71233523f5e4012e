//! The targets that are asked for.

use std::collections::{BTreeMap, BTreeSet};

use shared::{Micros, database::DatabaseError, history::Block};
use tokio_postgres::Row;

use super::{Page, schedule::Schedule};

/// A URL, and the monitor in whose name it is probed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Target {
    /// As configured.
    pub url: String,
    /// The id in the file of monitors; empty for a target that has none.
    pub monitor: String,
}

/// What is known of a target without looking at its probes.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    pub(super) target: Target,
    /// As they were said last.
    pub(super) tags: Vec<String>,
    pub(super) schedules: BTreeMap<i16, Schedule>,
}

/// The targets asked for: their ids by block, and what is known of each.
pub(super) struct Targets {
    pub(super) blocks: BTreeMap<Block, Vec<i32>>,
    pub(super) known: BTreeMap<i32, Settings>,
    all: bool,
}

impl Targets {
    /// Reads the rows of `select_targets.sql`, which are `all` there are or not, and keeps those of a page. With it, the
    /// last target of that, if others follow.
    pub(super) fn read(rows: &[Row], all: bool, page: Option<&Page>) -> Result<(Self, Option<Target>), DatabaseError> {
        let mut targets = Self { blocks: BTreeMap::new(), known: BTreeMap::new(), all };
        for row in rows {
            targets.known.insert(row.try_get("id")?, settings(row)?);
        }
        let next = page.and_then(|page| targets.keep(page));
        for &id in targets.known.keys() {
            targets.blocks.entry(Block::of(id)).or_default().push(id);
        }
        Ok((targets, next))
    }

    /// Keeps the targets of a page, and returns the last of them, if others follow.
    fn keep(&mut self, page: &Page) -> Option<Target> {
        let is_later = |target: &Target| match &page.after {
            Some(after) if page.is_descending => target < after,
            Some(after) => target > after,
            None => true,
        };
        let mut later: Vec<_> = self
            .known
            .iter()
            .filter(|(_, settings)| is_later(&settings.target))
            .map(|(id, known)| (&known.target, *id))
            .collect();
        later.sort_unstable();
        if page.is_descending {
            later.reverse();
        }
        let next = if later.len() > page.limit { later.get(page.limit.saturating_sub(1)) } else { None };
        let next = next.map(|(target, _)| (*target).clone());
        let kept: BTreeSet<i32> = later.into_iter().take(page.limit).map(|(_, id)| id).collect();
        self.all &= kept.len() == self.known.len();
        self.known.retain(|id, _| kept.contains(id));
        next
    }

    /// The targets asked for in a block; `None` for all of them.
    pub(super) fn only(&self, block: Block) -> Option<&[i32]> {
        if self.all { None } else { self.blocks.get(&block).map(Vec::as_slice) }
    }
}

fn settings(row: &Row) -> Result<Settings, DatabaseError> {
    let target = Target { url: row.try_get("url")?, monitor: row.try_get("monitor")? };
    let tags = row.try_get::<_, Option<_>>("tags")?.unwrap_or_default();
    let mut settings = Settings { target, tags, schedules: BTreeMap::new() };
    // Where there is none, each of these is null.
    let locations: Vec<i16> = row.try_get::<_, Option<_>>("locations")?.unwrap_or_default();
    let since: Vec<Micros> = row.try_get::<_, Option<_>>("since")?.unwrap_or_default();
    let intervals: Vec<Option<i32>> = row.try_get::<_, Option<_>>("intervals")?.unwrap_or_default();
    for (location, (since, interval)) in locations.into_iter().zip(since.into_iter().zip(intervals)) {
        settings.schedules.entry(location).or_default().push(since, interval);
    }
    Ok(settings)
}
