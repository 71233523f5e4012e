//! A closed day, or month, of one target and location: counts, and a histogram of each duration.
//!
//! Two columns, as in a chunk, all numbers as in `varint`:
//!
//! - `summary`: the version, 3; the first and the last instant, in microseconds since the start of the span; the counts by
//!   outcome, by status class and by kind of error, that of the attempts that others followed, and that of late slots; the
//!   course (0 for none, 1 and a length and as many bytes, 2 for one that is not known); a length and as many bytes of
//!   histogram of what timeouts took; the histogram of the response times. Versions 1 and 2 lack course and timeouts, and
//!   of the counts the last (2), or the last two (1), which are 0 there.
//! - `phases`: the version, 1; for each of [`Measure::PHASES`](super::Measure::PHASES) a length and as many bytes of histogram.

use super::{
    Course, FormatError, Histogram, Verdict,
    chunk::{self, Columns, Samples},
    varint::{Reader, put, put_bytes},
};
use crate::{
    micros::Micros,
    record::{FailureKind, Outcome},
};

const SUMMARY: &str = "a summary";
const PHASES: &str = "the phases of a summary";
/// The version that summaries are written in.
const NEWEST: u8 = 3;

/// How many there were of each sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Slots by their verdict, in the order of [`Outcome::ALL`](crate::record::Outcome::ALL): of several attempts in a
    /// slot, the last.
    pub outcomes: [u64; 4],
    /// Responses by the class of their status: 1xx to 5xx, and any other; together they are all responses.
    pub status_classes: [u64; 6],
    /// By kind of error, in the order of [`FailureKind::ALL`](crate::record::FailureKind::ALL).
    pub errors: [u64; 9],
    /// Attempts that were followed by another one in the same slot.
    pub retried: u64,
    /// Slots that began late.
    pub late: u64,
}

impl Counts {
    /// Counts attempts with the same verdict.
    pub fn add(&mut self, verdict: Verdict, attempts: u64) {
        let class = verdict.status.map(|status| match status {
            100..600 => usize::from(status / 100) - 1,
            _ => 5,
        });
        let outcome = if verdict.is_retried {
            Some(&mut self.retried)
        } else {
            self.outcomes.get_mut(usize::from(verdict.outcome.code()))
        };
        let slots = [
            outcome,
            class.and_then(|class| self.status_classes.get_mut(class)),
            verdict.error.and_then(|kind| self.errors.get_mut(usize::from(kind.code()))),
        ];
        slots.into_iter().flatten().for_each(|count| *count += attempts);
        self.late += if verdict.is_late { attempts } else { 0 };
    }

    /// Adds the counts of another one.
    pub fn merge(&mut self, other: &Self) {
        self.slots().zip(other.values()).for_each(|(count, more)| *count = count.saturating_add(more));
    }

    /// All that is counted: every attempt, and every slot that was missed.
    #[must_use]
    pub fn all(&self) -> u64 {
        sum(&self.outcomes).saturating_add(self.retried)
    }

    /// The requests that were made, each attempt being one.
    #[must_use]
    pub fn probes(&self) -> u64 {
        self.all().saturating_sub(self.of(Outcome::Missed))
    }

    /// The slots with this verdict.
    #[must_use]
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(usize::from(outcome.code())).copied().unwrap_or_default()
    }

    /// The probes that got a response of any status.
    #[must_use]
    pub fn responses(&self) -> u64 {
        sum(&self.status_classes)
    }

    fn slots(&mut self) -> impl Iterator<Item = &mut u64> {
        let counts = self.outcomes.iter_mut().chain(&mut self.status_classes).chain(&mut self.errors);
        counts.chain([&mut self.retried, &mut self.late])
    }

    fn values(&self) -> impl Iterator<Item = u64> {
        self.outcomes.into_iter().chain(self.status_classes).chain(self.errors).chain([self.retried, self.late])
    }
}

/// Counts that were read from damaged bytes may be of any size.
fn sum(counts: &[u64]) -> u64 {
    counts.iter().fold(0, |sum, &count| sum.saturating_add(count))
}

/// What is known about many probes without keeping each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// How many of each sort.
    pub counts: Counts,
    /// When the first and the last of them started.
    pub range: Option<(Micros, Micros)>,
    /// The response times, as [`Measure::ResponseTime`](super::Measure::ResponseTime) has them.
    pub response_times: Histogram,
    /// After how long those were given up that ended in a timeout before there was a response.
    pub timeouts: Histogram,
    /// The courses of the verdicts in parts of the span; `None` where some of it is not known.
    pub courses: Option<Vec<Course>>,
    /// The phases, in the order of [`Measure::PHASES`](super::Measure::PHASES).
    pub phases: [Histogram; 5],
}

/// A summary as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedSummary {
    /// Counts and response times.
    pub summary: Vec<u8>,
    /// The phases of the same probes.
    pub phases: Vec<u8>,
}

impl Default for Summary {
    fn default() -> Self {
        Self {
            counts: Counts::default(),
            range: None,
            response_times: Histogram::default(),
            timeouts: Histogram::default(),
            courses: Some(Vec::new()),
            phases: std::array::from_fn(|_| Histogram::default()),
        }
    }
}

