//! From a question to its answer: in one snapshot of the database, unless the client or the cache has the answer already.

use std::{io::Write as _, time::Duration};

use flate2::{Compression, write::GzEncoder};
use jiff::Timestamp;
use lambda_http::{Body, Request, http::header};
use shared::{Micros, database::Lease, history::Measure};
use tokio::time::timeout;
use twox_hash::XxHash3_64;

use crate::{
    Stats,
    access::Scope,
    badge,
    cache::{Answer, Cache},
    history::{EXACT_PROBES, HistoryError, HistoryQuery, Page, Snapshot, Target, split::Bucket},
    metrics, negotiate,
    order::{self, SortKey},
    query::StatsQuery,
    report::StatsReport,
    response::{Reply, StatsError},
    route::Endpoint,
    table,
};

/// An answer has this many bytes, at most: Lambda sends no more than six megabytes, in which quotes are escaped, and what is
/// not plain text takes a third more.
const MAX_BYTES: usize = 4_400_000;
/// What is shorter is not made shorter by compressing it.
const MIN_COMPRESSED: usize = 1_024;

/// A query, by whom and when.
pub struct Question<'query> {
    query: &'query StatsQuery,
    scope: Scope,
    /// The ends of the window, and the start of the one before, if that is asked for.
    window: (Option<Micros>, Option<Micros>),
    before: Option<Micros>,
    /// The last full minute.
    as_of: Micros,
}

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

/// The answer to a question, in a form.
struct Form<'request> {
    question: Question<'request>,
    content_type: &'static str,
    compresses: bool,
    /// The entity tags of what the client has.
    known: String,
    cache: &'request Cache,
}

/// Where the answer is.
enum Found {
    /// The client has it.
    AtClient,
    /// It was made before.
    InCache(Answer),
    /// Here, to be kept by this key.
    Report(String, StatsReport),
}

impl<'query> Question<'query> {
    /// A query as of the last full minute before `now`: windows that end now end then, and what has to be over by now is over
    /// by then, so that the answer is the same for a minute unless something else changes it.
    #[must_use]
    pub fn new(query: &'query StatsQuery, scope: Scope, now: Timestamp) -> Self {
        let as_of = Bucket::Minute.start(now.into());
        let (from, to) = query.window.ends(as_of.timestamp());
        let window = (from.map(Micros::from), to.map(Micros::from));
        let length = window.0.zip(window.1).map(|(from, to)| to.0.saturating_sub(from.0));
        let before = window.0.zip(length).filter(|_| query.compare);
        let before = before.map(|(from, length)| Micros(from.0.saturating_sub(length)));
        Self { query, scope, window, before, as_of }
    }

    /// What tells the answer from every other one, in a state of the database: everything that it depends on.
    fn key(&self, version: &str, content_type: &str) -> String {
        // What ended before is the same at any time.
        let as_of = self.window.1.filter(|to| *to <= self.as_of).is_none().then_some(self.as_of);
        let release = env!("CARGO_PKG_VERSION");
        format!("{release} {version} {content_type} {:?} {:?} {:?} {as_of:?}", self.query, self.scope, self.window)
    }
}

impl Look for Question<'_> {
    type Found = StatsReport;

    async fn look(&self, snapshot: &Snapshot<'_>) -> Result<StatsReport, HistoryError> {
        let query = self.query;
        let [urls, monitors, tags] =
            [&query.urls, &query.monitors, &query.tags].map(|names| (!names.is_empty()).then_some(names.as_slice()));
        // Other orders take all of them to know the first.
        let is_by_url = query.sort.key == SortKey::Url && (query.limit.is_some() || query.cursor.is_some());
        let after = query.cursor.as_ref().map(|last| Target { url: last.url.clone(), monitor: last.monitor.clone() });
        let limit = query.limit.unwrap_or(usize::MAX);
        let page = is_by_url.then_some(Page { after, limit, is_descending: query.sort.is_descending });
        // What is kept of each probe: its duration; with its phases, six of these; for a quorum, when it was and its verdict.
        let (of_phases, of_quorum) =
            (if query.split.by.phase { 5 } else { 0 }, if query.quorum.is_some() { 4 } else { 0 });
        let asked = HistoryQuery {
            urls,
            monitors,
            tags,
            scope: self.scope.as_deref(),
            page,
            from: self.window.0,
            to: self.window.1,
            measure: Measure::ResponseTime,
            exact_probes: EXACT_PROBES / (1 + of_phases + of_quorum),
            split: query.split,
            held: Some(query.quorum),
            as_of: self.as_of,
        };
        let previous = match self.before {
            Some(before) => {
                let mut previous = HistoryQuery { from: Some(before), to: self.window.0, ..asked.clone() };
                previous.split.bucket = None;
                Some(snapshot.read(&previous).await?)
            }
            None => None,
        };
        StatsReport::new(snapshot.read(&asked).await?, previous, query, self.as_of)
    }
}

