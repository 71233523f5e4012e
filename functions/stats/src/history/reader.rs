//! What a cover names, added up: chunks, summaries, and the hours that are not sealed.

use std::{
    ops::Range,
    pin::pin,
    sync::atomic::{AtomicU64, Ordering},
};

use futures::{TryStreamExt as _, try_join};
use shared::{
    Micros, Span,
    database::DatabaseError,
    history::{
        FormatError, Measure, Sample, Verdict,
        chunk::{self, Columns, Samples},
        open,
    },
};
use tokio_postgres::{
    Client, Error, RowStream,
    types::{ToSql, Type},
};

use super::{
    HistoryError, MAX_HISTOGRAMS, MAX_PARTS,
    cover::{self, Cover, Window},
    held::Verdicts,
    schedule::Schedule,
    split::{Part, Split},
    tallies::Tallies,
    tally::{Keep, Tally},
    targets::Targets,
};

/// Adds up what the queries return.
pub(super) struct Reader<'read> {
    pub(super) client: &'read Client,
    pub(super) targets: &'read Targets,
    pub(super) split: Split,
    /// What is measured, and in which group by phase.
    pub(super) measures: Vec<(Option<usize>, Measure)>,
    pub(super) window: Window,
    /// What of durations, unless there are too many of them.
    pub(super) keep: Keep,
    /// How many may be kept one by one, and how many are, in all that is read.
    pub(super) exact_durations: u64,
    pub(super) kept: AtomicU64,
    /// How many samples of hours that are not sealed are held at a time, about.
    pub(super) samples_at_a_time: i64,
    /// Whether it is to be known in which state targets are.
    pub(super) with_states: bool,
    /// Whether it is to be known how long verdicts held.
    pub(super) with_verdicts: bool,
    /// Whether each verdict is to be kept for that.
    pub(super) keeps_each: bool,
}

