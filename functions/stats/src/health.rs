//! Whether the function works, and how far behind now it is.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::{Micros, timestamp};

use crate::{
    Stats,
    ask::{Look, in_snapshot},
    history::{HistoryError, Snapshot},
    problem::StatsError,
};

/// Whether the function works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `ok`, or `unavailable` where the database does not answer.
    pub status: String,
    /// When the newest probe started that stats knows of; null where none is known, or the database does not answer.
    #[serde(with = "timestamp::option")]
    pub last_probe_at: Option<Timestamp>,
    /// How long ago that was, in whole seconds: by so much the answers lag behind now. Above the interval of what is probed
    /// most often, something on the way to Postgres is late.
    pub lag_seconds: Option<i64>,
}

/// The newest probe.
struct Newest;

impl Look for Newest {
    type Found = Option<Micros>;

    async fn look(&self, snapshot: &Snapshot<'_>) -> Result<Option<Micros>, HistoryError> {
        Ok(snapshot.newest_probe().await?)
    }
}

/// Whether the database answers, and what it knows last.
///
/// # Errors
/// None that is not told in it, but for a database whose schema this release cannot read.
pub async fn ask(stats: &Stats, now: Timestamp) -> Result<Health, StatsError> {
    match in_snapshot(stats, &Newest).await {
        Ok(newest) => {
            let last_probe_at = newest.map(Micros::timestamp);
            let lag_seconds = last_probe_at.map(|last| now.as_second().saturating_sub(last.as_second()).max(0));
            Ok(Health { status: "ok".to_owned(), last_probe_at, lag_seconds })
        }
        Err(error @ (StatsError::Slow | StatsError::History(HistoryError::Database(_)))) => {
            tracing::error!("{error}");
            Ok(Health { status: "unavailable".to_owned(), last_probe_at: None, lag_seconds: None })
        }
        Err(error) => Err(error),
    }
}
