//! What one batch brought into one hour of a block of targets: the same samples as in its rows, for as long as the hour
//! is not sealed. To read an hour from fragments takes a small part of what its rows take.
//!
//! Four columns: three are those of a [`chunk`], of all targets together in the order of time, and `keys` says whose the
//! samples are. Version 1 of `keys`, all numbers as in `varint`: the version; for each sample the id of
//! the target, less that of the sample before, signed; the locations in runs (length, id, signed).

use super::{
    FormatError, Sample,
    block::Owner,
    chunk::{self, Chunk, Columns},
    varint::{Reader, put, put_signed},
};
use crate::micros::Micros;

const KEYS: &str = "the keys of a fragment";

/// A fragment as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// Targets and locations.
    pub keys: Vec<u8>,
    /// The samples of all of them.
    pub samples: Chunk,
}

impl Fragment {
    /// Encodes samples of the hour that begins at `hour`, which are in the order of their instants.
    #[must_use]
    pub fn encode(hour: Micros, owners: &[Owner], samples: &[Sample]) -> Self {
        Self { keys: encode_keys(owners), samples: Chunk::encode(hour, samples) }
    }
}

/// The samples of the columns of a fragment, and whose they are; without phases where these were not fetched.
///
/// # Errors
/// The bytes are damaged, or in the format of a newer release.
pub fn decode(
    hour: Micros,
    keys: &[u8],
    columns: Columns<'_>,
) -> Result<impl Iterator<Item = (Owner, Sample)>, FormatError> {
    let samples = chunk::decode(hour, columns)?;
    Ok(decode_keys(keys, samples.len())?.into_iter().zip(samples))
}

fn encode_keys(owners: &[Owner]) -> Vec<u8> {
    let mut out = Vec::with_capacity(owners.len() * 2 + 8);
    out.push(1);
    let mut before = 0;
    for &(target, _) in owners {
        put_signed(&mut out, i64::from(target) - before);
        before = target.into();
    }
    for run in owners.chunk_by(|(_, one), (_, next)| one == next) {
        put(&mut out, run.len() as u64);
        put_signed(&mut out, run.first().map_or(0, |&(_, location)| location.into()));
    }
    out
}

fn decode_keys(bytes: &[u8], count: usize) -> Result<Vec<Owner>, FormatError> {
    let mut reader = Reader::new(KEYS, bytes)?;
    let mut owners = Vec::with_capacity(count.min(bytes.len()));
    let mut target = 0_i64;
    for _ in 0..count {
        target = target.saturating_add(reader.take_signed()?);
        match i32::try_from(target) {
            Ok(target) => owners.push((target, 0)),
            Err(_) => return reader.damaged("a target is out of range"),
        }
    }
    let mut left = owners.as_mut_slice();
    while !left.is_empty() {
        let (length, location) = (reader.take_as()?, reader.take_signed()?);
        let (Ok(location), 1..) = (i16::try_from(location), length) else {
            return reader.damaged("a run of locations is impossible");
        };
        let Some((run, rest)) = left.split_at_mut_checked(length) else {
            return reader.damaged("a run of locations is impossible");
        };
        run.iter_mut().for_each(|owner| owner.1 = location);
        left = rest;
    }
    reader.finish()?;
    Ok(owners)
}
