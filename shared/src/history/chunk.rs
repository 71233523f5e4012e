//! A closed hour of one target and location: every probe exactly, in about six bytes, and thirteen more for the phases.
//!
//! Three columns, so that a reader that does not need instants or phases does not fetch them. Version 1, all numbers as
//! in `varint`:
//!
//! - `instants`: the version; from the second sample on, the change of the distance to the one before, in microseconds,
//!   signed.
//! - `samples`: the version; the count; the first and the last instant, in microseconds since the hour; a length and as
//!   many bytes of response times (see [`durations`]); the verdicts in runs (length, status or 0, outcome + 4 · (kind of
//!   error + 1) + 64 where it was tried again + 128 where it was late).
//! - `phases`: the version; for each of [`Measure::PHASES`](super::Measure::PHASES) a length and as many bytes of
//!   durations, or no bytes at all where no sample has the phase.
//!
//! The samples of a chunk are sorted altogether, so equal samples give equal bytes.

use std::ops::Range;

use super::{
    FormatError, Sample, Verdict,
    durations::{self, NONE},
    varint::{Reader, put, put_bytes, put_signed},
};
use crate::{
    micros::Micros,
    record::{FailureKind, Outcome},
};

const INSTANTS: &str = "the instants of a chunk";
const SAMPLES: &str = "a chunk";
const PHASES: &str = "the phases of a chunk";

/// A chunk as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// When each sample started.
    pub instants: Vec<u8>,
    /// Verdicts and response times.
    pub samples: Vec<u8>,
    /// The phases of the same samples.
    pub phases: Vec<u8>,
}

/// The columns of a chunk as they were fetched.
#[derive(Debug, Clone, Copy)]
pub struct Columns<'bytes> {
    /// When each sample started.
    pub instants: &'bytes [u8],
    /// Verdicts and response times.
    pub samples: &'bytes [u8],
    /// The phases of the same samples, if these are wanted.
    pub phases: Option<&'bytes [u8]>,
}

impl Chunk {
    /// Encodes samples of the hour that begins at `hour`, which are in the order of their instants.
    #[must_use]
    pub fn encode(hour: Micros, sorted: &[Sample]) -> Self {
        Self { instants: encode_instants(sorted), samples: encode_samples(hour, sorted), phases: encode_phases(sorted) }
    }

    /// All of it.
    #[must_use]
    pub fn columns(&self) -> Columns<'_> {
        Columns { instants: &self.instants, samples: &self.samples, phases: Some(&self.phases) }
    }
}

/// The samples of the hour that begins at `hour`.
///
/// # Errors
/// The bytes are damaged, or in the format of a newer release.
pub fn decode(hour: Micros, columns: Columns<'_>) -> Result<Vec<Sample>, FormatError> {
    let samples = Samples::read(hour, columns.samples)?;
    let instants = samples.instants(columns.instants)?;
    let response_times = samples.response_times()?;
    let mut decoded = Vec::with_capacity(samples.count);
    let mut probes = instants.into_iter().zip(response_times);
    samples.for_each_run(|verdict, run| {
        decoded.extend(probes.by_ref().take(run.len()).map(|(probed_at, response_time)| Sample {
            probed_at,
            verdict,
            response_time_us: durations::duration(response_time),
            phases_us: [None; 5],
        }));
    })?;
    let Some(phases) = columns.phases else { return Ok(decoded) };
    let (mut reader, count) = (Reader::new(PHASES, phases)?, decoded.len());
    for phase in 0..5 {
        for (sample, duration) in decoded.iter_mut().zip(phase_durations(&mut reader, count)?) {
            if let Some(slot) = sample.phases_us.get_mut(phase) {
                *slot = durations::duration(duration);
            }
        }
    }
    reader.finish()?;
    Ok(decoded)
}

/// The durations of one phase (a place in [`Measure::PHASES`](super::Measure::PHASES)), one per sample:
/// microseconds, or [`NONE`].
///
/// # Errors
/// Those of [`decode`].
pub fn decode_phase(phases: &[u8], phase: usize, count: usize) -> Result<Vec<i32>, FormatError> {
    let mut reader = Reader::new(PHASES, phases)?;
    for _ in 0..phase {
        reader.take_bytes()?;
    }
    phase_durations(&mut reader, count)
}

/// The durations of the next phase.
fn phase_durations(reader: &mut Reader<'_>, count: usize) -> Result<Vec<i32>, FormatError> {
    match reader.take_bytes()?.rest() {
        [] => Ok(vec![NONE; count]),
        bytes => durations::decode(PHASES, bytes, count),
    }
}

/// How many samples there are, from the first eleven bytes of the column `samples`, or more of it.
///
/// # Errors
/// Those of [`decode`].
pub fn count(samples: &[u8]) -> Result<u64, FormatError> {
    Reader::new(SAMPLES, samples)?.take_as()
}

/// The column `samples`, read as far as is needed.
pub struct Samples<'bytes> {
    /// How many samples there are; at least one.
    pub count: usize,
    /// When the first one started.
    pub first: Micros,
    /// When the last one started.
    pub last: Micros,
    response_times: &'bytes [u8],
    runs: Reader<'bytes>,
}

