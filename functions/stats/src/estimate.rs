//! Percentiles that say how much they know: each with an interval that the true one lies in, and a word where the sample
//! cannot support it. Pure: ranks in, values out.
//!
//! The interval is the distribution-free one of order statistics: the number of values below the true quantile `p` is
//! binomial, `Bin(n, p)`, whatever the values are distributed like, so that with `l` and `u` its 2.5 % and 97.5 % quantiles the
//! true one lies from the `l`-th to the `u + 1`-th smallest value in at least 95 of 100 samples (Hahn and Meeker, *Statistical
//! Intervals*, 1991, section 5.2; Conover, *Practical Nonparametric Statistics*, 3rd edition, section 3.2). Where one of these
//! is beyond the sample, the sample is too small for this quantile: the 99th percentile takes 368 values.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use shared::history::percentile::rank;
use statrs::distribution::{Binomial, DiscreteCDF as _};

use crate::history::Tally;

/// How sure an interval is.
pub const CONFIDENCE: f64 = 0.95;
/// The quantile of the standard normal distribution that leaves half of the rest above it.
const Z: f64 = 1.959_964;
/// Up to this variance, the binomial distribution itself is asked; beyond, an approximation is as good, and far quicker.
const EXACT_VARIANCE: f64 = 25.0;
/// And up to this size: from some ten million on, the distribution is reckoned imprecisely.
const EXACT_SIZE: u64 = 100_000;

/// A percentile and what is known of it. Durations are in milliseconds, to the microsecond.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Percentile {
    /// Which, above 0 and below 100.
    pub percentile: f64,
    /// Its value in this sample, linear between the nearest ranks; null without a response.
    pub ms: Option<f64>,
    /// The true one is at least this, with a confidence of 95 %; null where the sample is too small to say.
    pub low_ms: Option<f64>,
    /// And at most this.
    pub high_ms: Option<f64>,
    /// Whether the sample is too small for an interval with both ends: the value is then little more than an extreme.
    pub insufficient: bool,
    /// The same percentile where requests that timed out before there was a response count as well; null where that cannot be
    /// said, since its rank falls among them; and of phases.
    pub with_timeouts_ms: Option<f64>,
    /// In place of that: it is at least this, as it is not known how long they would have taken.
    pub at_least_ms: Option<f64>,
}

/// Intervals that were reckoned already: the parts of an answer have few different sizes.
#[derive(Default)]
pub struct Intervals {
    known: HashMap<(u64, u64), Interval>,
}

/// The ranks (from 0) of the ends of an interval; none where it is beyond the sample.
type Interval = (Option<u64>, Option<u64>);

impl Intervals {
    fn of(&mut self, count: u64, fraction: f64) -> Interval {
        *self.known.entry((count, fraction.to_bits())).or_insert_with(|| interval(count, fraction))
    }
}

/// The percentiles of a sample, in the order in which they are asked for, and its least and its largest value, in
/// milliseconds. Where the values are those of a histogram, the ends of intervals are as far out as they may be.
pub fn estimate(
    tally: &mut Tally,
    percentiles: &[f64],
    intervals: &mut Intervals,
) -> (Vec<Percentile>, Option<(f64, f64)>) {
    let (count, error) = (tally.durations(), tally.relative_error());
    let intervals: Vec<_> = percentiles.iter().map(|percentile| intervals.of(count, percentile / 100.0)).collect();
    let ranks: Vec<_> = percentiles.iter().filter_map(|percentile| rank(count, percentile / 100.0)).collect();
    // All at once, so that the values are gone through once.
    let mut wanted: Vec<u64> = ranks.iter().flat_map(|rank| [rank.lower, rank.upper]).collect();
    wanted.extend(intervals.iter().flat_map(|(low, high)| [*low, *high]).flatten());
    wanted.extend(count.checked_sub(1).iter().flat_map(|last| [0, *last]));
    // Without a value, nothing is wanted.
    let mut values = tally.order_statistics(&wanted).unwrap_or_default().into_iter();
    let quantiles: Vec<_> = ranks
        .iter()
        .map(|rank| values.next().zip(values.next()).map(|(low, high)| rank.interpolate([low, high])))
        .collect();
    let mut found = Vec::with_capacity(percentiles.len());
    for (index, (&percentile, (low, high))) in percentiles.iter().zip(intervals).enumerate() {
        let ms = quantiles.get(index).copied().flatten().map(millis);
        let low_ms = low.and_then(|_| values.next()).map(|low| millis(low / (1.0 + error)));
        let high_ms = high.and_then(|_| values.next()).map(|high| millis(high / (1.0 - error)));
        let insufficient = low.is_none() || high.is_none();
        let (with_timeouts_ms, at_least_ms) = (ms, None);
        found.push(Percentile { percentile, ms, low_ms, high_ms, insufficient, with_timeouts_ms, at_least_ms });
    }
    if tally.timeouts() > 0 {
        censor(tally, &mut found);
    }
    (found, values.next().zip(values.next()).map(|(least, largest)| (millis(least), millis(largest))))
}

