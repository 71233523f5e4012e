//! A store of many probes, filled through flush and sealed on the way.

use std::time::Instant;

use anyhow::{Context as _, Result};
use flush::{
    retention::drop_aged,
    seal::{self, Sealing},
    store::{Known, store},
};
use local_stack::postgres::Postgres;
use shared::{
    Micros,
    database::{Database, DatabaseConfig},
    env::Env,
    timestamp,
};
use tokio_postgres::{Client, NoTls};

use crate::{report::Report, seed, traffic::Traffic};

/// Targets, probed every 30 s.
const TARGETS: u64 = 100;
const BATCH: usize = 10_000;
/// Batches after which aged partitions are dropped, in a store that is not compared.
const DROP_EVERY: u64 = 100;

/// A store that is filled.
pub(crate) struct Store {
    pub(crate) client: Client,
    /// The name of its database.
    pub(crate) name: String,
    /// When its newest probe was made.
    pub(crate) now: Micros,
    pub(crate) millions: u64,
}

/// Fills a database with so many million probes that end now. One that is to be compared keeps all rows, and gets the
/// seed's table beside ours; its figures of writing and sizes go to the report.
pub(crate) async fn load(postgres: &Postgres, millions: u64, is_compared: bool, report: &mut Report) -> Result<Store> {
    let name = format!("store_{millions}");
    postgres.create_database(&name).await?;
    let client = connect(postgres, &name).await?;
    client.batch_execute(seed::TABLE).await?;
    let database: Database<Known> = Database::new(config(postgres, &name)?);
    let mut lease = database.lease().await;
    let session = lease.session().await?;
    let retention = retention()?;

    let probes = millions * 1_000_000;
    let now = Micros::from(timestamp::now());
    let mut traffic = Traffic::new(TARGETS as usize, Traffic::start(now, TARGETS, probes));
    let (mut storing, mut sealing) = (0.0, 0.0);
    for number in 0..probes / BATCH as u64 {
        let batch = traffic.batch(BATCH);
        let timed = Instant::now();
        store(session, &batch).await?;
        storing += timed.elapsed().as_secs_f64();
        let timed = Instant::now();
        // As it would have been then.
        while seal::step(&session.client, Micros(traffic.tick), Sealing::default()).await?.is_some() {}
        sealing += timed.elapsed().as_secs_f64();
        if is_compared {
            seed::fill(&client, &batch).await?;
        } else if number % DROP_EVERY == 0 {
            drop_aged(&client, retention, now).await?;
        }
        // Without autovacuum, the planner is told now and then what there is.
        if number % DROP_EVERY == 0 {
            client.batch_execute("analyze").await?;
        }
    }
    client.batch_execute("vacuum analyze").await?;
    if is_compared {
        let detail = format!("{:.2} + {:.2} µs a probe", sealing * 1e6 / probes as f64, storing * 1e6 / probes as f64);
        report.ratio("sealing beside storing, amortised", sealing, storing, &detail, "≤ 0.3");
        sizes(&client, probes, report).await?;
    }
    Ok(Store { client, name, now, millions })
}

/// Bytes a probe on disk, with all indexes.
async fn sizes(client: &Client, probes: u64, report: &mut Report) -> Result<()> {
    client
        .batch_execute(
            "create table chunks_without as select hour, target_id, probes, location_id, instants, samples from chunks;
             alter table chunks_without add primary key (target_id, hour, location_id);
             create table summaries_without as select starts_at, target_id, probes, span, location_id, summary from summaries;
             alter table summaries_without add primary key (target_id, span, starts_at, location_id) include (probes)",
        )
        .await?;
    let partitions = "select coalesce(sum(pg_total_relation_size(inhrelid)), 0)::bigint from pg_inherits \
                      where inhparent = 'probes'::regclass";
    let relation = |name: &str| format!("select pg_total_relation_size('{name}')");
    let size = async |sql: String| -> Result<f64> { Ok(client.query_one(&sql, &[]).await?.get::<_, i64>(0) as f64) };
    let probes = probes as f64;
    let raw = size(partitions.to_owned()).await? / probes;
    let summaries = size(relation("summaries")).await? / probes;
    let days = size(relation("summaries_without")).await? / probes;
    let without = size(relation("chunks_without")).await? / probes + days;
    let with = size(relation("chunks")).await? / probes + summaries;
    let seed = size(relation("seed")).await? / probes;
    let detail = format!("seed's table: {seed:.0}");
    report.row("bytes a probe, rows", format!("{raw:.1}"), &detail, "≤ 140");
    let detail = format!("of which days and months {days:.2}");
    report.row("bytes a probe, sealed, without phases", format!("{without:.1}"), &detail, "≤ 8");
    let detail = format!("of which days and months {summaries:.2}");
    report.row("bytes a probe, sealed, with phases", format!("{with:.1}"), &detail, "≤ 25");
    Ok(client.batch_execute("drop table chunks_without, summaries_without").await?)
}

fn retention() -> Result<flush::retention::Retention> {
    let mut env = Env::new(&|_| None);
    let retention = flush::retention::Retention::from_env(&mut env);
    Ok(env.finish(retention)?)
}

pub(crate) fn config(postgres: &Postgres, database: &str) -> Result<DatabaseConfig> {
    let connection_string = postgres.connection_string(database);
    let lookup = |name: &str| (name == "WM_DB_CONNECTION_STRING").then(|| connection_string.clone());
    let mut env = Env::new(&lookup);
    let config = DatabaseConfig::from_env(&mut env);
    Ok(env.finish(config)?)
}

pub(crate) async fn connect(postgres: &Postgres, database: &str) -> Result<Client> {
    let (client, connection) =
        tokio_postgres::connect(&postgres.connection_string(database), NoTls).await.context("cannot connect")?;
    tokio::spawn(connection);
    Ok(client)
}
