//! What a cover names, added up: chunks, summaries, and the hours that are not sealed.

use std::{collections::BTreeMap, pin::pin};

use futures::{TryStreamExt as _, try_join};
use shared::{
    Micros, Span,
    database::DatabaseError,
    history::{
        Measure, Sample,
        chunk::{self, Columns, Samples},
        open,
    },
};
use tokio_postgres::{
    Client, Error, RowStream,
    types::{ToSql, Type},
};

use super::{
    HistoryError, MAX_PARTS,
    cover::{self, Cover, Window},
    merge,
    split::{Part, Split},
    tally::Tally,
    targets::Targets,
};

/// What is known per target and part.
pub(super) type Tallies = BTreeMap<(i32, Part), Tally>;

/// Adds up what the queries return.
pub(super) struct Reader<'read> {
    pub(super) client: &'read Client,
    pub(super) targets: &'read Targets,
    pub(super) measure: Measure,
    pub(super) split: Split,
    pub(super) window: Window,
    pub(super) is_exact: bool,
}

impl Reader<'_> {
    /// A block of targets. The queries are sent together, so that the server works on one while the answer to another is
    /// added up.
    pub(super) async fn read_block(&self, cover: &Cover) -> Result<Tallies, HistoryError> {
        let (mut tallies, summaries, unsealed) =
            try_join!(self.chunks(cover), self.summaries(cover), self.unsealed(cover))?;
        for (key, more) in summaries.into_iter().chain(unsealed) {
            merge(&mut tallies, key, more);
        }
        Ok(tallies)
    }

    /// Whether there are no more parts than there may be.
    pub(super) fn check(&self, tallies: &Tallies) -> Result<(), HistoryError> {
        let is_split = self.split != Split::default();
        match tallies.len() {
            parts if is_split && parts > MAX_PARTS => Err(HistoryError::TooLarge { buckets: parts as u64 }),
            _ => Ok(()),
        }
    }

    fn tally<'tallies>(&self, tallies: &'tallies mut Tallies, target: i32, part: Part) -> &'tallies mut Tally {
        tallies.entry((target, part)).or_insert_with(|| Tally::new(self.is_exact))
    }

    /// The whole days and months.
    async fn summaries(&self, cover: &Cover) -> Result<Tallies, HistoryError> {
        let mut tallies = Tallies::new();
        if cover.summaries.is_empty() {
            return Ok(tallies);
        }
        let query = include_str!("select_summaries.sql");
        let with_phases = self.measure.phase().is_some();
        let mut rows = pin!(summaries(self.client, query, self.targets, cover, Some(&with_phases)).await?);
        while let Some(row) = rows.try_next().await? {
            let phases = self.measure.phase().map(|phase| row.try_get("phases").map(|bytes| (phase, bytes)));
            let starts_at = row.try_get("starts_at")?;
            let part = self.split.part(row.try_get("location_id")?, None, starts_at);
            let tally = self.tally(&mut tallies, row.try_get("target_id")?, part);
            tally.add_summary(starts_at, row.try_get("summary")?, phases.transpose()?).map_err(DatabaseError::from)?;
        }
        Ok(tallies)
    }

    /// The sealed hours that no summary stands for.
    async fn chunks(&self, cover: &Cover) -> Result<Tallies, HistoryError> {
        let mut tallies = Tallies::new();
        let window = self.window.from..self.window.to;
        for &range in &cover.ranges {
            let mut rows = pin!(self.select_chunks(cover, range).await?);
            // By place: there are many of these rows.
            while let Some(row) = rows.try_next().await? {
                let (target, hour, location) = (row.try_get(0)?, row.try_get(1)?, row.try_get(5)?);
                if self.split.needs_samples() {
                    let columns =
                        Columns { samples: row.try_get(2)?, instants: row.try_get(3)?, phases: row.try_get(4)? };
                    for sample in chunk::decode(hour, columns).map_err(DatabaseError::from)? {
                        self.add(&mut tallies, target, location, &sample);
                    }
                    self.check(&tallies)?;
                    continue;
                }
                let samples = Samples::read(hour, row.try_get(2)?).map_err(DatabaseError::from)?;
                let phase = self.measure.phase().map(|phase| row.try_get(4).map(|bytes| (phase, bytes)));
                let tally = self.tally(&mut tallies, target, self.split.part(location, None, hour));
                tally.add_chunk(&samples, row.try_get(3)?, phase.transpose()?, &window).map_err(DatabaseError::from)?;
            }
        }
        Ok(tallies)
    }

    /// The hours that are not sealed.
    async fn unsealed(&self, cover: &Cover) -> Result<Tallies, HistoryError> {
        let mut tallies = Tallies::new();
        let only = self.targets.only(cover.block);
        let with_phases = self.measure.phase().is_some();
        let selected = open::select(self.client, cover.block, only, &cover.unsealed_hours, with_phases).await?;
        for (((target, location), _), samples) in selected {
            samples.iter().for_each(|sample| self.add(&mut tallies, target, location, sample));
            self.check(&tallies)?;
        }
        Ok(tallies)
    }

    /// Adds a sample, if it is in the window.
    fn add(&self, tallies: &mut Tallies, target: i32, location: i16, sample: &Sample) {
        if (self.window.from..self.window.to).contains(&sample.probed_at) {
            let part = self.split.part(location, Some(sample.verdict), sample.probed_at);
            self.tally(tallies, target, part).add(sample, self.measure);
        }
    }

    /// The chunks of a range of instants, without the hours that are not sealed.
    async fn select_chunks(&self, cover: &Cover, (from, to): (Micros, Micros)) -> Result<RowStream, Error> {
        let from = cover::start(Span::Hour, from);
        let (first, last) = cover.block.targets();
        let only = self.targets.only(cover.block);
        let mut whole = self.window.whole(Span::Hour);
        // Where each sample is looked at, its instant is too.
        if self.split.needs_samples() {
            whole = Micros::MIN..Micros::MIN;
        }
        let with_phases = self.measure.phase().is_some();
        let parameters: [(&(dyn ToSql + Sync), Type); 9] = [
            (&first, Type::INT4),
            (&last, Type::INT4),
            (&only, Type::INT4_ARRAY),
            (&from, Type::TIMESTAMPTZ),
            (&to, Type::TIMESTAMPTZ),
            (&cover.unsealed_hours, Type::TIMESTAMPTZ_ARRAY),
            (&whole.start, Type::TIMESTAMPTZ),
            (&whole.end, Type::TIMESTAMPTZ),
            (&with_phases, Type::BOOL),
        ];
        self.client.query_typed_raw(include_str!("select_chunks.sql"), parameters).await
    }
}

/// Runs a query over the summaries that a cover takes, with or without phases where it has a say in that.
pub(super) async fn summaries(
    client: &Client,
    query: &str,
    targets: &Targets,
    cover: &Cover,
    with_phases: Option<&bool>,
) -> Result<RowStream, Error> {
    let (first, last) = cover.block.targets();
    let only = targets.only(cover.block);
    let spans: Vec<_> = cover.summaries.iter().map(|(span, _)| span.code()).collect();
    let (from, to): (Vec<_>, Vec<_>) = cover.summaries.iter().map(|(_, range)| (range.start, range.end)).unzip();
    let mut parameters: Vec<(&(dyn ToSql + Sync), Type)> = vec![
        (&first, Type::INT4),
        (&last, Type::INT4),
        (&only, Type::INT4_ARRAY),
        (&spans, Type::INT2_ARRAY),
        (&from, Type::TIMESTAMPTZ_ARRAY),
        (&to, Type::TIMESTAMPTZ_ARRAY),
    ];
    parameters.extend(with_phases.map(|with_phases| (with_phases as &(dyn ToSql + Sync), Type::BOOL)));
    client.query_typed_raw(query, parameters).await
}
