//! From a question to its answer: in one snapshot of the database, unless the client or the cache has the answer already.

use std::{io::Write as _, time::Duration};

use flate2::{Compression, write::GzEncoder};
use http::header;
use shared::database::Lease;
use tokio::time::timeout;
use twox_hash::XxHash3_64;

use crate::{
    Stats,
    cache::{Answer, Cache},
    event::{self, MAX_BYTES},
    history::{HistoryError, Snapshot},
    negotiate,
    problem::StatsError,
    response::{Body, Reply},
};

/// What is shorter is not made shorter by compressing it.
const MIN_COMPRESSED: usize = 1_024;

/// What is looked for in one state of the database.
pub trait Look {
    /// What is found.
    type Found;

    /// Looks for it.
    ///
    /// # Errors
    /// The database failed, or what is looked for cannot be had from it.
    fn look(&self, snapshot: &Snapshot<'_>) -> impl Future<Output = Result<Self::Found, HistoryError>> + Send;
}

/// A question that has one answer in each state of the database.
pub trait Question: Look + Sync {
    /// What tells the answer from every other one, in a state of the database: everything that it depends on.
    fn key(&self) -> String;

    /// Whether the key tells every byte of the answer. If not, its entity tag is weak (RFC 9110, section 8.8.1).
    fn is_exact(&self) -> bool {
        true
    }

    /// The answer with what was found.
    ///
    /// # Errors
    /// It cannot be written, or what was asked for cannot be had.
    fn write(&self, found: Self::Found) -> Result<Written, StatsError>;
}

/// An answer before it is sent.
pub struct Written {
    /// Its media type, in full.
    pub content_type: &'static str,
    /// All of it.
    pub text: String,
    /// The query string of the next page, if there is one.
    pub next: Option<String>,
}

/// A question of a client that may have the answer already.
struct Request<'request, Q> {
    question: &'request Q,
    compresses: bool,
    /// The entity tags of what the client has.
    known: String,
    cache: &'request Cache,
}

/// Where the answer is.
enum Found<Q: Look> {
    /// The client has it.
    AtClient,
    /// It was made before.
    InCache(Answer),
    /// Here, to be kept by this key.
    Here(String, Q::Found),
}

impl<Q: Question> Look for Request<'_, Q>
where
    Q::Found: Send,
{
    type Found = (String, Found<Q>);

    async fn look(&self, snapshot: &Snapshot<'_>) -> Result<(String, Found<Q>), HistoryError> {
        let key = format!("{} {} {}", env!("CARGO_PKG_VERSION"), snapshot.version(), self.question.key());
        // Other bytes, another tag (RFC 9110, section 8.8.3).
        let coding = if self.compresses { "-gzip" } else { "" };
        let weak = if self.question.is_exact() { "" } else { "W/" };
        let tag = format!("{weak}\"{:016x}{coding}\"", XxHash3_64::oneshot(key.as_bytes()));
        // By the key itself: what hashes alike may be for others.
        let key = key + coding;
        let found = if negotiate::has(&self.known, &tag) {
            Found::AtClient
        } else if let Some(answer) = self.cache.get(&key) {
            Found::InCache(answer)
        } else {
            Found::Here(key, self.question.look(snapshot).await?)
        };
        Ok((tag, found))
    }
}

/// The answer to a question, for the client that sent a request.
///
/// # Errors
/// The database cannot be asked, or what is asked for cannot be had from it.
pub async fn answer<Q: Question>(stats: &Stats, from: &event::Request, question: &Q) -> Result<Reply, StatsError>
where
    Q::Found: Send,
{
    let compresses = negotiate::takes_gzip(&negotiate::text(&from.headers, &header::ACCEPT_ENCODING));
    let known = negotiate::text(&from.headers, &header::IF_NONE_MATCH);
    let request = Request { question, compresses, known, cache: &stats.cache };
    let (tag, found) = in_snapshot(stats, &request).await?;
    let answer = match found {
        Found::AtClient => return Ok(Reply::NotModified { tag }),
        Found::InCache(answer) => answer,
        Found::Here(key, found) => {
            let answer = finish(question.write(found)?, compresses)?;
            stats.cache.put(key, answer.clone());
            answer
        }
    };
    match answer.body.len() {
        bytes if bytes > from.max_bytes => Err(StatsError::TooLong { bytes, limit: from.max_bytes }),
        _ => Ok(Reply::Answer { tag, answer }),
    }
}

fn finish(written: Written, compresses: bool) -> Result<Answer, StatsError> {
    let Written { content_type, text, next } = written;
    if text.len() > MAX_BYTES {
        return Err(StatsError::TooLong { bytes: text.len(), limit: MAX_BYTES });
    }
    if !compresses || text.len() < MIN_COMPRESSED {
        return Ok(Answer { content_type, body: Body::Text(text), next, is_compressed: false });
    }
    Ok(Answer {
        content_type,
        body: Body::Binary(gzip(text.as_bytes(), Compression::fast())?),
        next,
        is_compressed: true,
    })
}

/// The same, compressed.
pub(crate) fn gzip(bytes: &[u8], level: Compression) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), level);
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// Looks at one state of the database, for no longer than a question may take. A connection that broke is replaced, and looked
/// through once more.
///
/// # Errors
/// The database cannot be asked, or not in time; or what goes wrong while looking.
pub async fn in_snapshot<L: Look + Sync>(stats: &Stats, what: &L) -> Result<L::Found, StatsError> {
    let limit = stats.config.query_timeout;
    let mut lease = stats.database.lease().await;
    let looking = async {
        let mut tries = 0..2;
        loop {
            match look(&mut lease, what, limit).await {
                Err(HistoryError::Database(error)) if error.is_transient() && tries.next() == Some(0) => {
                    lease.discard();
                }
                seen => return seen,
            }
        }
    };
    match timeout(limit, looking).await {
        // Whatever the connection is in the middle of, it is given up.
        Err(_) => Err(StatsError::Slow),
        Ok(Err(HistoryError::Database(error))) if error.is_timeout() => Err(StatsError::Slow),
        Ok(Err(HistoryError::Database(error))) => Err(HistoryError::Database(error).into()),
        Ok(seen) => {
            lease.keep();
            Ok(seen?)
        }
    }
}

async fn look<L: Look + Sync>(lease: &mut Lease<'_, ()>, what: &L, limit: Duration) -> Result<L::Found, HistoryError> {
    let client = &lease.session().await?.client;
    let snapshot = Snapshot::begin(client, Some(limit)).await?;
    let seen = what.look(&snapshot).await;
    // What went wrong before is more telling than what may go wrong here.
    let ended = snapshot.end().await;
    let seen = seen?;
    ended?;
    Ok(seen)
}
