//! What has to be read for the overview: some windows in one state of the database.

use std::collections::BTreeMap;

use jiff::Timestamp;
use shared::{Micros, database::DatabaseError};

use super::{
    DayOverview, HourOverview, Latency, Overview, TargetOverview, WindowOverview,
    state::{LocationState, Seen, fresh},
};
use crate::{
    access::Scope,
    ask::{Look, Question, Written},
    history::{
        History, HistoryError, HistoryQuery, Snapshot, Target, TargetHistory,
        details::Probe,
        split::{Bucket, Split},
    },
    problem::StatsError,
    query::{StatsQuery, Window},
    report::{StatsReport, TargetStats, question::Asked},
};

const DAY: i64 = 86_400_000_000;
/// The windows that are counted.
const WINDOWS: [&str; 4] = ["24h", "7d", "30d", "90d"];

/// Which targets, by whom and when.
pub struct OverviewQuestion<'query> {
    query: StatsQuery,
    scope: &'query Scope,
    now: Timestamp,
    /// The last full minute.
    as_of: Micros,
    /// End of the windows: now, so that probes of the current minute are seen at once.
    to: Micros,
}

/// What locations see of each target, whose keys come with it.
type Known = BTreeMap<Target, (i32, Seen)>;

impl<'query> OverviewQuestion<'query> {
    /// A query as of now.
    #[must_use]
    pub fn new(query: StatsQuery, scope: &'query Scope, now: Timestamp) -> Self {
        let as_of = Bucket::Minute.start(now.into());
        Self { query, scope, now, as_of, to: now.into() }
    }

    /// The query for so many of the last days.
    fn window(&self, days: i64, bucket: Option<Bucket>) -> StatsQuery {
        let from = Some(Micros(self.to.0 - days * DAY).timestamp());
        let window = Window::Between { from, to: Some(self.to.timestamp()) };
        StatsQuery { window, split: Split { bucket, ..Split::default() }, ..self.query.clone() }
    }

    /// In which time a URL selects the targets that had it: for each window the same, so that all are of the same targets.
    fn longest(&self) -> (Option<Micros>, Option<Micros>) {
        (Some(Micros(self.to.0 - 90 * DAY)), Some(self.to))
    }

    /// Counts what is in a window, of targets of which the keys come with it.
    async fn count(
        &self,
        snapshot: &Snapshot<'_>,
        query: StatsQuery,
    ) -> Result<(StatsReport, BTreeMap<Target, i32>), HistoryError> {
        let query = StatsQuery { percentiles: Vec::new(), ..query };
        let asked = Asked::new(&query, self.scope, self.now).history();
        let asked = HistoryQuery { measure: None, urls_within: self.longest(), ..asked };
        let history = snapshot.read(&asked).await?;
        let ids = history.targets.iter().map(|target| (target.target.clone(), target.id)).collect();
        Ok((StatsReport::new(history, None, &query, self.as_of)?, ids))
    }

    /// The last day and the one before, with the state of each target.
    async fn last_day(&self, snapshot: &Snapshot<'_>) -> Result<(StatsReport, Known), HistoryError> {
        let query = StatsQuery { compare: true, ..self.window(1, Some(Bucket::Hour)) };
        let asked = Asked::new(&query, self.scope, self.now);
        let previous = match asked.previous() {
            Some(previous) => match snapshot.read(&HistoryQuery { urls_within: self.longest(), ..previous }).await {
                Err(HistoryError::NotKept { .. }) => None,
                previous => Some(previous?),
            },
            None => None,
        };
        let asked = HistoryQuery { states: true, urls_within: self.longest(), ..asked.history() };
        let history = snapshot.read(&asked).await?;
        let known = self.seen(&history, asked.from);
        Ok((StatsReport::new(history, previous, &query, self.as_of)?, known))
    }

    /// The state of each target, where one is probed so seldom that a day is not enough to tell.
    async fn states(&self, snapshot: &Snapshot<'_>, length: i64) -> Result<Known, HistoryError> {
        let query = self.window(1, None);
        let from = Some(Micros(self.to.0 - length));
        let asked = Asked::new(&query, self.scope, self.now).history();
        let asked = HistoryQuery { measure: None, states: true, from, urls_within: self.longest(), ..asked };
        Ok(self.seen(&snapshot.read(&asked).await?, from))
    }

    fn seen(&self, history: &History, from: Option<Micros>) -> Known {
        let seen = |target: &TargetHistory| {
            let mut all = Seen::new(from.unwrap_or(Micros::MIN));
            for (location, state) in &target.states {
                let name = history.locations.get(location).cloned().unwrap_or_default();
                all.add((*location, name), state, target.schedules.get(location), self.as_of);
            }
            all.locations.sort_by(|(_, one), (_, other)| one.location.cmp(&other.location));
            (target.target.clone(), (target.id, all))
        };
        history.targets.iter().map(seen).collect()
    }
}

