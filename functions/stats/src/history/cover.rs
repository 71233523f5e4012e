//! Which part of a window is read from what. Pure: nothing is read here.

use std::{collections::BTreeSet, ops::Range};

use shared::{Micros, Span, database::DatabaseError, history::Block};
use tokio_postgres::Row;

use super::HistoryError;

/// What was dropped: chunks before the first, summaries before the second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Horizon {
    chunks_from: Micros,
    summaries_from: Micros,
}

/// The window that is read, `from` inclusive, `to` exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from: Micros,
    pub(super) to: Micros,
    /// There are no chunks before this.
    pub(super) chunks_from: Micros,
}

/// The spans that are not sealed, by block.
pub(super) struct Unsealed {
    spans: Vec<(Span, Micros, Block)>,
}

/// How the targets of one block are read. Nothing overlaps, and together it is the window.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cover {
    pub(super) block: Block,
    /// Summaries: months and days, those that are sealed.
    pub(super) summaries: Vec<(Span, Range<Micros>)>,
    /// Chunks, but for the unsealed hours.
    pub(super) ranges: Vec<(Micros, Micros)>,
    /// Rows and chunks together.
    pub(super) unsealed_hours: Vec<Micros>,
}

/// The start of the span of an instant that may be an infinity.
pub(super) fn start(span: Span, instant: Micros) -> Micros {
    if [Micros::MIN, Micros::MAX].contains(&instant) { instant } else { span.start(instant) }
}

/// The first start of a span that is not before an instant.
fn next_start(span: Span, instant: Micros) -> Micros {
    let start = start(span, instant);
    if start == instant { start } else { span.end(instant) }
}

impl Window {
    /// The window asked for, without what was dropped. Days without chunks cannot be cut: they are in it as a whole or
    /// not at all.
    pub(super) fn new(from: Option<Micros>, to: Option<Micros>, horizon: Horizon) -> Self {
        let Horizon { chunks_from, summaries_from } = horizon;
        let mut from = from.unwrap_or(Micros::MIN).max(summaries_from);
        let mut to = to.unwrap_or(Micros::MAX);
        if from < chunks_from {
            from = next_start(Span::Day, from);
        }
        if to < chunks_from {
            to = start(Span::Day, to);
        }
        Self { from, to: to.max(from), chunks_from }
    }

    /// Why it is empty, if it is, though the window asked for is not.
    pub(super) fn check(self, from: Option<Micros>, to: Option<Micros>, horizon: Horizon) -> Result<(), HistoryError> {
        let was_empty = from.unwrap_or(Micros::MIN) >= to.unwrap_or(Micros::MAX);
        if self.from < self.to || was_empty {
            return Ok(());
        }
        let Horizon { chunks_from, summaries_from } = horizon;
        Err(HistoryError::NotKept { days_before: chunks_from, nothing_before: summaries_from, parameter: "window" })
    }

    /// Its ends, as far as it has any.
    pub(super) fn ends(self) -> (Option<Micros>, Option<Micros>) {
        let end = |instant: Micros| (![Micros::MIN, Micros::MAX].contains(&instant)).then_some(instant);
        (end(self.from), end(self.to))
    }

    /// The spans that lie in it as a whole; an empty range where there are none.
    pub(super) fn whole(self, span: Span) -> Range<Micros> {
        let (from, to) = (next_start(span, self.from), start(span, self.to));
        if from < to { from..to } else { from..from }
    }
}

impl Unsealed {
    /// Reads the rows of `select_unsealed.sql`, of which there is at least one: that of the horizon.
    pub(super) fn read(rows: &[Row]) -> Result<(Horizon, Self), DatabaseError> {
        let mut horizon = Horizon { chunks_from: Micros::MIN, summaries_from: Micros::MIN };
        let mut spans = Vec::new();
        for row in rows {
            horizon =
                Horizon { chunks_from: row.try_get("chunks_from")?, summaries_from: row.try_get("summaries_from")? };
            let Some(code) = row.try_get::<_, Option<i16>>("span")? else { continue };
            let unknown =
                || DatabaseError::Unexpected(format!("a span of code {code}, which this release does not know"));
            let span = Span::from_code(code).ok_or_else(unknown)?;
            spans.push((span, row.try_get("starts_at")?, Block(row.try_get("block")?)));
        }
        Ok((horizon, Self { spans }))
    }

    /// How to read a block, from nothing coarser than a span: chunks are of hours, summaries of days and months.
    pub(super) fn cover(&self, block: Block, window: Window, coarsest: Span) -> Cover {
        let (mut hours, mut days, mut months) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let overlaps = |span: Span, starts_at: Micros| starts_at < window.to && span.end(starts_at) > window.from;
        for &(span, starts_at, of) in &self.spans {
            if of != block || !overlaps(span, starts_at) {
                continue;
            }
            match span {
                Span::Hour => drop((hours.insert(starts_at), days.insert(Span::Day.start(starts_at)))),
                Span::Day => drop(days.insert(starts_at)),
                Span::Month => drop(months.insert(starts_at)),
            }
            months.insert(Span::Month.start(starts_at));
        }
        let whole = |span: Span| if span > coarsest { window.from..window.from } else { window.whole(span) };
        let (whole_days, whole_months) = (whole(Span::Day), whole(Span::Month));
        let mut ranges = vec![(window.from, whole_days.start), (whole_days.end, window.to)];
        ranges.extend(days.iter().filter(|day| whole_days.contains(day)).map(|day| (*day, Span::Day.end(*day))));
        ranges.retain(|(from, to)| from < to);
        // A window without a whole day has two edges that touch or overlap: it is one.
        if whole_days.is_empty() {
            ranges = vec![(window.from, window.to)];
        }
        let spans = |span: Span, starts: BTreeSet<Micros>| starts.into_iter().map(move |start| start..span.end(start));
        let sealed_months = without(whole_months, spans(Span::Month, months));
        let sealed_days = without(whole_days, sealed_months.iter().cloned().chain(spans(Span::Day, days)));
        let summaries = sealed_months.into_iter().map(|months| (Span::Month, months));
        Cover {
            block,
            summaries: summaries.chain(sealed_days.into_iter().map(|days| (Span::Day, days))).collect(),
            ranges,
            unsealed_hours: hours.into_iter().collect(),
        }
    }
}

/// What is left of a range without some others.
fn without(range: Range<Micros>, others: impl Iterator<Item = Range<Micros>>) -> Vec<Range<Micros>> {
    others.fold(vec![range], |left, other| {
        let parts = left
            .into_iter()
            .flat_map(|part| [part.start..part.end.min(other.start), part.start.max(other.end)..part.end]);
        parts.filter(|part| !part.is_empty()).collect()
    })
}
