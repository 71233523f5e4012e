//! What is known about one URL within a window: added up from samples, chunks and summaries.

use std::{ops::Range, slice::from_ref};

use shared::{
    Micros,
    history::{
        Counts, FormatError, Histogram, Measure, Sample, Verdict,
        chunk::{Samples, decode_phase},
        durations::NONE,
        histogram::RELATIVE_ERROR,
        percentile::{order_statistics, quantiles},
        summary::{Head, merge_phase, read_summary},
    },
    record::FailureKind,
};

/// Counts, and the distribution of one measure.
#[derive(Clone)]
pub struct Tally {
    /// How many probes of each sort.
    pub counts: Counts,
    /// When the first and the last of them started.
    pub range: Option<(Micros, Micros)>,
    distribution: Distribution,
    /// After how long those were given up that ended in a timeout before there was a response.
    timeouts: Distribution,
}

/// What is kept of durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Nothing: probes are only counted.
    Nothing,
    /// Each of them.
    Each,
    /// How many there are in each bucket.
    Histogram,
}

/// Durations, as they are kept.
#[derive(Clone)]
enum Distribution {
    Nothing,
    Exact(Vec<i32>),
    Histogram(Histogram),
}

impl Distribution {
    fn new(keep: Keep) -> Self {
        match keep {
            Keep::Nothing => Self::Nothing,
            Keep::Each => Self::Exact(Vec::new()),
            Keep::Histogram => Self::Histogram(Histogram::default()),
        }
    }

    /// The histogram, made of the durations so far where there was none; none where nothing is kept.
    fn as_histogram(&mut self) -> Option<&mut Histogram> {
        if let Self::Exact(durations) = self {
            let mut histogram = Histogram::default();
            durations.iter().for_each(|&micros| histogram.add(micros));
            *self = Self::Histogram(histogram);
        }
        match self {
            Self::Histogram(histogram) => Some(histogram),
            Self::Nothing | Self::Exact(_) => None,
        }
    }

    fn add(&mut self, micros: i32) {
        match self {
            Self::Nothing => {}
            Self::Exact(durations) => durations.push(micros),
            Self::Histogram(histogram) => histogram.add(micros),
        }
    }

    /// Adds the durations of a decoded list, that is without [`NONE`].
    fn add_all(&mut self, entries: &[i32]) {
        match self {
            Self::Nothing => {}
            Self::Exact(durations) if entries.contains(&NONE) => {
                durations.extend(entries.iter().filter(|entry| **entry != NONE));
            }
            Self::Exact(durations) => durations.extend_from_slice(entries),
            Self::Histogram(histogram) => histogram.add_all(entries),
        }
    }

    fn count(&self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Exact(durations) => durations.len() as u64,
            Self::Histogram(histogram) => histogram.total(),
        }
    }

    fn order_statistics(&mut self, ranks: &[u64]) -> Option<Vec<f64>> {
        match self {
            Self::Nothing => None,
            Self::Exact(durations) => order_statistics(durations, ranks),
            Self::Histogram(histogram) => histogram.order_statistics(ranks),
        }
    }

    /// Adds another one; a histogram, if either of them is.
    fn merge(&mut self, other: Self) {
        match other {
            other if matches!(self, Self::Exact(durations) if durations.is_empty()) => *self = other,
            Self::Nothing => {}
            Self::Exact(durations) => self.add_all(&durations),
            Self::Histogram(histogram) => {
                self.as_histogram().into_iter().for_each(|own| own.merge(&histogram));
            }
        }
    }
}

/// Whether it timed out before there was a response.
fn is_timeout(verdict: Verdict) -> bool {
    verdict.status.is_none() && verdict.error == Some(FailureKind::Timeout)
}

impl Default for Tally {
    /// Nothing, exactly.
    fn default() -> Self {
        Self::new(Keep::Each)
    }
}

impl Tally {
    /// A tally of nothing yet.
    pub(super) fn new(keep: Keep) -> Self {
        let [distribution, timeouts] = [(); 2].map(|()| Distribution::new(keep));
        Self { counts: Counts::default(), range: None, distribution, timeouts }
    }

    /// Keeps histograms from now on, if it keeps anything.
    pub(super) fn coarsen(&mut self) {
        let _: Option<_> = self.distribution.as_histogram();
        let _: Option<_> = self.timeouts.as_histogram();
    }

