//! A closed hour of one target and location: every probe exactly, in about six bytes, and thirteen more for the phases.
//!
//! Two columns, so that a reader that needs no phases does not fetch them. Version 1, all numbers as in `varint`:
//!
//! - `samples`: the version; the count; the first and the last instant, in microseconds since the hour; a length and as
//!   many bytes of instants (from the second on, the change of the distance to the one before, signed); the verdicts in
//!   runs (length, status or 0, outcome + 4 · (kind of error + 1)); the response times (0 for none, else one more).
//! - `phases`: the version; for each of [`Measure::PHASES`](super::Measure::PHASES) a length and as many bytes: one
//!   number per sample (0 for none, else one more), or no bytes at all where no sample has the phase.
//!
//! The samples of a chunk are sorted altogether, so equal samples give equal bytes.

use super::{
    FormatError, Sample, Verdict,
    varint::{Reader, put, put_bytes, put_signed},
};
use crate::{
    micros::Micros,
    record::{FailureKind, Outcome},
};

const SAMPLES: &str = "a chunk";
const PHASES: &str = "the phases of a chunk";

/// A chunk as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Instants, verdicts and response times.
    pub samples: Vec<u8>,
    /// The phases of the same samples.
    pub phases: Vec<u8>,
}

impl Chunk {
    /// Encodes samples of the hour that begins at `hour`, which are in the order of their instants.
    #[must_use]
    pub fn encode(hour: Micros, sorted: &[Sample]) -> Self {
        Self { samples: encode_samples(hour, sorted), phases: encode_phases(sorted) }
    }

    /// The samples.
    ///
    /// # Errors
    /// The bytes are damaged, or in the format of a newer release.
    pub fn decode(&self, hour: Micros) -> Result<Vec<Sample>, FormatError> {
        decode(hour, &self.samples, Some(&self.phases))
    }
}

/// The samples of the two columns of a chunk; without phases where these were not fetched.
///
/// # Errors
/// The bytes are damaged, or in the format of a newer release.
pub fn decode(hour: Micros, samples: &[u8], phases: Option<&[u8]>) -> Result<Vec<Sample>, FormatError> {
    let chunk = Samples::read(hour, samples)?;
    let mut decoded = Vec::with_capacity(chunk.count);
    let mut instants = chunk.instants()?.into_iter();
    chunk.for_each(|verdict, response_time_us| {
        let probed_at = instants.next().unwrap_or(chunk.last);
        decoded.push(Sample { probed_at, verdict, response_time_us, phases_us: [None; 5] });
    })?;
    let Some(phases) = phases else { return Ok(decoded) };
    let mut reader = Reader::new(PHASES, phases)?;
    for phase in 0..5 {
        let durations = durations(reader.take_bytes()?, decoded.len())?;
        for (sample, duration) in decoded.iter_mut().zip(durations) {
            if let Some(slot) = sample.phases_us.get_mut(phase) {
                *slot = duration;
            }
        }
    }
    reader.finish()?;
    Ok(decoded)
}

/// The durations of one phase (a place in [`Measure::PHASES`](super::Measure::PHASES)), one per sample.
///
/// # Errors
/// Those of [`decode`].
pub fn decode_phase(phases: &[u8], phase: usize, count: usize) -> Result<Vec<Option<i32>>, FormatError> {
    let mut reader = Reader::new(PHASES, phases)?;
    for _ in 0..phase {
        reader.take_bytes()?;
    }
    durations(reader.take_bytes()?, count)
}

/// The column `samples`, read as far as is needed.
pub struct Samples<'bytes> {
    /// How many samples there are; at least one.
    pub count: usize,
    /// When the first one started.
    pub first: Micros,
    /// When the last one started.
    pub last: Micros,
    instants: Reader<'bytes>,
    rest: Reader<'bytes>,
}

impl<'bytes> Samples<'bytes> {
    /// Reads the head of the column.
    ///
    /// # Errors
    /// Those of [`decode`].
    pub fn read(hour: Micros, bytes: &'bytes [u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(SAMPLES, bytes)?;
        let count = reader.take_as()?;
        // Each has at least one byte, so this bounds what is allocated.
        if count == 0 || count > reader.remaining() {
            return reader.damaged("it has an impossible count");
        }
        let instant = |offset: i64| Micros(hour.0.saturating_add(offset));
        let (first, last) = (instant(reader.take_as()?), instant(reader.take_as()?));
        Ok(Self { count, first, last, instants: reader.take_bytes()?, rest: reader })
    }

