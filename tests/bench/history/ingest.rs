//! Batches of 10,000 records: flush beside the seed's insert and a bare COPY, in turns.

use std::{pin::pin, time::Instant};

use anyhow::{Result, ensure};
use flush::{
    batch::Batch,
    store::{Known, store},
};
use local_stack::postgres::Postgres;
use shared::{Micros, Millis, database::Database, timestamp};
use tokio_postgres::{Client, binary_copy::BinaryCopyInWriter, types::Type};

use crate::{
    report::{Report, median},
    seed,
    store::{config, connect},
    traffic::Traffic,
};

const BATCH: usize = 10_000;
/// Batches that are there before anything is timed.
const BEFORE: usize = 30;

pub(crate) async fn compare(postgres: &Postgres, targets: usize, batches: usize, report: &mut Report) -> Result<()> {
    let name = format!("ingest_{targets}");
    postgres.create_database(&name).await?;
    let client = connect(postgres, &name).await?;
    client.batch_execute(seed::TABLE).await?;
    let database: Database<Known> = Database::new(config(postgres, &name)?);
    let mut lease = database.lease().await;
    let session = lease.session().await?;

    let probes = (BATCH * (BEFORE + 2 * batches)) as u64;
    let mut traffic = Traffic::new(targets, Traffic::start(timestamp::now().into(), targets as u64, probes));
    for _ in 0..BEFORE {
        let batch = traffic.batch(BATCH);
        store(session, &batch).await?;
        seed::insert(&client, &batch).await?;
    }
    let ids = ids(&client).await?;
    let copy = client.prepare(COPY).await?;
    let mut python = seed::Python::start(&postgres.connection_string(&name))?;
    let [mut seeds, mut statements, mut ours, mut again, mut bare] = [const { Vec::new() }; 5];
    for round in 0..batches {
        let (one, other) = (traffic.batch(BATCH), traffic.batch(BATCH));
        // In turns also as to who comes after the seed, whose pages are still being written then.
        let bare_is_first = round % 2 == 0;
        if bare_is_first {
            bare.push(timed(bare_copy(&client, &copy, &ids, &other)).await?.0);
        }
        let (first, stored) = timed(store(session, &one)).await?;
        let (second, stored_again) = timed(store(session, &one)).await?;
        let stored = (stored.stored, stored_again.stored);
        ensure!(stored == (BATCH, 0), "a batch was stored as {stored:?} rows");
        ours.push(first);
        again.push(second);
        if !bare_is_first {
            bare.push(timed(bare_copy(&client, &copy, &ids, &other)).await?.0);
        }
        seeds.push(python.insert(&one)?);
        statements.push(timed(seed::insert(&client, &one)).await?.0);
    }
    let [seed, statements, ours, again, bare] =
        [seeds, statements, ours, again, bare].map(|mut times| median(&mut times));
    report.speedup(&format!("10,000 records, {targets} targets: seed's insert → flush"), seed, ours, "≥ 4");
    report.speedup("  its statements alone, without Python → flush", statements, ours, "–");
    let detail = format!("{:.1} → {:.1} ms", bare * 1e3, ours * 1e3);
    report.ratio("  throughput beside a bare binary COPY", bare, ours, &detail, "≥ 0.85");
    let detail = format!("{:.1} → {:.1} ms, rows unchanged", ours * 1e3, again * 1e3);
    report.ratio("  the same batch once more, beside the first time", again, ours, &detail, "≤ 1.5");
    Ok(())
}

/// How long something takes, in seconds, and what comes of it.
async fn timed<T, E>(work: impl Future<Output = Result<T, E>>) -> Result<(f64, T), E> {
    let started = Instant::now();
    let result = work.await?;
    Ok((started.elapsed().as_secs_f64(), result))
}

/// The columns in the order of the table, as flush has them too.
const COPY: &str = "copy probes (probed_at, record_id, scheduled_at, target_id, response_time_us, dns_us, connect_us, \
                    tls_us, first_byte_us, download_us, http_status_code, attempt, outcome, error_kind, location_id, \
                    error_message) from stdin (format binary)";

/// The ids of the targets, by URL.
async fn ids(client: &Client) -> Result<std::collections::HashMap<String, i32>> {
    let rows = client.query("select url, id from targets", &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// What the database takes for the rows alone: no identity, no history, no order of writers; rows sorted beforehand.
async fn bare_copy(
    client: &Client,
    copy: &tokio_postgres::Statement,
    ids: &std::collections::HashMap<String, i32>,
    batch: &Batch,
) -> Result<()> {
    let types = [
        Type::TIMESTAMPTZ,
        Type::INT8,
        Type::TIMESTAMPTZ,
        Type::INT4,
        Type::INT4,
        Type::INT4,
        Type::INT4,
        Type::INT4,
        Type::INT4,
        Type::INT4,
        Type::INT2,
        Type::INT2,
        Type::INT2,
        Type::INT2,
        Type::INT2,
        Type::TEXT,
    ];
    let mut rows: Vec<_> = batch.observations.iter().map(|one| (ids.get(&one.record.url).copied(), one)).collect();
    rows.sort_unstable_by_key(|(target, one)| (one.record.timestamp, *target, one.record_id));
    let mut writer = pin!(BinaryCopyInWriter::new(client.copy_in(copy).await?, &types));
    for (target, one) in rows {
        let record = &one.record;
        let phases = record.phases.unwrap_or_default();
        let micros = |phase: Option<Millis>| phase.map(Millis::as_micros);
        let (error, message) =
            record.error.as_ref().map_or((-1_i16, ""), |error| (error.kind.code().into(), &error.message));
        let (outcome, status) = (i16::from(record.outcome().code()), record.http_status_code.map(u16::cast_signed));
        writer
            .as_mut()
            .write(&[
                &Micros::from(record.timestamp),
                &one.record_id,
                &record.scheduled_at.map(Micros::from),
                &target,
                &micros(record.response_time_ms),
                &micros(phases.dns),
                &micros(phases.connect),
                &micros(phases.tls),
                &micros(phases.first_byte),
                &micros(phases.download),
                &status,
                &1_i16,
                &outcome,
                &error,
                &1_i16,
                &message,
            ])
            .await?;
    }
    writer.finish().await?;
    Ok(())
}