/// Counts requests that timed out among those that percentiles are of.
///
/// What is known of one is that it would have taken longer than it was waited for: it is censored on the right (Klein and
/// Moeschberger, *Survival Analysis*, 2nd edition, section 3.2). With each counted as long as it was waited for, every order
/// statistic is at most the true one. One that is below all of these is the true one, whatever they would have taken.
fn censor(tally: &Tally, percentiles: &mut [Percentile]) {
    let error = tally.relative_error();
    let (mut all, Some(shortest)) = tally.with_timeouts() else { return };
    let ranks: Vec<_> =
        percentiles.iter().filter_map(|percentile| rank(all.durations(), percentile.percentile / 100.0)).collect();
    let wanted: Vec<u64> = ranks.iter().flat_map(|rank| [rank.lower, rank.upper]).collect();
    let mut values = all.order_statistics(&wanted).unwrap_or_default().into_iter();
    for (percentile, rank) in percentiles.iter_mut().zip(ranks) {
        let Some((low, high)) = values.next().zip(values.next()) else { return };
        let value = rank.interpolate([low, high]);
        let is_known = high < shortest;
        percentile.with_timeouts_ms = is_known.then_some(millis(value));
        percentile.at_least_ms = (!is_known).then_some(millis(value / (1.0 + error)));
    }
}

/// Microseconds as milliseconds, to the microsecond.
#[must_use]
pub fn millis(micros: f64) -> f64 {
    micros.round() / 1_000.0
}

/// The size from which on a sample has room for an interval around the quantile `fraction`: where it is unlikely enough that
/// all values are on one side of it.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
pub fn needed(fraction: f64) -> u64 {
    let tail = (1.0 - CONFIDENCE) / 2.0;
    (tail.ln() / fraction.max(1.0 - fraction).ln()).ceil() as u64
}

/// The ranks (from 0) between which the quantile `fraction` of whatever the sample is from lies; none where a rank is
/// beyond the sample.
fn interval(count: u64, fraction: f64) -> Interval {
    if count == 0 {
        return (None, None);
    }
    let (low, high) = match exact(count, fraction) {
        Some(quantiles) => quantiles,
        None => approximate(count, fraction),
    };
    // The l-th and the u + 1-th, from 1, are l - 1 and u, from 0.
    (low.checked_sub(1), (high < count).then_some(high))
}

/// The quantiles of the binomial distribution at the ends of the confidence; none where it is not to be asked.
#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
fn exact(count: u64, fraction: f64) -> Option<(u64, u64)> {
    if count > EXACT_SIZE || count as f64 * fraction * (1.0 - fraction) > EXACT_VARIANCE {
        return None;
    }
    let below = Binomial::new(fraction, count).ok()?;
    let tail = (1.0 - CONFIDENCE) / 2.0;
    Some((below.inverse_cdf(tail), below.inverse_cdf(1.0 - tail)))
}

