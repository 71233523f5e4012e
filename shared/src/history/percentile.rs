//! Percentiles as SQL's `percentile_cont` defines them: linear between the two nearest ranks, so that the rank of
//! fraction `f` among `n` values is `f · (n − 1)` (ISO/IEC 9075-2, and Postgres' `percentile_cont_final`).

/// Where a quantile lies among sorted values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rank {
    /// The nearest rank below, from 0.
    pub(super) lower: u64,
    /// The nearest rank above; the same where the quantile falls on a value.
    pub(super) upper: u64,
    /// How far it lies from the lower towards the upper, 0 to 1.
    weight: f64,
}

impl Rank {
    pub(super) fn interpolate(self, [lower, upper]: [f64; 2]) -> f64 {
        lower + (upper - lower) * self.weight
    }
}

/// The rank of `fraction` (0 to 1) among `count` values; `None` where there are none.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "ranks are whole, not negative, and below 2^53"
)]
pub(super) fn rank(count: u64, fraction: f64) -> Option<Rank> {
    let position = fraction * count.checked_sub(1)? as f64;
    let (lower, upper) = (position.floor(), position.ceil());
    Some(Rank { lower: lower as u64, upper: upper as u64, weight: position - lower })
}

/// The quantiles of `values` at ascending `fractions`, in the values' own unit; `None` where there are no values.
/// Reorders the values. Each next fraction looks only at what is above the one before.
#[must_use]
pub fn quantiles<const N: usize>(values: &mut [i32], fractions: [f64; N]) -> Option<[f64; N]> {
    let count = values.len() as u64;
    let mut sorted_below = 0;
    let mut found = [0.0; N];
    for (fraction, found) in fractions.into_iter().zip(&mut found) {
        let rank = rank(count, fraction)?;
        let index = |rank: u64| usize::try_from(rank).unwrap_or(usize::MAX);
        // A fraction that does not ascend looks at everything again.
        let start = if index(rank.lower) < sorted_below { 0 } else { sorted_below };
        let above = values.get_mut(start..)?;
        let (_, lower, above) = above.select_nth_unstable(index(rank.lower) - start);
        let lower = f64::from(*lower);
        let upper = if rank.upper == rank.lower { lower } else { f64::from(*above.iter().min()?) };
        *found = rank.interpolate([lower, upper]);
        sorted_below = index(rank.lower);
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::quantiles;

    #[test]
    fn quantiles_lie_between_the_nearest_ranks() {
        assert_eq!(quantiles(&mut [3_000, 1_000, 2_000], [0.5, 0.95, 0.99]), Some([2_000.0, 2_900.0, 2_980.0]));
        assert_eq!(quantiles(&mut [7], [0.0, 0.5, 1.0]), Some([7.0, 7.0, 7.0]));
        assert_eq!(quantiles(&mut [5, 1, 4, 2, 3], [0.0, 0.25, 0.9]), Some([1.0, 2.0, 4.6]));
        assert_eq!(quantiles(&mut [], [0.5]), None);
    }
}