impl Look for Form<'_> {
    type Found = (String, Found);

    async fn look(&self, snapshot: &Snapshot<'_>) -> Result<(String, Found), HistoryError> {
        let key = self.question.key(snapshot.version(), self.content_type);
        // Other bytes, another tag (RFC 9110, section 8.8.3).
        let coding = if self.compresses { "-gzip" } else { "" };
        let tag = format!("\"{:016x}{coding}\"", XxHash3_64::oneshot(key.as_bytes()));
        // By the key itself: what hashes alike may be for others.
        let key = key + coding;
        let found = if negotiate::has(&self.known, &tag) {
            Found::AtClient
        } else if let Some(answer) = self.cache.get(&key) {
            Found::InCache(answer)
        } else {
            Found::Report(key, self.question.look(snapshot).await?)
        };
        Ok((tag, found))
    }
}

/// The answer to a request for one of the paths that have a query.
///
/// # Errors
/// The query cannot be used, the database cannot be asked, or what is asked for cannot be had from it.
pub async fn answer(
    stats: &Stats,
    request: &Request,
    endpoint: Endpoint,
    scope: Scope,
    now: Timestamp,
) -> Result<Reply, StatsError> {
    let query_string = request.uri().query().unwrap_or_default();
    let query = endpoint.query(query_string)?;
    let content_type = endpoint.content_type(request.headers());
    let compresses = negotiate::takes_gzip(&negotiate::text(request.headers(), &header::ACCEPT_ENCODING));
    let known = negotiate::text(request.headers(), &header::IF_NONE_MATCH);
    let question = Question::new(&query, scope, now);
    let form = Form { question, content_type, compresses, known, cache: &stats.cache };
    let (tag, found) = in_snapshot(stats, &form).await?;
    let answer = match found {
        Found::AtClient => return Ok(Reply::NotModified { tag }),
        Found::InCache(answer) => answer,
        Found::Report(key, report) => {
            let (content_type, text) = write(&report, &query, endpoint, content_type)?;
            let next = report.next.as_deref().map(|next| order::with_cursor(query_string, next));
            let answer = finish(content_type, text, next, compresses)?;
            stats.cache.put(key, answer.clone());
            answer
        }
    };
    Ok(Reply::Answer { tag, answer })
}

/// The text of an answer, and its media type in full.
fn write(
    report: &StatsReport,
    query: &StatsQuery,
    endpoint: Endpoint,
    content_type: &'static str,
) -> Result<(&'static str, String), StatsError> {
    Ok(match (endpoint, content_type) {
        (Endpoint::Metrics, "application/openmetrics-text") => {
            ("application/openmetrics-text; version=1.0.0; charset=utf-8", metrics::write(report) + "# EOF\n")
        }
        (Endpoint::Metrics, _) => ("text/plain; version=0.0.4; charset=utf-8", metrics::write(report)),
        (Endpoint::Badge, _) => ("image/svg+xml", badge::write(report, query)?),
        (_, "text/csv") => ("text/csv; charset=utf-8; header=present", table::write(report, query)?),
        _ => ("application/json", serde_json::to_string(report)?),
    })
}

fn finish(
    content_type: &'static str,
    text: String,
    next: Option<String>,
    compresses: bool,
) -> Result<Answer, StatsError> {
    if text.len() > MAX_BYTES {
        return Err(StatsError::TooLong { bytes: text.len(), limit: MAX_BYTES });
    }
    if !compresses || text.len() < MIN_COMPRESSED {
        return Ok(Answer { content_type, body: Body::Text(text), next, is_compressed: false });
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes())?;
    Ok(Answer { content_type, body: Body::Binary(encoder.finish()?), next, is_compressed: true })
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