impl Summary {
    /// Adds the probes of a chunk of the hour that begins at `hour`.
    ///
    /// # Errors
    /// The bytes are damaged, or in the format of a newer release.
    pub fn add_chunk(&mut self, hour: Micros, columns: Columns<'_>) -> Result<(), FormatError> {
        let samples = Samples::read(hour, columns.samples)?;
        let (response_times, instants) = (samples.response_times()?, samples.instants(columns.instants)?);
        self.widen(samples.first, samples.last);
        let mut course: Option<Course> = None;
        samples.for_each_run(|verdict, run| {
            self.counts.add(verdict, run.len() as u64);
            let durations = response_times.get(run.clone()).unwrap_or_default();
            if verdict.status.is_some() {
                self.response_times.add_all(durations);
            } else if verdict.error == Some(FailureKind::Timeout) {
                self.timeouts.add_all(durations);
            }
            let Some(is_up) = verdict.is_up() else { return };
            for &instant in instants.get(run).unwrap_or_default() {
                match &mut course {
                    Some(course) => course.push(instant, is_up),
                    None => course = Some(Course::new(instant, is_up)),
                }
            }
        })?;
        if let Some(courses) = &mut self.courses {
            courses.extend(course);
        }
        let Some(phases) = columns.phases else { return Ok(()) };
        for (phase, histogram) in self.phases.iter_mut().enumerate() {
            histogram.add_all(&chunk::decode_phase(phases, phase, samples.count)?);
        }
        Ok(())
    }

    fn widen(&mut self, first: Micros, last: Micros) {
        let range = self.range.map_or((first, last), |(from, to)| (from.min(first), to.max(last)));
        self.range = Some(range);
    }

    /// Encodes what was added, none of it before `start`.
    #[must_use]
    pub fn encode(&self, start: Micros) -> EncodedSummary {
        let (first, last) = self.range.unwrap_or((start, start));
        let mut summary = vec![NEWEST];
        for instant in [first, last] {
            put(&mut summary, instant.0.saturating_sub(start.0).max(0).unsigned_abs());
        }
        self.counts.values().for_each(|count| put(&mut summary, count));
        let mut bytes = Vec::new();
        match self.courses.clone().map(Course::join) {
            Some(None) => put(&mut summary, 0),
            Some(Some(course)) => {
                course.encode(start, &mut bytes);
                put(&mut summary, 1);
                put_bytes(&mut summary, &bytes);
            }
            None => put(&mut summary, 2),
        }
        bytes.clear();
        self.timeouts.encode(&mut bytes);
        put_bytes(&mut summary, &bytes);
        self.response_times.encode(&mut summary);
        let mut phases = vec![1];
        let mut histogram = Vec::new();
        for phase in &self.phases {
            histogram.clear();
            phase.encode(&mut histogram);
            put_bytes(&mut phases, &histogram);
        }
        EncodedSummary { summary, phases }
    }

    /// Adds the two columns of a summary of the span that begins at `start`.
    ///
    /// # Errors
    /// The bytes are damaged, or in the format of a newer release.
    pub fn merge_encoded(&mut self, start: Micros, summary: &[u8], phases: &[u8]) -> Result<(), FormatError> {
        let head = read_summary(start, summary, [Some(&mut self.response_times), Some(&mut self.timeouts)])?;
        self.counts.merge(&head.counts);
        self.widen(head.range.0, head.range.1);
        match (&mut self.courses, head.course) {
            (Some(courses), Some(course)) => courses.extend(course),
            (courses, _) => *courses = None,
        }
        for (phase, histogram) in self.phases.iter_mut().enumerate() {
            merge_phase(phases, phase, histogram)?;
        }
        Ok(())
    }
}

/// What the column `summary` says beside its histograms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// How many of each sort.
    pub counts: Counts,
    /// When the first and the last of them started.
    pub range: (Micros, Micros),
    /// The course of the verdicts, if there are any; `None` where it is not known.
    pub course: Option<Option<Course>>,
}

/// Reads the column `summary` of the span that begins at `start`. The response times, and what timeouts took, are added each to
/// its histogram, where one is given.
///
/// # Errors
/// The bytes are damaged, or in the format of a newer release.
pub fn read_summary(
    start: Micros,
    summary: &[u8],
    [response_times, timeouts]: [Option<&mut Histogram>; 2],
) -> Result<Head, FormatError> {
    let (version, mut reader) = Reader::versioned(SUMMARY, NEWEST, summary)?;
    let mut instant = || reader.take_as().map(|offset: i64| Micros(start.0.saturating_add(offset)));
    let range = (instant()?, instant()?);
    let mut counts = Counts::default();
    let known = counts.slots().count() - usize::from(NEWEST - version);
    for count in counts.slots().take(known) {
        *count = reader.take()?;
    }
    let course = match if version < 3 { 2 } else { reader.take()? } {
        0 => Some(None),
        1 => Some(Some(Course::read(start, &mut reader.take_bytes()?)?)),
        _ => None,
    };
    let timed_out = if version < 3 { None } else { Some(reader.take_bytes()?) };
    response_times.map_or(Ok(()), |histogram| histogram.merge_encoded(reader))?;
    timeouts.zip(timed_out).map_or(Ok(()), |(histogram, bytes)| histogram.merge_encoded(bytes))?;
    Ok(Head { counts, range, course })
}

/// Adds one phase (a place in [`Measure::PHASES`](super::Measure::PHASES)) of the column `phases` to a histogram.
///
/// # Errors
/// The bytes are damaged, or in the format of a newer release.
pub fn merge_phase(phases: &[u8], phase: usize, histogram: &mut Histogram) -> Result<(), FormatError> {
    let mut reader = Reader::new(PHASES, phases)?;
    for _ in 0..phase {
        reader.take_bytes()?;
    }
    histogram.merge_encoded(reader.take_bytes()?)
}
