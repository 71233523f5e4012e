//! Blocks of targets.

use crate::micros::Micros;

/// Targets in a block, as a power of two. The tables `unsealed` and `fragments` have blocks, so this may never change.
const BLOCK_BITS: i32 = 12;

/// 4,096 targets, whose ids differ in their lowest twelve bits only. Sealed and read one at a time, so that neither the work
/// nor the memory for it grows with the number of targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Block(pub i32);

impl Block {
    /// The block of a target.
    #[must_use]
    pub fn of(target_id: i32) -> Self {
        Self(target_id >> BLOCK_BITS)
    }

    /// The first and the last id in it.
    #[must_use]
    pub fn targets(self) -> (i32, i32) {
        let first = self.0 << BLOCK_BITS;
        (first, first + (1 << BLOCK_BITS) - 1)
    }

    /// Its targets, or those in `only`, in so many parts, but for those that would be empty. `None` is all of the block. Targets
    /// with neighbouring ids, which are likely to be alike, are in different parts.
    #[must_use]
    pub fn split(self, only: Option<&[i32]>, parts: i64) -> Vec<Option<Vec<i32>>> {
        let (first, last) = self.targets();
        let parts = i32::try_from(parts).unwrap_or(i32::MAX).clamp(1, 1 << BLOCK_BITS);
        if parts == 1 {
            return vec![only.map(<[i32]>::to_vec)];
        }
        let part = |part: i32| -> Vec<i32> {
            let is_in = |target: &i32| target.rem_euclid(parts) == part;
            match only {
                Some(only) => only.iter().copied().filter(is_in).collect(),
                None => (first..=last).filter(is_in).collect(),
            }
        };
        (0..parts).map(part).filter(|targets| !targets.is_empty()).map(Some).collect()
    }
}

/// Who was probed, and from where: the ids of a target and of a location.
pub type Owner = (i32, i16);

/// Whose samples, of which hour.
pub type Key = (Owner, Micros);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_block_are_about_equal_and_have_each_target_once() {
        let block = Block::of(5_000);
        assert_eq!(block.split(None, 1), [None]);
        assert_eq!(block.split(Some(&[5_000, 4_097]), 1), [Some(vec![5_000, 4_097])]);

        let parts: Vec<_> = block.split(None, 3).into_iter().flatten().collect();
        assert!(parts.iter().all(|part| (1_365..=1_366).contains(&part.len())), "{parts:?}");
        let mut all = parts.concat();
        all.sort_unstable();
        assert_eq!(all, (4_096..8_192).collect::<Vec<_>>());

        assert_eq!(block.split(Some(&[5_000, 5_001, 5_003]), 3), [Some(vec![5_001]), Some(vec![5_000, 5_003])]);
        assert_eq!(block.split(None, i64::MAX).len(), 4_096);
    }
}