impl<'bytes> Samples<'bytes> {
    /// Reads the head of the column.
    ///
    /// # Errors
    /// Those of [`decode`].
    pub fn read(hour: Micros, bytes: &'bytes [u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(SAMPLES, bytes)?;
        let count = reader.take_as()?;
        let instant = |offset: i64| Micros(hour.0.saturating_add(offset));
        let (first, last) = (instant(reader.take_as()?), instant(reader.take_as()?));
        let response_times = reader.take_bytes()?.rest();
        // Four of them have a byte at least, so this bounds what is allocated.
        if count == 0 || count > response_times.len() * 4 {
            return reader.damaged("it has an impossible count");
        }
        Ok(Self { count, first, last, response_times, runs: reader })
    }

    /// When each sample started, ascending, from the column `instants`.
    ///
    /// # Errors
    /// Those of [`decode`].
    pub fn instants(&self, bytes: &[u8]) -> Result<Vec<Micros>, FormatError> {
        let mut reader = Reader::new(INSTANTS, bytes)?;
        let (mut instant, mut distance) = (self.first.0, 0_i64);
        let mut instants = Vec::with_capacity(self.count);
        instants.push(self.first);
        for _ in 1..self.count {
            distance = distance.saturating_add(reader.take_signed()?);
            instant = instant.saturating_add(distance);
            instants.push(Micros(instant));
        }
        reader.finish()?;
        Ok(instants)
    }

    /// The response time of each sample: microseconds, or [`NONE`].
    ///
    /// # Errors
    /// Those of [`decode`].
    pub fn response_times(&self) -> Result<Vec<i32>, FormatError> {
        durations::decode(SAMPLES, self.response_times, self.count)
    }

    /// Visits the verdicts: each, and the places of the samples in a row that have it.
    ///
    /// # Errors
    /// Those of [`decode`].
    pub fn for_each_run(&self, mut visit: impl FnMut(Verdict, Range<usize>)) -> Result<(), FormatError> {
        let mut reader = self.runs;
        let mut start = 0;
        while start < self.count {
            let (length, verdict) = take_run(&mut reader, self.count - start)?;
            visit(verdict, start..start + length);
            start += length;
        }
        reader.finish()
    }
}

fn encode_instants(sorted: &[Sample]) -> Vec<u8> {
    let mut out = Vec::with_capacity(sorted.len() * 4);
    out.push(1);
    let mut before = 0;
    for pair in sorted.windows(2) {
        if let [one, next] = pair {
            let distance = next.probed_at.0 - one.probed_at.0;
            put_signed(&mut out, distance - before);
            before = distance;
        }
    }
    out
}

fn encode_samples(hour: Micros, sorted: &[Sample]) -> Vec<u8> {
    let offset = |sample: &Sample| sample.probed_at.0.saturating_sub(hour.0).max(0).unsigned_abs();
    let mut out = Vec::with_capacity(sorted.len() * 4 + 24);
    out.push(1);
    put(&mut out, sorted.len() as u64);
    put(&mut out, sorted.first().map_or(0, offset));
    put(&mut out, sorted.last().map_or(0, offset));
    put_bytes(&mut out, &durations::encode(sorted.iter().map(|sample| sample.response_time_us)));
    for run in sorted.chunk_by(|one, next| one.verdict == next.verdict) {
        let verdict = run.first().map(|sample| sample.verdict);
        put(&mut out, run.len() as u64);
        put(&mut out, verdict.and_then(|verdict| verdict.status).unwrap_or(0).into());
        put(&mut out, verdict.map_or(0, verdict_code));
    }
    out
}

fn encode_phases(sorted: &[Sample]) -> Vec<u8> {
    let mut out = vec![1];
    for phase in 0..5 {
        let durations = sorted.iter().map(|sample| sample.phases_us.get(phase).copied().flatten());
        let is_there = durations.clone().any(|duration| duration.is_some());
        put_bytes(&mut out, &if is_there { durations::encode(durations) } else { Vec::new() });
    }
    out
}

fn verdict_code(verdict: Verdict) -> u64 {
    let error = verdict.error.map_or(0, |kind| u64::from(kind.code()) + 1);
    let flags = 64 * u64::from(verdict.is_retried) + 128 * u64::from(verdict.is_late);
    u64::from(verdict.outcome.code()) + 4 * error + flags
}

/// The next run: its length, at most `left`, and its verdict.
#[inline]
fn take_run(reader: &mut Reader<'_>, left: usize) -> Result<(usize, Verdict), FormatError> {
    let length = reader.take_as()?;
    if length == 0 || length > left {
        return reader.damaged("a run has an impossible length");
    }
    let status: u16 = reader.take_as()?;
    let code: usize = reader.take_as()?;
    if code >= 256 {
        return reader.damaged("a verdict is unknown");
    }
    let (is_retried, is_late, code) = (code & 64 > 0, code & 128 > 0, code & 63);
    let Some(&outcome) = Outcome::ALL.get(code % 4) else { return reader.damaged("an outcome is unknown") };
    let error = match (code / 4).checked_sub(1).map(|kind| FailureKind::ALL.get(kind)) {
        None => None,
        Some(Some(&kind)) => Some(kind),
        Some(None) => return reader.damaged("a kind of error is unknown"),
    };
    Ok((length, Verdict { status: (status > 0).then_some(status), outcome, error, is_retried, is_late }))
}