    /// When each sample started, ascending.
    ///
    /// # Errors
    /// Those of [`decode`].
    pub fn instants(&self) -> Result<Vec<Micros>, FormatError> {
        let mut reader = self.instants;
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

    /// Visits the verdicts: each, and how many samples in a row have it.
    ///
    /// # Errors
    /// Those of [`decode`].
    pub fn for_each_run(&self, mut visit: impl FnMut(Verdict, usize)) -> Result<(), FormatError> {
        self.runs(&mut visit).map(drop)
    }

    /// Visits the runs, and returns what lies behind them: the response times.
    fn runs(&self, visit: &mut impl FnMut(Verdict, usize)) -> Result<Reader<'bytes>, FormatError> {
        let mut reader = self.rest;
        let mut left = self.count;
        while left > 0 {
            let (length, verdict) = take_run(&mut reader, left)?;
            visit(verdict, length);
            left -= length;
        }
        Ok(reader)
    }

    /// Visits the verdict and the response time of each sample, in order.
    ///
    /// # Errors
    /// Those of [`decode`].
    #[inline]
    pub fn for_each(&self, mut visit: impl FnMut(Verdict, Option<i32>)) -> Result<(), FormatError> {
        let (mut runs, mut times) = (self.rest, self.runs(&mut |_, _| {})?);
        let mut left = self.count;
        while left > 0 {
            let (length, verdict) = take_run(&mut runs, left)?;
            for _ in 0..length {
                visit(verdict, take_duration(&mut times)?);
            }
            left -= length;
        }
        times.finish()
    }
}

fn encode_samples(hour: Micros, sorted: &[Sample]) -> Vec<u8> {
    let offset = |sample: &Sample| sample.probed_at.0.saturating_sub(hour.0).max(0).unsigned_abs();
    let mut instants = Vec::with_capacity(sorted.len() * 4);
    let mut before = 0;
    for pair in sorted.windows(2) {
        if let [one, next] = pair {
            let distance = next.probed_at.0 - one.probed_at.0;
            put_signed(&mut instants, distance - before);
            before = distance;
        }
    }
    let mut out = Vec::with_capacity(instants.len() + sorted.len() * 4 + 24);
    out.push(1);
    put(&mut out, sorted.len() as u64);
    put(&mut out, sorted.first().map_or(0, offset));
    put(&mut out, sorted.last().map_or(0, offset));
    put_bytes(&mut out, &instants);
    for run in sorted.chunk_by(|one, next| one.verdict == next.verdict) {
        let verdict = run.first().map(|sample| sample.verdict);
        put(&mut out, run.len() as u64);
        put(&mut out, verdict.and_then(|verdict| verdict.status).unwrap_or(0).into());
        put(&mut out, verdict.map_or(0, verdict_code));
    }
    sorted.iter().for_each(|sample| put_duration(&mut out, sample.response_time_us));
    out
}

fn encode_phases(sorted: &[Sample]) -> Vec<u8> {
    let mut out = vec![1];
    let mut durations = Vec::with_capacity(sorted.len() * 3);
    for phase in 0..5 {
        durations.clear();
        let values = || sorted.iter().map(|sample| sample.phases_us.get(phase).copied().flatten());
        if values().any(|duration| duration.is_some()) {
            values().for_each(|duration| put_duration(&mut durations, duration));
        }
        put_bytes(&mut out, &durations);
    }
    out
}

fn put_duration(out: &mut Vec<u8>, micros: Option<i32>) {
    put(out, micros.map_or(0, |micros| u64::from(micros.max(0).unsigned_abs()) + 1));
}

#[inline]
fn take_duration(reader: &mut Reader<'_>) -> Result<Option<i32>, FormatError> {
    let value = reader.take()?;
    match i32::try_from(value.wrapping_sub(1)) {
        Ok(micros) => Ok(Some(micros)),
        Err(_) if value == 0 => Ok(None),
        Err(_) => reader.damaged("a duration is out of range"),
    }
}

fn durations(mut reader: Reader<'_>, count: usize) -> Result<Vec<Option<i32>>, FormatError> {
    if reader.remaining() == 0 {
        return Ok(vec![None; count]);
    }
    if count > reader.remaining() {
        return reader.damaged("a phase breaks off");
    }
    let durations = (0..count).map(|_| take_duration(&mut reader)).collect::<Result<_, _>>()?;
    reader.finish()?;
    Ok(durations)
}

fn verdict_code(verdict: Verdict) -> u64 {
    u64::from(verdict.outcome.code()) + 4 * verdict.error.map_or(0, |kind| u64::from(kind.code()) + 1)
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
    let Some(&outcome) = Outcome::ALL.get(code % 4) else { return reader.damaged("an outcome is unknown") };
    let error = match (code / 4).checked_sub(1).map(|kind| FailureKind::ALL.get(kind)) {
        None => None,
        Some(Some(&kind)) => Some(kind),
        Some(None) => return reader.damaged("a kind of error is unknown"),
    };
    Ok((length, Verdict { status: (status > 0).then_some(status), outcome, error }))
}
