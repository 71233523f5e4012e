//! What was acknowledged beside what the database has: every record once, with what it said, in rows and in chunks.

use anyhow::{Context as _, Result};
use futures::TryStreamExt as _;
use shared::{
    Micros,
    history::chunk::{self, Columns},
};
use tokio_postgres::Client;

use super::records::{Found, Records};

/// What became of the records that were sent.
pub struct Sent {
    /// By number: whether Kafka acknowledged it. One that was not may be in the topic all the same.
    pub acknowledged: Vec<bool>,
}

/// What a count found; all but the first two are to be nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Count {
    /// Records that are there.
    pub found: u64,
    /// Of these, such as were never acknowledged.
    pub unacknowledged: u64,
    /// Acknowledged and not there.
    pub lost: u64,
    /// Records that are there more than once, so often more.
    pub doubled: u64,
    /// What is there and no record says so.
    pub altered: u64,
}

impl Count {
    /// Whether nothing was lost, doubled or altered.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        (self.lost, self.doubled, self.altered) == (0, 0, 0)
    }
}

/// Counts the rows.
///
/// # Errors
/// The database failed.
pub async fn count_rows(client: &Client, records: &Records, sent: &Sent) -> Result<Count> {
    let query = "select url, probed_at, http_status_code, response_time_us from probes join targets on id = target_id
                 where url like '%storm.test/'";
    let rows = client.query_raw(query, Vec::<i32>::new()).await?;
    let mut tally = Tally::new(records, sent);
    let mut rows = std::pin::pin!(rows);
    while let Some(row) = rows.try_next().await? {
        let status: Option<i16> = row.try_get(2)?;
        tally.add(
            row.try_get(0)?,
            row.try_get(1)?,
            // Without a response, rows have 0.
            status.and_then(|status| u16::try_from(status).ok()).filter(|status| *status > 0),
            row.try_get(3)?,
        );
    }
    Ok(tally.finish())
}

/// Counts what the chunks hold.
///
/// # Errors
/// The database failed, or a chunk is damaged.
pub async fn count_chunks(client: &Client, records: &Records, sent: &Sent) -> Result<Count> {
    let query = "select url, hour, instants, samples from chunks join targets on id = target_id
                 where url like '%storm.test/'";
    let rows = client.query_raw(query, Vec::<i32>::new()).await?;
    let mut tally = Tally::new(records, sent);
    let mut rows = std::pin::pin!(rows);
    while let Some(row) = rows.try_next().await? {
        let columns = Columns { instants: row.try_get(2)?, samples: row.try_get(3)?, phases: None };
        for sample in chunk::decode(row.try_get(1)?, columns).context("a chunk cannot be read")? {
            tally.add(row.try_get(0)?, sample.probed_at, sample.verdict.status, sample.response_time_us);
        }
    }
    Ok(tally.finish())
}

struct Tally<'storm> {
    records: &'storm Records,
    sent: &'storm Sent,
    seen: Vec<u8>,
    count: Count,
}

impl<'storm> Tally<'storm> {
    fn new(records: &'storm Records, sent: &'storm Sent) -> Self {
        Self { records, sent, seen: vec![0; sent.acknowledged.len()], count: Count::default() }
    }

    fn add(&mut self, url: &str, instant: Micros, status: Option<u16>, response_time_us: Option<i32>) {
        let number = self.records.number(url, instant);
        let expected = number.map(|number| self.records.expected(number));
        let seen = number.and_then(|number| self.seen.get_mut(usize::try_from(number).ok()?));
        match (expected, seen) {
            (Some(expected), Some(seen)) if expected == (Found { status, response_time_us, ..expected }) => {
                self.count.doubled += u64::from(*seen > 0);
                *seen = seen.saturating_add(1);
            }
            _ => self.count.altered += 1,
        }
    }

    fn finish(self) -> Count {
        let mut count = self.count;
        for (seen, acknowledged) in self.seen.iter().zip(&self.sent.acknowledged) {
            count.found += u64::from(*seen > 0);
            count.unacknowledged += u64::from(*seen > 0 && !acknowledged);
            count.lost += u64::from(*seen == 0 && *acknowledged);
        }
        count
    }
}