/// Adds the reasons why targets are not up.
async fn explain(snapshot: &Snapshot<'_>, known: &mut Known) -> Result<(), DatabaseError> {
    let probe = |id: i32, location: i16, seen: &LocationState| Probe {
        target: id,
        location,
        probed_at: seen.last_probe_at.into(),
    };
    let unwell = known.values().flat_map(|(id, seen)| {
        let unwell = seen.locations.iter().filter(|(_, seen)| seen.error.is_some());
        unwell.map(move |(location, seen)| probe(*id, *location, seen))
    });
    let reasons = snapshot.reasons(&unwell.collect::<Vec<_>>()).await?;
    for (id, seen) in known.values_mut() {
        for (location, seen) in &mut seen.locations {
            seen.reason = reasons.get(&probe(*id, *location, seen)).cloned();
        }
    }
    Ok(())
}

impl Look for OverviewQuestion<'_> {
    type Found = Overview;

    async fn look(&self, snapshot: &Snapshot<'_>) -> Result<Overview, HistoryError> {
        let (day, mut known) = self.last_day(snapshot).await?;
        let (week, _) = self.count(snapshot, self.window(7, None)).await?;
        let (month, _) = self.count(snapshot, self.window(30, None)).await?;
        let (quarter, ids) = self.count(snapshot, self.window(90, Some(Bucket::Day))).await?;
        let certificates = snapshot.certificates(&ids.values().copied().collect::<Vec<_>>()).await?;
        let longest = quarter.stats.iter().filter_map(|stats| stats.interval_ms).max().unwrap_or(0);
        let length = fresh(longest.saturating_mul(1_000)).saturating_add(self.to.0 - self.as_of.0);
        if length > DAY {
            known = self.states(snapshot, length).await?;
        }
        explain(snapshot, &mut known).await?;

        let ends = [&day, &week, &month, &quarter].map(|report| (report.from, report.to));
        let [mut day, mut week, mut month] = [day, week, month].map(by_target);
        let mut targets = Vec::with_capacity(quarter.stats.len());
        for quarter in quarter.stats {
            let target = name(&quarter);
            let certificate = ids.get(&target).and_then(|id| certificates.get(id)).copied();
            let seen = known.remove(&target).map_or_else(|| Seen::new(self.to), |(_, seen)| seen);
            let [day, week, month] = [&mut day, &mut week, &mut month].map(|stats| stats.remove(&target));
            targets.push(overview(seen, certificate, ends, [day, week, month, Some(quarter)]));
        }
        Ok(Overview { as_of: self.as_of.timestamp(), targets, next: quarter.next })
    }
}

impl Question for OverviewQuestion<'_> {
    fn key(&self) -> String {
        format!("overview {:?} {:?} {:?}", self.query, self.scope, self.as_of)
    }

    /// The windows end when the answer is made, which may be any time of its minute.
    fn is_exact(&self) -> bool {
        false
    }

    fn write(&self, overview: Overview) -> Result<Written, StatsError> {
        let text = serde_json::to_string(&overview)?;
        Ok(Written { content_type: "application/json", text, next: None })
    }
}

/// What is known of a target, from its newest probes and its last 1, 7, 30 and 90 days.
fn overview(
    seen: Seen,
    certificate: Option<Micros>,
    ends: [(Option<Timestamp>, Option<Timestamp>); 4],
    windows: [Option<TargetStats>; 4],
) -> TargetOverview {
    let counted = WINDOWS.into_iter().zip(ends).zip(&windows).map(|((name, ends), stats)| match stats {
        Some(stats) => WindowOverview::new(name, stats),
        None => WindowOverview::nothing(name, ends),
    });
    let counted = counted.collect();
    let [day, _, _, quarter] = windows;
    let (state, since) = seen.together();
    let locations = seen.locations.into_iter().map(|(_, seen)| seen).collect();
    let urls = quarter.as_ref().and_then(|quarter| quarter.urls.clone());
    let days = quarter.iter().flat_map(|quarter| quarter.series.iter().flatten()).map(DayOverview::new).collect();
    let hours = day.iter().flat_map(|day| day.series.iter().flatten()).map(HourOverview::new).collect();
    let nothing = Latency { population_size: 0, exact: true, max_relative_error: 0.0, percentiles: Vec::new() };
    let latency = day.as_ref().map_or(nothing, |day| Latency::new(&day.figures));
    let previous = day.as_ref().and_then(|day| day.previous.as_ref()).map(|previous| Latency::new(&previous.figures));
    let newest = day.or(quarter);
    let last_probe_at = newest.as_ref().and_then(|stats| stats.figures.last_probe_at);
    let interval_ms = newest.as_ref().and_then(|stats| stats.interval_ms);
    let (url, monitor, tags) = newest.map(|stats| (stats.url, stats.monitor, stats.tags)).unwrap_or_default();
    let certificate_expires_at = certificate.map(Micros::timestamp);
    TargetOverview {
        url,
        urls,
        monitor,
        tags,
        interval_ms,
        state,
        since,
        last_probe_at,
        certificate_expires_at,
        locations,
        windows: counted,
        latency,
        previous,
        hours,
        days,
    }
}

fn name(stats: &TargetStats) -> Target {
    Target { url: stats.url.clone(), monitor: stats.monitor.clone().unwrap_or_default() }
}

fn by_target(report: StatsReport) -> BTreeMap<Target, TargetStats> {
    report.stats.into_iter().map(|stats| (name(&stats), stats)).collect()
}
