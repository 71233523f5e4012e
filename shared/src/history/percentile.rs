//! Percentiles as SQL's `percentile_cont` defines them: linear between the two nearest ranks, so that the rank of
//! fraction `f` among `n` values is `f · (n − 1)` (ISO/IEC 9075-2, and Postgres' `percentile_cont_final`).

/// Where a quantile lies among sorted values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rank {
    /// The nearest rank below, from 0.
    pub lower: u64,
    /// The nearest rank above; the same where the quantile falls on a value.
    pub upper: u64,
    /// How far it lies from the lower towards the upper, 0 to 1.
    weight: f64,
}

impl Rank {
    /// The quantile, given the values at both ranks.
    #[must_use]
    pub fn interpolate(self, [lower, upper]: [f64; 2]) -> f64 {
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
#[must_use]
pub fn rank(count: u64, fraction: f64) -> Option<Rank> {
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

/// The values at some ranks (from 0), in the values' own unit; `None` where a rank is beyond them. Reorders the values, and
/// looks at each no oftener than about twice, however many ranks there are close to each other.
#[must_use]
pub fn order_statistics(values: &mut [i32], ranks: &[u64]) -> Option<Vec<f64>> {
    let mut sorted: Vec<usize> = ranks.iter().map(|&rank| usize::try_from(rank).unwrap_or(usize::MAX)).collect();
    sorted.sort_unstable();
    sorted.dedup();
    if sorted.last().is_some_and(|&rank| rank >= values.len()) {
        return None;
    }
    place(values, 0, &sorted);
    let value = |&rank: &u64| values.get(usize::try_from(rank).ok()?).map(|&value| f64::from(value));
    ranks.iter().map(value).collect()
}

/// Brings the values of ascending ranks to their places; `first` is the rank of the first value.
fn place(values: &mut [i32], first: usize, ranks: &[usize]) {
    let Some(&middle) = ranks.get(ranks.len() / 2) else { return };
    let (below, _, above) = values.select_nth_unstable(middle - first);
    let (lower, upper) = ranks.split_at(ranks.len() / 2);
    place(below, first, lower);
    place(above, middle + 1, upper.get(1..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::{order_statistics, quantiles};

    #[test]
    fn order_statistics_are_those_of_the_sorted_values() {
        let values: Vec<i32> = (0..1_000).map(|value| value * 7_919 % 1_000).collect();
        for ranks in [vec![], vec![0], vec![999, 0, 500, 501, 500], (0..1_000).rev().step_by(3).collect()] {
            let expected: Vec<_> = ranks.iter().map(|&rank| rank as f64).collect();
            assert_eq!(order_statistics(&mut values.clone(), &ranks), Some(expected));
        }
        assert_eq!(order_statistics(&mut values.clone(), &[5, 1_000]), None);
        assert_eq!(order_statistics(&mut [], &[0]), None);
    }

    #[test]
    fn quantiles_lie_between_the_nearest_ranks() {
        assert_eq!(quantiles(&mut [3_000, 1_000, 2_000], [0.5, 0.95, 0.99]), Some([2_000.0, 2_900.0, 2_980.0]));
        assert_eq!(quantiles(&mut [7], [0.0, 0.5, 1.0]), Some([7.0, 7.0, 7.0]));
        assert_eq!(quantiles(&mut [5, 1, 4, 2, 3], [0.0, 0.25, 0.9]), Some([1.0, 2.0, 4.6]));
        assert_eq!(quantiles(&mut [], [0.5]), None);
    }
}
