//! The targets that are asked for.

use std::collections::BTreeMap;

use shared::{database::DatabaseError, history::Block};
use tokio_postgres::Row;

/// The targets asked for: their ids by block, and the URL of each.
pub(super) struct Targets {
    pub(super) blocks: BTreeMap<Block, Vec<i32>>,
    pub(super) urls: BTreeMap<i32, String>,
    all: bool,
}

impl Targets {
    /// Reads the rows of `select_targets.sql`.
    pub(super) fn read(rows: &[Row], all: bool) -> Result<Self, DatabaseError> {
        let mut targets = Self { blocks: BTreeMap::new(), urls: BTreeMap::new(), all };
        for row in rows {
            let id = row.try_get("id")?;
            targets.blocks.entry(Block::of(id)).or_default().push(id);
            targets.urls.insert(id, row.try_get("url")?);
        }
        Ok(targets)
    }

    /// The targets asked for in a block; `None` for all of them.
    pub(super) fn only(&self, block: Block) -> Option<&[i32]> {
        if self.all { None } else { self.blocks.get(&block).map(Vec::as_slice) }
    }
}
