//! What has to be read for a report.

use jiff::Timestamp;
use shared::{Micros, history::Measure};

use super::StatsReport;
use crate::{
    access::Scope,
    ask::{Look, Question, Written},
    badge,
    history::{EXACT_PROBES, HistoryError, HistoryQuery, Page, Snapshot, Target, split::Bucket},
    metrics,
    order::{self, SortKey},
    problem::StatsError,
    query::StatsQuery,
    route::Endpoint,
    table,
};

/// A query, by whom and when.
#[derive(Debug, Clone)]
pub struct Asked<'query> {
    query: &'query StatsQuery,
    scope: &'query Scope,
    /// The ends of the window, and the start of the one before, if that is asked for.
    window: (Option<Micros>, Option<Micros>),
    before: Option<Micros>,
    /// The last full minute.
    as_of: Micros,
}

/// The same, to be answered in a form.
pub struct ReportQuestion<'query> {
    /// What is asked.
    pub asked: Asked<'query>,
    /// The path that was asked for.
    pub endpoint: Endpoint,
    /// The form in which the client likes the answer best, of those that the path has.
    pub content_type: &'static str,
    /// The query string, for the one of the next page.
    pub query_string: &'query str,
}

impl<'query> Asked<'query> {
    /// A query as of the last full minute before `now`: windows that end now end then, and what has to be over by now is over
    /// by then, so that the answer is the same for a minute unless something else changes it.
    #[must_use]
    pub fn new(query: &'query StatsQuery, scope: &'query Scope, now: Timestamp) -> Self {
        let as_of = Bucket::Minute.start(now.into());
        let (from, to) = query.window.ends(as_of.timestamp());
        let window = (from.map(Micros::from), to.map(Micros::from));
        let length = window.0.zip(window.1).map(|(from, to)| to.0.saturating_sub(from.0));
        let before = window.0.zip(length).filter(|_| query.compare);
        let before = before.map(|(from, length)| Micros(from.0.saturating_sub(length)));
        Self { query, scope, window, before, as_of }
    }

    /// What is to be read of the window.
    #[must_use]
    pub fn history(&self) -> HistoryQuery<'query> {
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
        HistoryQuery {
            urls,
            urls_within: self.window,
            monitors,
            tags,
            scope: self.scope.as_deref(),
            page,
            from: self.window.0,
            to: self.window.1,
            measure: Some(Measure::ResponseTime),
            exact_probes: EXACT_PROBES / (1 + of_phases + of_quorum),
            split: query.split,
            held: Some(query.quorum),
            as_of: self.as_of,
            ..HistoryQuery::default()
        }
    }

    /// What is to be read of the window before, if that is asked for.
    #[must_use]
    pub fn previous(&self) -> Option<HistoryQuery<'query>> {
        let mut previous = HistoryQuery { from: Some(self.before?), to: self.window.0, ..self.history() };
        previous.split.bucket = None;
        Some(previous)
    }

    /// What tells it from every other one; what ended before is the same at any time.
    #[must_use]
    pub fn key(&self) -> String {
        let as_of = self.window.1.filter(|to| *to <= self.as_of).is_none().then_some(self.as_of);
        format!("{:?} {:?} {:?} {as_of:?}", self.query, self.scope, self.window)
    }
}

/// The same error, of the window before.
fn of_compare(error: HistoryError) -> HistoryError {
    match error {
        HistoryError::NotKept { days_before, nothing_before, .. } => {
            HistoryError::NotKept { days_before, nothing_before, parameter: "compare" }
        }
        other => other,
    }
}

impl Look for Asked<'_> {
    type Found = StatsReport;

    async fn look(&self, snapshot: &Snapshot<'_>) -> Result<StatsReport, HistoryError> {
        let previous = match self.previous() {
            Some(previous) => Some(snapshot.read(&previous).await.map_err(of_compare)?),
            None => None,
        };
        StatsReport::new(snapshot.read(&self.history()).await?, previous, self.query, self.as_of)
    }
}

impl Look for ReportQuestion<'_> {
    type Found = StatsReport;

    async fn look(&self, snapshot: &Snapshot<'_>) -> Result<StatsReport, HistoryError> {
        self.asked.look(snapshot).await
    }
}

impl Question for ReportQuestion<'_> {
    fn key(&self) -> String {
        format!("{} {}", self.content_type, self.asked.key())
    }

    fn write(&self, report: StatsReport) -> Result<Written, StatsError> {
        let query = self.asked.query;
        let (content_type, text) = match (self.endpoint, self.content_type) {
            (Endpoint::Metrics, "application/openmetrics-text") => {
                ("application/openmetrics-text; version=1.0.0; charset=utf-8", metrics::write(&report) + "# EOF\n")
            }
            (Endpoint::Metrics, _) => ("text/plain; version=0.0.4; charset=utf-8", metrics::write(&report)),
            (Endpoint::Badge, _) => ("image/svg+xml", badge::write(&report, query)?),
            (_, "text/csv") => ("text/csv; charset=utf-8; header=present", table::write(&report, query)?),
            _ => ("application/json", serde_json::to_string(&report)?),
        };
        let next = report.next.as_deref().map(|next| order::with_cursor(self.query_string, next));
        Ok(Written { content_type, text, next })
    }
}
