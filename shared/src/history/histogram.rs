//! Counts of durations in buckets that are the same everywhere, so that any two histograms merge by adding.
//!
//! The scheme (version 1) is log-linear, as in HdrHistogram (<https://hdrhistogram.github.io/HdrHistogram/>): durations
//! below 128 µs have a bucket each; above, every octave is cut into 64 buckets of equal width. A bucket stands for its
//! middle, so a duration is off by at most half a bucket: by 1/128 of itself, and not at all below 128 µs. It covers all
//! that the store can hold, 0 µs to 35 minutes, and never degrades, however much is added.

use super::{
    FormatError,
    durations::NONE,
    varint::{Reader, put},
};

/// The largest relative error of a quantile: a half of the width of a bucket, 0.78 %.
pub const RELATIVE_ERROR: f64 = 1.0 / 128.0;

/// Buckets in an octave: 2 to the power of this.
const OCTAVE_BITS: u32 = 6;
/// One above the highest bucket, that of `i32::MAX`.
const BUCKETS: usize = bucket(i32::MAX.unsigned_abs()) + 1;

/// A histogram of durations in microseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Histogram {
    /// Counts by bucket, up to the highest that is not 0.
    counts: Vec<u64>,
    total: u64,
}

/// The bucket of a duration.
pub(super) const fn bucket(micros: u32) -> usize {
    let octave = (micros >> OCTAVE_BITS).checked_ilog2();
    let octave = if let Some(octave) = octave { octave } else { 0 };
    ((octave << OCTAVE_BITS) + (micros >> octave)) as usize
}

/// The middle of a bucket, in microseconds.
pub(super) fn middle(bucket: usize) -> f64 {
    let bucket = u32::try_from(bucket).unwrap_or(u32::MAX);
    let octave = (bucket >> OCTAVE_BITS).saturating_sub(1);
    let lowest = u64::from(bucket - (octave << OCTAVE_BITS)) << octave;
    let highest = lowest + (1 << octave) - 1;
    #[expect(clippy::cast_precision_loss, reason = "below 2^33")]
    let sum = (lowest + highest) as f64;
    sum / 2.0
}

impl Histogram {
    /// Counts a duration; a negative one, which there is not, as none.
    pub fn add(&mut self, micros: i32) {
        self.add_many(bucket(micros.max(0).unsigned_abs()), 1);
    }

    /// Counts the durations of a decoded list, that is without [`NONE`].
    pub fn add_all(&mut self, entries: &[i32]) {
        entries.iter().filter(|entry| **entry != NONE).for_each(|&micros| self.add(micros));
    }

    /// Adds the counts of another one. Order and grouping make no difference.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, &count) in other.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            self.add_many(bucket, count);
        }
    }

    fn add_many(&mut self, bucket: usize, count: u64) {
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        if let Some(sum) = self.counts.get_mut(bucket) {
            *sum = sum.saturating_add(count);
        }
        self.total = self.total.saturating_add(count);
    }

    /// How many durations were added.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The durations at some ranks (from 0), in microseconds, each within [`RELATIVE_ERROR`] of the true one; `None` where a
    /// rank is beyond them.
    #[must_use]
    pub fn order_statistics(&self, ranks: &[u64]) -> Option<Vec<f64>> {
        let mut sorted: Vec<(u64, usize)> = ranks.iter().copied().zip(0..).collect();
        sorted.sort_unstable();
        let mut found = vec![0.0; ranks.len()];
        let (mut below, mut buckets) = (0_u64, self.counts.iter().enumerate());
        let mut value = 0.0;
        for (rank, index) in sorted {
            while rank >= below {
                let (bucket, &count) = buckets.next()?;
                below = below.saturating_add(count);
                value = if count > 0 { middle(bucket) } else { value };
            }
            if let Some(found) = found.get_mut(index) {
                *found = value;
            }
        }
        Some(found)
    }

    /// The mean, in microseconds, within [`RELATIVE_ERROR`]; `None` where there are no durations.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "what is lost is far below the bound")]
    pub fn mean(&self) -> Option<f64> {
        let sum: f64 = self.counts.iter().enumerate().map(|(bucket, &count)| middle(bucket) * count as f64).sum();
        (self.total > 0).then(|| sum / self.total as f64)
    }

    /// The quantile `fraction` (0 to 1) in microseconds, as SQL's `percentile_cont` defines it: interpolated linearly
    /// between the two nearest ranks. Since both are within [`RELATIVE_ERROR`], so is what lies between them, for any
    /// number of durations. `None` where there are none.
    #[must_use]
    pub fn quantile(&self, fraction: f64) -> Option<f64> {
        let rank = super::percentile::rank(self.total, fraction)?;
        let [lower, upper] = self.order_statistics(&[rank.lower, rank.upper])?.try_into().ok()?;
        Some(rank.interpolate([lower, upper]))
    }

    /// Appends the histogram: for each bucket that is not empty, its distance from the one before and its count.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let mut next = 0;
        for (bucket, &count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            put(out, (bucket - next) as u64);
            put(out, count);
            next = bucket + 1;
        }
    }

    /// Adds an encoded histogram, all that `reader` has left.
    pub(super) fn merge_encoded(&mut self, mut reader: Reader<'_>) -> Result<(), FormatError> {
        let mut next = 0_usize;
        while reader.remaining() > 0 {
            let bucket = next.saturating_add(reader.take_as()?);
            if bucket >= BUCKETS {
                return reader.damaged("a bucket is out of range");
            }
            self.add_many(bucket, reader.take()?);
            next = bucket + 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_in_order_without_gaps_and_their_middles_within_the_bound() {
        let mut highest = 0;
        let steps = (0..2_000_u32).chain((11..31).flat_map(|bit| {
            let power = 1_u32 << bit;
            [power - 1, power, power + 1, power + power / 3]
        }));
        for micros in steps.chain([i32::MAX.unsigned_abs()]) {
            let bucket = bucket(micros);
            assert!(micros >= 2_000 || bucket == highest || bucket == highest + 1, "{micros}");
            highest = highest.max(bucket);
            let off = (middle(bucket) - f64::from(micros)).abs();
            assert!(off <= f64::from(micros) * RELATIVE_ERROR, "{micros}: {}", middle(bucket));
        }
        assert_eq!(highest + 1, BUCKETS);
    }

    #[test]
    fn small_durations_are_exact() {
        let mut histogram = Histogram::default();
        (0..128).for_each(|micros| histogram.add(micros));

        assert_eq!(histogram.quantile(0.5), Some(63.5));
        assert_eq!((histogram.quantile(0.0), histogram.quantile(1.0)), (Some(0.0), Some(127.0)));
        assert_eq!(Histogram::default().quantile(0.5), None);
    }
}
