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
}

/// Who was probed, and from where: the ids of a target and of a location.
pub type Owner = (i32, i16);

/// Whose samples, of which hour.
pub type Key = (Owner, Micros);
