//! Figures of what was read, whole and in parts.

use std::collections::BTreeMap;

use shared::{Micros, history::Measure};

use super::{BucketStats, GroupStats, PreviousStats, TargetStats, UrlStats};
use crate::{
    estimate::Intervals,
    figures::{CLASSES, Coverage, Figures, Population, Uptime, expected, name},
    history::{
        Held, HistoryError, MAX_BUCKETS, Schedule, Tally, TargetHistory,
        split::{Bucket, Group, Part},
    },
    query::StatsQuery,
};

/// Makes figures of one history.
pub(super) struct Writer<'query> {
    query: &'query StatsQuery,
    /// The window as it was read.
    window: (Option<Micros>, Option<Micros>),
    /// The last full minute.
    as_of: Micros,
    /// Until when slots of the target may be expected to have been probed: by then, or by its newest probe, if that came in the
    /// minute that is not over yet.
    until: Micros,
    locations: BTreeMap<i16, String>,
    intervals: Intervals,
    buckets: u64,
}

/// Which probes of a target: of all locations or one, in all of the window or a bucket.
#[derive(Clone, Copy, Default)]
struct Selection {
    location: Option<i16>,
    bucket: Option<Micros>,
}

impl<'query> Writer<'query> {
    /// Of nothing yet; slots are expected to have been probed until `as_of`.
    pub(super) fn new(
        query: &'query StatsQuery,
        window: (Option<Micros>, Option<Micros>),
        as_of: Micros,
        locations: BTreeMap<i16, String>,
    ) -> Self {
        Self { query, window, as_of, until: as_of, locations, intervals: Intervals::default(), buckets: 0 }
    }

    /// What is known about a target, with what is known about the window before.
    pub(super) fn target(
        &mut self,
        mut target: TargetHistory,
        previous: Option<PreviousStats>,
        mut before: BTreeMap<Group, PreviousStats>,
    ) -> Result<TargetStats, HistoryError> {
        let parts = std::mem::take(&mut target.parts);
        let total = std::mem::take(&mut target.total);
        let range = total.range;
        self.until = until(self.as_of, range);
        let first = range.map(|(first, _)| first);
        let all = Some(Selection::default());
        let figures = self.figures(total, &target, all, Population::Responses, first);
        let mut by_group: BTreeMap<Group, BTreeMap<Option<Micros>, Tally>> = BTreeMap::new();
        for (Part { group, bucket }, tally) in parts {
            by_group.entry(group).or_default().insert(bucket, tally);
        }
        let (mut groups, mut series) = (None, None);
        if self.query.split.by.is_any() {
            let mut written = Vec::new();
            for (group, tallies) in by_group {
                let previous = before.remove(&group);
                let mut whole = Tally::default();
                tallies.values().cloned().for_each(|tally| whole.merge(tally));
                // A location that came later is expected from then on.
                let first = whole.range.map(|(first, _)| first);
                let figures = self.figures(whole, &target, self.selection(group), population(group), first);
                let series = self.series(tallies, &target, self.selection(group), population(group), first, range)?;
                written.push(GroupStats { group: self.name(group), figures, previous, series });
            }
            written.sort_by(|one, other| one.group.cmp(&other.group));
            groups = Some(written);
        } else {
            let tallies = by_group.remove(&Group::default()).unwrap_or_default();
            series = self.series(tallies, &target, all, Population::Responses, first, range)?;
        }
        let [from, to] = [self.window.0, self.window.1].map(|end| end.map(Micros::timestamp));
        let last = |schedule: &Schedule| schedule.interval(range?.1);
        let interval = target.schedules.values().filter_map(last).min();
        // Nothing to say where it had the URL of now all the time.
        let is_of_now = target.urls.iter().all(|(_, url)| *url == target.target.url);
        let named = |(since, url): (Micros, String)| UrlStats { url, since: since.timestamp() };
        let urls = (!is_of_now).then(|| target.urls.into_iter().map(named).collect());
        Ok(TargetStats {
            url: target.target.url,
            urls,
            figures,
            monitor: Some(target.target.monitor).filter(|monitor| !monitor.is_empty()),
            tags: target.tags,
            interval_ms: interval.map(|micros| micros / 1_000),
            window: self.query.window.name().to_owned(),
            from,
            to,
            previous,
            groups,
            series,
        })
    }

    /// The figures of a window before: all of it, and by group.
    pub(super) fn previous(
        &mut self,
        target: &TargetHistory,
    ) -> (Option<PreviousStats>, BTreeMap<Group, PreviousStats>) {
        let [from, to] = [self.window.0, self.window.1].map(|end| end.map(Micros::timestamp));
        let by_location = self.query.split.by.is_by_location_alone();
        self.until = until(self.as_of, target.total.range);
        let mut stats = |tally: &Tally, selection, population| {
            let first = tally.range.map(|(first, _)| first);
            let figures = self.figures(tally.clone(), target, selection, population, first);
            PreviousStats { from, to, figures }
        };
        let total = stats(&target.total, Some(Selection::default()), Population::Responses);
        let groups = target.parts.iter().map(|(Part { group, .. }, tally)| {
            let selection = by_location.then_some(Selection { location: group.location, bucket: None });
            (*group, stats(tally, selection, population(*group)))
        });
        (Some(total), groups.collect())
    }

