//! A batch into Postgres.

use shared::{
    Micros,
    database::{DatabaseError, Session, is_about_data},
    migrations, timestamp,
};
use tokio_postgres::Client;

use crate::{
    batch::{Batch, Observation, Reject},
    certificates::Certificates,
    dictionary::{self, Dictionary, Name},
    partitions::Partitions,
    retention::Schedule,
    row::Row,
    settings::Settings,
    unsealed::{self, Announced},
    write::{Load, Written, write},
};

/// What is known through a connection. New with each connection, since that may lead to another database.
pub struct Known {
    /// Whether the schema was looked at.
    is_migrated: bool,
    referred: Referred,
    partitions: Partitions,
    announced: Announced,
    pub(crate) schedule: Schedule,
}

/// What rows refer to.
struct Referred {
    targets: Dictionary<i32>,
    locations: Dictionary<i16>,
    certificates: Certificates,
    settings: Settings,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            is_migrated: false,
            referred: Referred {
                targets: dictionary::targets(),
                locations: dictionary::locations(),
                certificates: Certificates::default(),
                settings: Settings::default(),
            },
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

/// How often a batch is tried anew because somebody sealed its hours in the meantime.
const ATTEMPTS: usize = 20;

/// Writes the batch in one transaction. A warm invocation with nothing new (a target, its settings, an hour, a certificate) takes the
/// three round trips that `write` describes; each new thing costs one more, once.
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
    state.partitions.ensure(client, &rows, timestamp::now().into()).await?;
    state.referred.certificates.store(client).await?;
    state.referred.settings.store(client).await?;

    let mut loads = [Load::CopyMissing, Load::SetApart].into_iter();
    let mut load = Load::Copy;
    for _ in 0..ATTEMPTS {
        let hours = unsealed::hours(&rows);
        state.announced.add(client, &hours).await?;
        match write(client, &hours, &rows, &mut rejects, load).await {
            Ok(Written::Rows(stored)) => {
                return Ok(Stored { stored: usize::try_from(stored).unwrap_or(usize::MAX), rejects });
            }
            Ok(Written::Sealed) => state.announced.forget(),
            Ok(Written::TooOld(chunks_from)) => set_apart(&mut rows, chunks_from, &mut rejects),
            Err(error) if is_about_data(&error) => match loads.next() {
                Some(next) => load = next,
                None => return Err(error.into()),
            },
            Err(error) => return Err(error.into()),
        }
    }
    Err(DatabaseError::Unexpected(format!("the hours of a batch were sealed {ATTEMPTS} times while it was written")))
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
        let names: Vec<_> = unknown.iter().map(|observation| target(observation)).collect();
        let refused_targets = referred.targets.learn(client, &names).await?;
        let names: Vec<_> = unknown.iter().map(|observation| location(observation)).collect();
        let refused_locations = referred.locations.learn(client, &names).await?;
        for observation in unknown {
            let refused = refused_targets.get(&target(observation)).or(refused_locations.get(&location(observation)));
            match refused {
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
    fn row<'batch>(&mut self, observation: &'batch Observation) -> Option<Row<'batch>> {
        let (target_id, location_id) =
            self.targets.get(target(observation)).zip(self.locations.get(location(observation)))?;
        let row = Row::new(target_id, location_id, observation);
        self.certificates.see(&row);
        self.settings.see(&row);
        Some(row)
    }
}

fn target(observation: &Observation) -> Name<'_> {
    (&observation.record.url, observation.record.monitor.as_deref().unwrap_or_default())
}

fn location(observation: &Observation) -> Name<'_> {
    (observation.record.location.as_deref().unwrap_or_default(), "")
}

/// Moves the rows from before `chunks_from` to the rejects.
fn set_apart(rows: &mut Vec<Row<'_>>, chunks_from: Micros, rejects: &mut Vec<Reject>) {
    let instant = timestamp::format(chunks_from.timestamp());
    let reason = format!("timestamp is before {instant}, and the probes of then were dropped (WM_CHUNK_RETENTION)");
    for row in rows.extract_if(.., |row| row.key.probed_at < chunks_from) {
        rejects.push(Reject::new(row.observation.source.clone(), &reason));
    }
}
