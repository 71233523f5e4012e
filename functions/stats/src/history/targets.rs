//! The targets that are asked for.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use shared::{Micros, database::DatabaseError, history::Block};
use tokio_postgres::Row;

use super::{HistoryQuery, Page, schedule::Schedule};

/// A monitor with the URL that it has now, or a URL that is probed in the name of no monitor.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Target {
    /// The URL of now, as configured.
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
    /// Whether its monitor has had several URLs.
    pub(super) has_moved: bool,
    is_said: bool,
}

/// The targets asked for: their ids by block, and what is known of each.
pub(super) struct Targets {
    pub(super) blocks: BTreeMap<Block, Vec<i32>>,
    pub(super) known: BTreeMap<i32, Settings>,
    all: bool,
}

impl Targets {
    /// Reads the rows of `select_targets.sql`, and keeps those of a query and its page. With it, the last target of the page,
    /// if others follow.
    pub(super) fn read(rows: &[Row], query: &HistoryQuery<'_>) -> Result<(Self, Option<Target>), DatabaseError> {
        let all = query.urls.is_none() && query.monitors.is_none();
        let mut targets = Self { blocks: BTreeMap::new(), known: BTreeMap::new(), all };
        for row in rows {
            match targets.known.entry(row.try_get(0)?) {
                Entry::Vacant(vacant) => {
                    let target = Target { url: row.try_get(1)?, monitor: row.try_get(2)? };
                    let has_moved = row.try_get(7)?;
                    vacant.insert(Settings { target, has_moved, ..Settings::default() }).say(row, query.as_of)?;
                }
                Entry::Occupied(mut known) => known.get_mut().say(row, query.as_of)?,
            }
        }
        for tags in [query.tags, query.scope].into_iter().flatten() {
            targets.retain(|settings| settings.tags.iter().any(|tag| tags.contains(tag)));
        }
        let next = query.page.as_ref().and_then(|page| targets.keep(page));
        for &id in targets.known.keys() {
            targets.blocks.entry(Block::of(id)).or_default().push(id);
        }
        Ok((targets, next))
    }

    fn retain(&mut self, mut keeps: impl FnMut(&Settings) -> bool) {
        let before = self.known.len();
        self.known.retain(|_, settings| keeps(settings));
        self.all &= self.known.len() == before;
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

impl Settings {
    /// Adds what was said after all that was added before, if anything was. Tags of a time after `as_of`, by a clock that is
    /// wrong, count only where there are no others.
    fn say(&mut self, row: &Row, as_of: Micros) -> Result<(), DatabaseError> {
        let Some(location) = row.try_get::<_, Option<i16>>(3)? else { return Ok(()) };
        let since = row.try_get(4)?;
        // A probe that no schedule asked for says tags alone.
        if let Some(interval) = row.try_get(5)? {
            self.schedules.entry(location).or_default().push(since, Some(interval));
        }
        if !std::mem::replace(&mut self.is_said, true) || since <= as_of.latest_plausible() {
            self.tags = row.try_get(6)?;
        }
        Ok(())
    }
}
