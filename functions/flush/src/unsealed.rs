//! The hours that a batch writes into, announced before it does: see the table `unsealed`.

use std::collections::BTreeSet;

use shared::{Micros, Span, history::Block};
use tokio_postgres::{
    Client, Error,
    types::{ToSql, Type},
};

use crate::row::Row;

/// An hour of a block of targets: what is sealed at a time.
pub(crate) type BlockHour = (Micros, Block);

/// The hour of a block that a row lies in.
pub(crate) fn block_hour(row: &Row<'_>) -> BlockHour {
    (Span::Hour.start(row.key.probed_at), Block::of(row.key.target_id))
}

/// The hours of blocks that rows lie in.
pub(crate) fn hours(rows: &[Row<'_>]) -> BTreeSet<BlockHour> {
    let mut hours = BTreeSet::new();
    let mut last = None;
    for hour in rows.iter().map(block_hour) {
        if last.replace(hour) != Some(hour) {
            hours.insert(hour);
        }
    }
    hours
}

/// The hours that this connection has announced; others may have sealed them since.
#[derive(Default)]
pub(crate) struct Announced {
    hours: BTreeSet<BlockHour>,
}

impl Announced {
    /// Announces the hours that were not announced before, in their order, so that two instances do not deadlock. Returns the
    /// instant before which history was dropped, where it had to ask: hours before it are not announced.
    pub(crate) async fn add(&mut self, client: &Client, hours: &BTreeSet<BlockHour>) -> Result<Option<Micros>, Error> {
        if hours.is_subset(&self.hours) {
            return Ok(None);
        }
        let (starts, blocks): (Vec<_>, Vec<_>) =
            hours.difference(&self.hours).map(|(start, block)| (*start, block.0)).unzip();
        let parameters: [(&(dyn ToSql + Sync), Type); 2] =
            [(&starts, Type::TIMESTAMPTZ_ARRAY), (&blocks, Type::INT4_ARRAY)];
        let answer = client.query_typed(include_str!("insert_unsealed_hours.sql"), &parameters).await?;
        // Only those of this batch are remembered: the next one is likely to be in the same hour, or a later one.
        self.hours.clone_from(hours);
        answer.first().map(|row| row.try_get(0)).transpose()
    }

    /// Somebody sealed one of them.
    pub(crate) fn forget(&mut self) {
        self.hours.clear();
    }
}
