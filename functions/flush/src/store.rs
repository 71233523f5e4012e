//! A batch into Postgres.

use shared::{
    Micros, Record,
    database::{DatabaseError, Session, is_about_data},
    migrations, timestamp,
};
use tokio_postgres::Client;

use crate::{
    attributes::Attributes,
    batch::{Batch, Observation, Reject},
    dictionary::{self, Dictionary, Names, Targets, monitor},
    partitions::Partitions,
    retention::Schedule,
    row::Row,
    unsealed::{self, Announced},
    write::{Load, Written, write},
};

/// What is known through a connection. New with each connection, since that may lead to another database.
pub struct Known {
    /// Whether the schema was looked at.
    is_migrated: bool,
    referred: Referred,
    attributes: Attributes,
    partitions: Partitions,
    announced: Announced,
    pub(crate) schedule: Schedule,
}

/// What rows refer to.
struct Referred {
    targets: Targets,
    locations: Dictionary<i16>,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            is_migrated: false,
            referred: Referred { targets: Targets::default(), locations: dictionary::locations() },
            attributes: Attributes::default(),
            partitions: Partitions::default(),
            announced: Announced::default(),
            schedule: Schedule::default(),
        }
    }
}

/// What became of a batch.
pub struct Stored {
    /// Observations that were new.
    pub stored: usize,
    /// The batch's rejects, and what the database refused.
    pub rejects: Vec<Reject>,
}

/// How often flush tries a batch when other instances seal its hours, or change URLs of its monitors, in the meantime. URLs
/// cost one attempt at most.
const ATTEMPTS: usize = 20;

/// Writes the batch in one transaction. A warm invocation takes the three round trips that `write` describes, whatever its
/// records say of their targets; a new target, location or hour costs one or two more, once.
///
/// # Errors
/// The database failed; nothing of the batch is stored then.
pub async fn store(session: &mut Session<Known>, batch: &Batch) -> Result<Stored, DatabaseError> {
    let Session { client, state, .. } = session;
    let mut rejects = batch.rejects.clone();
    if !state.is_migrated {
        migrations::run(client).await?;
        state.is_migrated = true;
    }
    let observations = &batch.observations;
    let mut rows = rows(client, &mut state.referred, observations, &mut rejects).await?;
    state.attributes.learn(client, &rows).await?;
    state.attributes.see(&rows);

    let mut loads = [Load::CopyMissing, Load::SetApart].into_iter();
    let mut load = Load::Copy;
    for _ in 0..ATTEMPTS {
        let hours = unsealed::hours(&rows);
        let chunks_from = state.announced.add(client, &hours).await?;
        if let Some(chunks_from) = chunks_from.filter(|from| rows.iter().any(|row| row.key.probed_at < *from)) {
            set_apart(&mut rows, chunks_from, &mut rejects);
            state.attributes = state.attributes.only(&rows);
            continue;
        }
        state.partitions.ensure(client, &rows, timestamp::now().into()).await?;
        match write(client, &hours, &rows, &state.attributes, &mut rejects, load).await {
            Ok(Written::Rows(stored)) => {
                match load {
                    Load::Copy | Load::CopyMissing => state.attributes.stored(),
                    // What was refused has said nothing.
                    Load::SetApart => state.attributes.forget(),
                }
                return Ok(Stored { stored: usize::try_from(stored).unwrap_or(usize::MAX), rejects });
            }
            Ok(Written::Sealed) => state.announced.forget(),
            Ok(Written::UrlsChanged) => state.attributes.urls_changed(),
            Ok(Written::TooOld(chunks_from)) => {
                set_apart(&mut rows, chunks_from, &mut rejects);
                state.attributes = state.attributes.only(&rows);
            }
            Err(error) if is_about_data(&error) => match loads.next() {
                Some(next) => load = next,
                None => return Err(error.into()),
            },
            Err(error) => return Err(error.into()),
        }
    }
    Err(DatabaseError::Contention(ATTEMPTS))
}

/// The rows of observations, in the order of the key; what names a target or a location that the database refuses goes
/// to `rejects`.
async fn rows<'batch>(
    client: &Client,
    referred: &mut Referred,
    observations: &'batch [Observation],
    rejects: &mut Vec<Reject>,
) -> Result<Vec<Row<'batch>>, DatabaseError> {
    let mut rows = Vec::with_capacity(observations.len());
    let mut unknown = Vec::new();
    // In one pass, since a batch does not fit into the caches of a processor.
    for observation in observations {
        match referred.row(observation) {
            Some(row) => rows.push(row),
            None => unknown.push(observation),
        }
    }
    if !unknown.is_empty() {
        let (mut monitors, mut urls, mut locations) = (Names::new(), Names::new(), Names::new());
        for Observation { record, .. } in unknown.iter().copied() {
            match monitor(record) {
                Some(monitor) => drop(monitors.insert(monitor, &record.url)),
                None => drop(urls.insert(&record.url, "")),
            }
            locations.insert(location(record), "");
        }
        let refused_monitors = referred.targets.monitors.learn(client, &monitors).await?;
        let refused_urls = referred.targets.urls.learn(client, &urls).await?;
        let refused_locations = referred.locations.learn(client, &locations).await?;
        for observation in unknown {
            let record = &observation.record;
            let refused = match monitor(record) {
                Some(monitor) => refused_monitors.get(monitor),
                None => refused_urls.get(record.url.as_str()),
            };
            match refused.or(refused_locations.get(location(record))) {
                Some(reason) => rejects.push(Reject::new(observation.source.clone(), reason)),
                None => rows.extend(referred.row(observation)),
            }
        }
    }
    // In the order of the key, so that the index grows at its end, and two batches that overlap take their locks in the
    // same order; and each key once.
    rows.sort_unstable_by_key(|row| row.key);
    rows.dedup_by_key(|row| row.key);
    Ok(rows)
}

impl Referred {
    /// The row of an observation whose target and location are known.
    fn row<'batch>(&self, observation: &'batch Observation) -> Option<Row<'batch>> {
        let record = &observation.record;
        let (target_id, location_id) = self.targets.get(record).zip(self.locations.get(location(record)))?;
        Some(Row::new(target_id, location_id, observation))
    }
}

fn location(record: &Record) -> &str {
    record.location.as_deref().unwrap_or_default()
}

/// Moves the rows from before `chunks_from` to the rejects.
fn set_apart(rows: &mut Vec<Row<'_>>, chunks_from: Micros, rejects: &mut Vec<Reject>) {
    let instant = timestamp::format(chunks_from.timestamp());
    let reason = format!("timestamp is before {instant}, and the probes of then were dropped (WM_CHUNK_RETENTION)");
    for row in rows.extract_if(.., |row| row.key.probed_at < chunks_from) {
        rejects.push(Reject::new(row.observation.source.clone(), &reason));
    }
}