impl Reader<'_> {
    /// A block of targets. The queries are sent together, so that the server works on one while the answer to another is
    /// added up.
    pub(super) async fn read_block(&self, cover: &Cover) -> Result<Tallies, HistoryError> {
        let (mut tallies, summaries, unsealed) =
            try_join!(self.chunks(cover), self.summaries(cover), self.unsealed(cover))?;
        tallies.extend(summaries);
        tallies.extend(unsealed);
        Ok(tallies)
    }

    /// Whether there are no more parts than there may be: each takes some memory, and one with a histogram much of it. Beyond so
    /// many durations, these take less; there is no such thing for verdicts that are kept one by one.
    pub(super) fn check(&self, tallies: &mut Tallies) -> Result<(), HistoryError> {
        let (kept, most) = (self.kept.load(Ordering::Relaxed), self.exact_durations);
        if kept > most && self.keeps_each {
            let [probes, limit] = [kept, most].map(|kept| i64::try_from(kept / self.each()).unwrap_or(i64::MAX));
            return Err(HistoryError::TooMany { probes, limit });
        }
        let is_coarse = kept > most || self.keep == Keep::Histogram;
        let limit = if is_coarse { MAX_HISTOGRAMS } else { MAX_PARTS };
        let parts = tallies.parts.len();
        if self.split != Split::default() && parts > limit {
            let parameter = if self.split.bucket.is_some() { "bucket" } else { "by" };
            return Err(HistoryError::TooLarge { parts: parts as u64, limit: limit as u64, parameter });
        }
        if kept > most && !tallies.is_coarse {
            tallies.is_coarse = true;
            tallies.parts.values_mut().for_each(Tally::coarsen);
        }
        Ok(())
    }

    /// How many durations a sample is worth.
    fn each(&self) -> u64 {
        // A verdict with its instant takes as much as four.
        self.measures.len() as u64 + if self.keeps_each { 4 } else { 0 }
    }

    /// Counts that so many samples were read.
    fn count(&self, samples: usize) {
        if self.keep != Keep::Nothing {
            self.kept.fetch_add((samples as u64).saturating_mul(self.each()), Ordering::Relaxed);
        }
    }

    fn keep(&self, tallies: &Tallies) -> Keep {
        if tallies.is_coarse && self.keep == Keep::Each { Keep::Histogram } else { self.keep }
    }

    fn tally<'tallies>(&self, tallies: &'tallies mut Tallies, target: i32, part: Part) -> &'tallies mut Tally {
        let keep = self.keep(tallies);
        tallies.parts.entry((target, part)).or_insert_with(|| Tally::new(keep))
    }

    fn verdicts<'tallies>(
        &self,
        tallies: &'tallies mut Tallies,
        key: (i32, i16, Option<Micros>),
    ) -> &'tallies mut Verdicts {
        tallies.verdicts.entry(key).or_insert_with(|| Verdicts::new(self.keeps_each))
    }

    /// How often a target was to be probed from a location.
    fn schedule(&self, target: i32, location: i16) -> &Schedule {
        static UNKNOWN: Schedule = Schedule::unknown();
        self.targets.known.get(&target).and_then(|known| known.schedules.get(&location)).unwrap_or(&UNKNOWN)
    }

    fn with_phases(&self) -> bool {
        self.measures.iter().any(|(_, measure)| measure.phase().is_some())
    }

    /// The whole days and months.
    async fn summaries(&self, cover: &Cover) -> Result<Tallies, HistoryError> {
        let mut tallies = Tallies::default();
        if cover.summaries.is_empty() {
            return Ok(tallies);
        }
        let query = include_str!("select_summaries.sql");
        let mut rows = pin!(summaries(self.client, query, self.targets, cover, Some(&self.with_phases())).await?);
        while let Some(row) = rows.try_next().await? {
            let (target, location, starts_at) =
                (row.try_get("target_id")?, row.try_get("location_id")?, row.try_get("starts_at")?);
            let part = self.split.part(location, None, starts_at);
            let mut course = None;
            for &(group, measure) in &self.measures {
                let phases = measure.phase().map(|phase| row.try_get("phases").map(|bytes| (phase, bytes)));
                let tally = self.tally(&mut tallies, target, part.with_phase(group));
                let head = tally
                    .add_summary(starts_at, row.try_get("summary")?, phases.transpose()?)
                    .map_err(DatabaseError::from)?;
                course = Some(head.course);
            }
            if let Some(course) = course.filter(|_| self.with_verdicts) {
                let key = (target, location, self.split.bucket(starts_at));
                self.verdicts(&mut tallies, key).add_course(self.schedule(target, location), course);
            }
            self.check(&mut tallies)?;
        }
        Ok(tallies)
    }

    /// The sealed hours that no summary stands for.
    async fn chunks(&self, cover: &Cover) -> Result<Tallies, HistoryError> {
        let mut tallies = Tallies::default();
        let window = self.window.from..self.window.to;
        for &range in &cover.ranges {
            let mut rows = pin!(self.select_chunks(cover, range).await?);
            // By place: there are many of these rows.
            while let Some(row) = rows.try_next().await? {
                let (target, hour, location) = (row.try_get(0)?, row.try_get(1)?, row.try_get(5)?);
                let (bytes, instants, phases): (_, Option<&[u8]>, Option<&[u8]>) =
                    (row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
                if self.split.needs_samples() {
                    let columns = Columns { samples: bytes, instants: instants.unwrap_or_default(), phases };
                    let samples = chunk::decode(hour, columns).map_err(DatabaseError::from)?;
                    self.count(samples.len());
                    self.add_all(&mut tallies, (target, location), &samples);
                    self.check(&mut tallies)?;
                    continue;
                }
                let samples = Samples::read(hour, bytes).map_err(DatabaseError::from)?;
                self.count(samples.count);
                // Where the window does not cut it, its instants are of no use to a tally.
                let cut = instants.filter(|_| !self.whole_hours().contains(&hour));
                let part = self.split.part(location, None, hour);
                for &(group, measure) in &self.measures {
                    let phase = measure.phase().map(|phase| (phase, phases.unwrap_or_default()));
                    let tally = self.tally(&mut tallies, target, part.with_phase(group));
                    tally.add_chunk(&samples, cut, phase, &window).map_err(DatabaseError::from)?;
                }
                if self.with_verdicts {
                    let key = (target, location, self.split.bucket(hour));
                    let instants = samples.instants(instants.unwrap_or_default()).map_err(DatabaseError::from)?;
                    let runs = runs(&samples, &instants, &window).map_err(DatabaseError::from)?;
                    if let Some(runs) = runs {
                        let each = runs.iter().filter_map(|(run, verdict)| Some((*run, verdict.is_up()?)));
                        self.verdicts(&mut tallies, key).extend(self.schedule(target, location), each);
                        if self.with_states {
                            let each = runs.iter().flat_map(|(run, verdict)| run.iter().map(|at| (*at, *verdict)));
                            tallies.states.entry((target, location)).or_default().extend(each);
                        }
                    }
                }
                self.check(&mut tallies)?;
            }
        }
        Ok(tallies)
    }

    /// The hours that are not sealed.
    async fn unsealed(&self, cover: &Cover) -> Result<Tallies, HistoryError> {
        let mut tallies = Tallies::default();
        let (block, hours) = (cover.block, &cover.unsealed_hours);
        let only = self.targets.only(block);
        for part in open::parts(self.client, block, only, hours, self.samples_at_a_time).await? {
            let (targets, hours) = (part.targets.as_deref(), &part.hours);
            for ((owner, _), samples) in open::select(self.client, block, targets, hours, self.with_phases()).await? {
                self.count(samples.len());
                self.add_all(&mut tallies, owner, &samples);
                self.check(&mut tallies)?;
            }
        }
        Ok(tallies)
    }

    /// Adds samples in the order of time, those that are in the window.
    fn add_all(&self, tallies: &mut Tallies, (target, location): (i32, i16), samples: &[Sample]) {
        let window = self.window.from..self.window.to;
        let inside = samples.iter().filter(|sample| window.contains(&sample.probed_at));
        for sample in inside.clone() {
            let part = self.split.part(location, Some(sample.verdict), sample.probed_at);
            for &(group, measure) in &self.measures {
                self.tally(tallies, target, part.with_phase(group)).add(sample, measure);
            }
        }
        if !self.with_verdicts {
            return;
        }
        if self.with_states {
            let each = inside.clone().map(|sample| (sample.probed_at, sample.verdict));
            tallies.states.entry((target, location)).or_default().extend(each);
        }
        let inside: Vec<&Sample> = inside.collect();
        let bucket = |sample: &Sample| self.split.bucket(sample.probed_at);
        for run in inside.chunk_by(|one, next| bucket(one) == bucket(next)) {
            let Some(first) = run.first() else { continue };
            let key = (target, location, bucket(first));
            let verdict = |sample: &&Sample| Some((sample.probed_at, sample.verdict.is_up()?));
            let (instants, are_up): (Vec<_>, Vec<_>) = run.iter().filter_map(verdict).unzip();
            let mut rest = instants.as_slice();
            let runs = are_up.chunk_by(|one, next| one == next).filter_map(|run| {
                let (instants, after) = rest.split_at_checked(run.len())?;
                rest = after;
                Some((instants, *run.first()?))
            });
            self.verdicts(tallies, key).extend(self.schedule(target, location), runs);
        }
    }

    /// The hours whose instants do not matter, since they lie in the window as a whole.
    fn whole_hours(&self) -> Range<Micros> {
        // Where each sample is looked at, its instant is too.
        if self.split.needs_samples() { Micros::MIN..Micros::MIN } else { self.window.whole(Span::Hour) }
    }

    /// The chunks of a range of instants, without the hours that are not sealed.
    async fn select_chunks(&self, cover: &Cover, (from, to): (Micros, Micros)) -> Result<RowStream, Error> {
        let from = cover::start(Span::Hour, from);
        let (first, last) = cover.block.targets();
        let only = self.targets.only(cover.block);
        let whole = if self.with_verdicts { Micros::MIN..Micros::MIN } else { self.whole_hours() };
        let with_phases = self.with_phases();
        let parameters: [(&(dyn ToSql + Sync), Type); 9] = [
            (&first, Type::INT4),
            (&last, Type::INT4),
            (&only, Type::INT4_ARRAY),
            (&from, Type::TIMESTAMPTZ),
            (&to, Type::TIMESTAMPTZ),
            (&cover.unsealed_hours, Type::TIMESTAMPTZ_ARRAY),
            (&whole.start, Type::TIMESTAMPTZ),
            (&whole.end, Type::TIMESTAMPTZ),
            (&with_phases, Type::BOOL),
        ];
        self.client.query_typed_raw(include_str!("select_chunks.sql"), parameters).await
    }
}