/// The same from the normal distribution, corrected for skewness (the first terms of Cornish and Fisher's expansion; Johnson,
/// Kemp and Kotz, *Univariate Discrete Distributions*, 3rd edition, section 1.2.13 and 3.6), and one rank further out, so that
/// what it is off by is on the safe side.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "ranks are whole, not negative, and below 2^53"
)]
fn approximate(count: u64, fraction: f64) -> (u64, u64) {
    let mean = count as f64 * fraction;
    let reach = Z * (mean * (1.0 - fraction)).sqrt();
    let skew = (Z * Z - 1.0) * (1.0 - 2.0 * fraction) / 6.0;
    let [low, high] = [mean + skew - reach, mean + skew + reach].map(|quantile| (quantile - 0.5).ceil());
    ((low - 1.0).max(0.0) as u64, (high + 1.0) as u64)
}

#[cfg(test)]
mod tests {
    use statrs::distribution::{Binomial, DiscreteCDF as _};

    use super::{EXACT_VARIANCE, approximate, interval, needed};

    #[test]
    fn what_is_approximated_is_never_less_sure_and_hardly_wider() {
        for fraction in [0.001, 0.01, 0.05, 0.5, 0.9, 0.95, 0.99, 0.999] {
            for count in [50, 100, 500, 1_000, 2_880, 20_160, 86_400, 99_999] {
                if count as f64 * fraction * (1.0 - fraction) <= EXACT_VARIANCE {
                    continue;
                }
                let below = Binomial::new(fraction, count).unwrap();
                let (low, high) = (below.inverse_cdf(0.025), below.inverse_cdf(0.975));
                let found = approximate(count, fraction);
                assert!(found.0 <= low && found.0 + 2 >= low, "{low}, not {found:?}: {count}, {fraction}");
                assert!(found.1 >= high && found.1 <= high + 2, "{high}, not {found:?}: {count}, {fraction}");
            }
        }
        assert!(interval(u64::from(u32::MAX) * 1_000, 0.5).0.is_some());
    }

    #[test]
    fn intervals_are_those_of_the_tables() {
        // Hahn and Meeker, section 5.2.3: the median of 100, from the 40th to the 61st smallest at 95 % (here from 0).
        assert_eq!(interval(100, 0.5), (Some(39), Some(60)));
        // By hand: Bin(10, 0.5) has 1.07 % at 1 or below, 5.47 % at 2: l is 2, and u is 8.
        assert_eq!(interval(10, 0.5), (Some(1), Some(8)));
        // By hand: 0.99 ^ 367 is 2.50 %, just above a fortieth; 0.99 ^ 368 is below.
        assert_eq!(interval(367, 0.99).1, None);
        assert_eq!(interval(368, 0.99).1, Some(367));
        for (fraction, expected) in [(0.01, 368), (0.5, 6), (0.95, 72), (0.99, 368), (0.999, 3_688)] {
            let both = |count| matches!(interval(count, fraction), (Some(_), Some(_)));
            assert_eq!((needed(fraction), both(expected - 1), both(expected)), (expected, false, true), "{fraction}");
        }
        assert_eq!(interval(10, 0.99), (Some(8), None));
        assert_eq!(interval(0, 0.5), (None, None));
        assert_eq!(interval(1, 0.5), (None, None));
    }

    #[test]
    fn an_interval_covers_as_often_as_it_says() {
        // The true quantile of a uniform distribution is the fraction itself.
        let mut rng = fastrand::Rng::with_seed(7);
        for (count, fraction) in [(30_usize, 0.5), (200, 0.9), (1_000, 0.99)] {
            let (low, high) = interval(count as u64, fraction);
            let (low, high) = (low.unwrap() as usize, high.unwrap() as usize);
            let covered = (0..2_000)
                .filter(|_| {
                    let mut sample: Vec<f64> = (0..count).map(|_| rng.f64()).collect();
                    sample.sort_by(f64::total_cmp);
                    (sample[low]..=sample[high]).contains(&fraction)
                })
                .count();
            assert!(covered >= 1_900 - 30, "{covered} of 2000 at {count} and {fraction}");
        }
    }
}