    /// Whether the percentiles are exact.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        !matches!(self.distribution, Distribution::Histogram(_))
    }

    /// The largest relative error that a percentile can have: 0 where it is exact.
    #[must_use]
    pub fn relative_error(&self) -> f64 {
        if self.is_exact() { 0.0 } else { RELATIVE_ERROR }
    }

    /// How many durations there are.
    #[must_use]
    pub fn durations(&self) -> u64 {
        self.distribution.count()
    }

    /// How many timeouts there are without a response.
    #[must_use]
    pub fn timeouts(&self) -> u64 {
        self.timeouts.count()
    }

    /// The durations together with what timeouts took, which are these without a response and took at least that; and the
    /// shortest of the latter, in microseconds.
    #[must_use]
    pub fn with_timeouts(&self) -> (Self, Option<f64>) {
        let (mut all, mut timeouts) = (self.clone(), self.timeouts.clone());
        all.distribution.merge(self.timeouts.clone());
        (all, timeouts.order_statistics(&[0]).and_then(|found| found.first().copied()))
    }

    /// The durations at some ranks (from 0), in microseconds, each within [`Tally::relative_error`]; `None` where a rank is
    /// beyond them.
    #[must_use]
    pub fn order_statistics(&mut self, ranks: &[u64]) -> Option<Vec<f64>> {
        self.distribution.order_statistics(ranks)
    }

    /// The mean duration, in microseconds, within [`Tally::relative_error`]; `None` where there is none.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "sums of microseconds are far below 2^53")]
    pub fn mean(&self) -> Option<f64> {
        match &self.distribution {
            Distribution::Nothing => None,
            Distribution::Exact(durations) => {
                let sum: i64 = durations.iter().map(|&micros| i64::from(micros)).sum();
                (!durations.is_empty()).then(|| sum as f64 / durations.len() as f64)
            }
            Distribution::Histogram(histogram) => histogram.mean(),
        }
    }

    /// The percentiles at these ascending fractions (0 to 1), in microseconds, as SQL's `percentile_cont` defines them;
    /// `None` where there is no duration.
    #[must_use]
    pub fn quantiles<const N: usize>(&mut self, fractions: [f64; N]) -> Option<[f64; N]> {
        match &mut self.distribution {
            Distribution::Nothing => None,
            Distribution::Exact(durations) => quantiles(durations, fractions),
            Distribution::Histogram(histogram) => {
                let found: Option<Vec<_>> =
                    fractions.into_iter().map(|fraction| histogram.quantile(fraction)).collect();
                found.and_then(|found| found.try_into().ok())
            }
        }
    }

    pub(super) fn add(&mut self, sample: &Sample, measure: Measure) {
        self.counts.add(sample.verdict, 1);
        self.widen(sample.probed_at, sample.probed_at);
        measure.of(sample).into_iter().for_each(|micros| self.distribution.add(micros));
        if is_timeout(sample.verdict) {
            sample.response_time_us.into_iter().for_each(|micros| self.timeouts.add(micros));
        }
    }

    /// Adds the samples of a chunk that started within a window. With a phase (its place, and the chunk's phases) the
    /// durations are those of the phase, else the response times. The instants matter only where the window cuts it.
    pub(super) fn add_chunk(
        &mut self,
        samples: &Samples<'_>,
        instants: Option<&[u8]>,
        phase: Option<(usize, &[u8])>,
        window: &Range<Micros>,
    ) -> Result<(), FormatError> {
        let keeps = !matches!(self.distribution, Distribution::Nothing);
        // Without them, each is NONE.
        let response_times = if keeps { samples.response_times()? } else { vec![NONE; samples.count] };
        let of_phase = phase.map(|(phase, bytes)| decode_phase(bytes, phase, samples.count)).transpose()?;
        let durations = of_phase.as_ref().unwrap_or(&response_times);
        let counts = |verdict: Verdict| of_phase.is_some() || verdict.status.is_some();
        let Some(instants) = instants else {
            self.widen(samples.first, samples.last);
            return samples.for_each_run(|verdict, run| {
                self.counts.add(verdict, run.len() as u64);
                if counts(verdict) {
                    self.distribution.add_all(durations.get(run.clone()).unwrap_or_default());
                }
                if is_timeout(verdict) {
                    self.timeouts.add_all(response_times.get(run).unwrap_or_default());
                }
            });
        };
        let instants = samples.instants(instants)?;
        let probes: Vec<_> = instants.iter().zip(durations).zip(&response_times).collect();
        samples.for_each_run(|verdict, run| {
            for &((&instant, duration), response_time) in probes.get(run).unwrap_or_default() {
                if window.contains(&instant) {
                    self.counts.add(verdict, 1);
                    self.widen(instant, instant);
                    if counts(verdict) {
                        self.distribution.add_all(from_ref(duration));
                    }
                    if is_timeout(verdict) {
                        self.timeouts.add_all(from_ref(response_time));
                    }
                }
            }
        })
    }

    /// Adds a summary of the span that begins at `starts_at`, and returns what it says beside durations. With a phase (its
    /// place, and the summary's phases) the durations are those of the phase.
    pub(super) fn add_summary(
        &mut self,
        starts_at: Micros,
        summary: &[u8],
        phase: Option<(usize, &[u8])>,
    ) -> Result<Head, FormatError> {
        let (histogram, timeouts) = (self.distribution.as_histogram(), self.timeouts.as_histogram());
        let head = match phase {
            None => read_summary(starts_at, summary, [histogram, timeouts])?,
            Some((phase, phases)) => {
                histogram.map_or(Ok(()), |histogram| merge_phase(phases, phase, histogram))?;
                read_summary(starts_at, summary, [None, timeouts])?
            }
        };
        self.counts.merge(&head.counts);
        self.widen(head.range.0, head.range.1);
        Ok(head)
    }

    /// Adds another one.
    pub(crate) fn merge(&mut self, other: Self) {
        self.counts.merge(&other.counts);
        if let Some((first, last)) = other.range {
            self.widen(first, last);
        }
        self.distribution.merge(other.distribution);
        self.timeouts.merge(other.timeouts);
    }

    fn widen(&mut self, first: Micros, last: Micros) {
        let range = self.range.map_or((first, last), |(from, to)| (from.min(first), to.max(last)));
        self.range = Some(range);
    }
}