/// When verdicts came that follow each other and are the same, and that verdict.
type Same<'instants> = (&'instants [Micros], Verdict);

/// The verdicts of a chunk that came within a window, in the order of time, those that are the same in one. `None` where nothing
/// of the chunk came within it.
fn runs<'instants>(
    samples: &Samples<'_>,
    instants: &'instants [Micros],
    window: &Range<Micros>,
) -> Result<Option<Vec<Same<'instants>>>, FormatError> {
    let from = instants.partition_point(|instant| *instant < window.start);
    let to = instants.partition_point(|instant| *instant < window.end);
    if from >= to {
        return Ok(None);
    }
    let mut runs = Vec::new();
    samples.for_each_run(|verdict, run| {
        let inside = instants.get(run.start.max(from)..run.end.min(to));
        runs.extend(inside.map(|inside| (inside, verdict)));
    })?;
    Ok(Some(runs))
}

/// Runs a query over the summaries that a cover takes, with or without phases where it has a say in that.
pub(super) async fn summaries(
    client: &Client,
    query: &str,
    targets: &Targets,
    cover: &Cover,
    with_phases: Option<&bool>,
) -> Result<RowStream, Error> {
    let (first, last) = cover.block.targets();
    let only = targets.only(cover.block);
    let spans: Vec<_> = cover.summaries.iter().map(|(span, _)| span.code()).collect();
    let (from, to): (Vec<_>, Vec<_>) = cover.summaries.iter().map(|(_, range)| (range.start, range.end)).unzip();
    let mut parameters: Vec<(&(dyn ToSql + Sync), Type)> = vec![
        (&first, Type::INT4),
        (&last, Type::INT4),
        (&only, Type::INT4_ARRAY),
        (&spans, Type::INT2_ARRAY),
        (&from, Type::TIMESTAMPTZ_ARRAY),
        (&to, Type::TIMESTAMPTZ_ARRAY),
    ];
    parameters.extend(with_phases.map(|with_phases| (with_phases as &(dyn ToSql + Sync), Type::BOOL)));
    client.query_typed_raw(query, parameters).await
}