    /// Which probes a group is of, if they have nothing but their location in common.
    fn selection(&self, group: Group) -> Option<Selection> {
        let is_by_location = self.query.split.by.is_by_location_alone();
        is_by_location.then_some(Selection { location: group.location, bucket: None })
    }

    /// Each bucket of the window, with what is known about it.
    fn series(
        &mut self,
        mut tallies: BTreeMap<Option<Micros>, Tally>,
        target: &TargetHistory,
        selection: Option<Selection>,
        population: Population,
        first: Option<Micros>,
        range: Option<(Micros, Micros)>,
    ) -> Result<Option<Vec<BucketStats>>, HistoryError> {
        let (Some(bucket), Some((start, last))) = (self.query.split.bucket, range) else { return Ok(None) };
        let start = self.window.0.unwrap_or(start);
        let last = self.window.1.map_or(last, |to| Micros(to.0 - 1));
        self.buckets = self.buckets.saturating_add(bucket.count((start, last)));
        if self.buckets > MAX_BUCKETS {
            return Err(HistoryError::TooLarge { parts: self.buckets, limit: MAX_BUCKETS, parameter: "bucket" });
        }
        let mut series = Vec::new();
        let mut start = bucket.start(start);
        while start <= last {
            let tally = tallies.remove(&Some(start)).unwrap_or_default();
            let selection = selection.map(|selection| Selection { bucket: Some(start), ..selection });
            let figures = self.figures(tally, target, selection, population, first);
            series.push(BucketStats { bucket: start.timestamp(), figures });
            start = Micros(start.0 + bucket.length());
        }
        Ok(Some(series))
    }

    /// The figures of some probes of a target; with uptime and coverage, where it is a selection that has them. The first of
    /// the probes that it is chosen from started at `first`.
    fn figures(
        &mut self,
        tally: Tally,
        target: &TargetHistory,
        selection: Option<Selection>,
        population: Population,
        first: Option<Micros>,
    ) -> Figures {
        let counts = tally.counts;
        let mut figures = Figures::new(tally, population, &self.query.percentiles, &mut self.intervals);
        let Some(Selection { location, bucket }) = selection else { return figures };
        // Nothing held where nothing was seen.
        let held = target.held.get(&(bucket, location)).copied();
        let held = if counts.all() == 0 { held.or(Some(Held::default())) } else { held };
        let quorum = self.query.quorum.filter(|_| location.is_none());
        figures.uptime = Some(Uptime::new(&counts, held, quorum));

        let (mut from, mut to) = (self.window.0.unwrap_or(Micros::MIN), self.window.1.unwrap_or(Micros::MAX));
        if let (Some(start), Some(bucket)) = (bucket, self.query.split.bucket) {
            (from, to) = (from.max(start), to.min(Micros(start.0 + bucket.length())));
        }
        let is_of = |of: &i16| location.is_none_or(|location| location == *of);
        let schedules = target.schedules.iter().filter(|(of, _)| is_of(of)).map(|(_, schedule)| schedule);
        // A slot that was missed before the first verdict, by a clock that was wrong maybe, is none that is to be known of.
        let first_verdict = target.first_verdicts.iter().filter(|(of, _)| is_of(of)).map(|(_, first)| *first).min();
        let first = first_verdict.or(first).unwrap_or(Micros::MAX);
        figures.coverage = Some(Coverage::new(&counts, expected(schedules, first, (from, to.min(self.until)))));
        figures
    }

    fn name(&self, group: Group) -> BTreeMap<String, String> {
        let status = |status: Option<u16>| match status {
            None => "none".to_owned(),
            Some(class) => {
                let class = usize::from(class).checked_sub(1).and_then(|class| CLASSES.get(class));
                class.map_or("other", |class| class).to_owned()
            }
        };
        let location = |id: i16| self.locations.get(&id).cloned().unwrap_or_default();
        let parts = [
            ("location", group.location.map(location)),
            ("status", group.status.map(status)),
            ("outcome", group.outcome.map(name)),
            ("phase", group.phase.and_then(|phase| Measure::PHASES.get(phase)).map(|phase| phase.name().to_owned())),
        ];
        parts.into_iter().filter_map(|(by, name)| Some((by.to_owned(), name?))).collect()
    }
}

fn until(as_of: Micros, range: Option<(Micros, Micros)>) -> Micros {
    let newest = range.map_or(as_of, |(_, last)| Micros(last.0.saturating_add(1)));
    // One of the future, by a clock that is wrong, says nothing about now.
    newest.max(as_of).min(Bucket::Minute.end(as_of))
}

fn population(group: Group) -> Population {
    if group.phase.is_some() { Population::Phase } else { Population::Responses }
}
