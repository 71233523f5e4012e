//! What is known about one URL within a window: added up from samples, chunks and summaries.

use shared::{
    Micros,
    history::{
        Counts, FormatError, Histogram, Measure, Sample,
        chunk::{Samples, decode_phase},
        histogram::RELATIVE_ERROR,
        percentile::quantiles,
        summary::{merge_phase, read_summary},
    },
};

/// Counts, and the distribution of one measure.
pub struct Tally {
    /// How many probes of each sort.
    pub counts: Counts,
    /// When the first and the last of them started.
    pub range: Option<(Micros, Micros)>,
    distribution: Distribution,
}

/// Durations: each of them, or how many there are in each bucket.
enum Distribution {
    Exact(Vec<i32>),
    Histogram(Histogram),
}

impl Distribution {
    /// The histogram, made of the durations so far where there was none.
    fn as_histogram(&mut self) -> &mut Histogram {
        if let Self::Exact(durations) = self {
            let mut histogram = Histogram::default();
            durations.iter().for_each(|&micros| histogram.add(micros));
            *self = Self::Histogram(histogram);
        }
        match self {
            Self::Histogram(histogram) => histogram,
            Self::Exact(_) => unreachable!("it was just replaced"),
        }
    }

    fn add(&mut self, micros: i32) {
        match self {
            Self::Exact(durations) => durations.push(micros),
            Self::Histogram(histogram) => histogram.add(micros),
        }
    }
}

impl Tally {
    /// A tally that keeps every duration, or a histogram of them.
    pub(super) fn new(is_exact: bool) -> Self {
        let distribution =
            if is_exact { Distribution::Exact(Vec::new()) } else { Distribution::Histogram(Histogram::default()) };
        Self { counts: Counts::default(), range: None, distribution }
    }

    /// Whether the percentiles are exact.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        matches!(self.distribution, Distribution::Exact(_))
    }

    /// The largest relative error that a percentile can have: 0 where it is exact.
    #[must_use]
    pub fn relative_error(&self) -> f64 {
        if self.is_exact() { 0.0 } else { RELATIVE_ERROR }
    }

    /// The percentiles at these ascending fractions (0 to 1), in microseconds, as SQL's `percentile_cont` defines them;
    /// `None` where there is no duration.
    #[must_use]
    pub fn quantiles<const N: usize>(&mut self, fractions: [f64; N]) -> Option<[f64; N]> {
        match &mut self.distribution {
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
    }

    /// Adds the samples of a chunk that started within a window. With a phase (its place, and the chunk's phases) the
    /// durations are those of the phase, else the response times.
    pub(super) fn add_chunk(
        &mut self,
        samples: &Samples<'_>,
        phase: Option<(usize, &[u8])>,
        from: Micros,
        to: Micros,
    ) -> Result<(), FormatError> {
        let is_inside = |instant: &Micros| (from..to).contains(instant);
        let durations = phase.map(|(phase, bytes)| decode_phase(bytes, phase, samples.count)).transpose()?;
        if is_inside(&samples.first) && is_inside(&samples.last) {
            self.widen(samples.first, samples.last);
            samples.for_each_run(|verdict, length| self.counts.add(verdict, length as u64))?;
            match (durations, &mut self.distribution) {
                (Some(durations), distribution) => {
                    durations.into_iter().flatten().for_each(|micros| distribution.add(micros));
                }
                // By far the most, so it is spelt out.
                (None, Distribution::Exact(durations)) => {
                    durations.reserve(samples.count);
                    samples
                        .for_each(|verdict, micros| durations.extend(micros.filter(|_| verdict.status.is_some())))?;
                }
                (None, Distribution::Histogram(histogram)) => samples.for_each(|verdict, micros| {
                    micros.filter(|_| verdict.status.is_some()).into_iter().for_each(|micros| histogram.add(micros));
                })?,
            }
            return Ok(());
        }
        let mut index = 0;
        let instants = samples.instants()?;
        samples.for_each(|verdict, response_time| {
            let instant = instants.get(index).filter(|instant| is_inside(instant));
            if let Some(&instant) = instant {
                self.counts.add(verdict, 1);
                self.widen(instant, instant);
                let duration = match &durations {
                    Some(durations) => durations.get(index).copied().flatten(),
                    None => response_time.filter(|_| verdict.status.is_some()),
                };
                duration.into_iter().for_each(|micros| self.distribution.add(micros));
            }
            index += 1;
        })
    }

    /// Adds a summary of the span that begins at `starts_at`. With a phase (its place, and the summary's phases) the
    /// durations are those of the phase.
    pub(super) fn add_summary(
        &mut self,
        starts_at: Micros,
        summary: &[u8],
        phase: Option<(usize, &[u8])>,
    ) -> Result<(), FormatError> {
        let histogram = self.distribution.as_histogram();
        let (counts, (first, last)) = match phase {
            None => read_summary(starts_at, summary, Some(histogram))?,
            Some((phase, phases)) => {
                merge_phase(phases, phase, histogram)?;
                read_summary(starts_at, summary, None)?
            }
        };
        self.counts.merge(&counts);
        self.widen(first, last);
        Ok(())
    }

    /// Adds another one.
    pub(super) fn merge(&mut self, other: Self) {
        self.counts.merge(&other.counts);
        if let Some((first, last)) = other.range {
            self.widen(first, last);
        }
        match other.distribution {
            Distribution::Exact(durations) => durations.into_iter().for_each(|micros| self.distribution.add(micros)),
            Distribution::Histogram(histogram) => self.distribution.as_histogram().merge(&histogram),
        }
    }

    fn widen(&mut self, first: Micros, last: Micros) {
        let range = self.range.map_or((first, last), |(from, to)| (from.min(first), to.max(last)));
        self.range = Some(range);
    }
}
