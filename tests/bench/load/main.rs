//! `cargo bench --bench load`: the whole pipeline under load, from the producer to what stats sees, with the functions as they
//! are released, in execution environments like Lambda's, and real Kafka and Postgres.
//!
//! Prints one table. With `--soak MINUTES`, what the functions hold after hours, beside what they held at the beginning.

mod fresh;
mod held;
#[path = "../report.rs"]
mod report;
mod soak;
mod sustained;

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use local_stack::{
    event_source::{self, Delivery, EventSourceConfig, Invoke},
    functions,
    instance::{Instance, program},
    kafka::{Kafka, create_topic},
    postgres::Postgres,
    workspace,
};
use serde_json::Value;
use tokio::{sync::Mutex, task::JoinHandle};
use tokio_postgres::{Client, NoTls};

use crate::{held::Held, report::Report, sustained::Cut};

/// Puts the whole pipeline under load.
#[derive(Parser)]
#[command(name = "cargo bench --bench load --", bin_name = "cargo bench --bench load --")]
struct Arguments {
    /// Records in a round of the load that does not end, in thousands; there are rounds until two are alike.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(200..))]
    thousands: u64,
    /// Instead of all else, so many minutes of ticks, batches and questions.
    #[arg(long, value_name = "MINUTES")]
    soak: Option<u64>,
    /// What cargo itself adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// How long an invocation may take.
const LIMIT: Duration = Duration::from_secs(300);
const PARTITIONS: i32 = 8;

const CUTS: [Cut; 2] = [
    Cut { what: "of six megabytes, the most that Lambda delivers", name: "cut_by_bytes", bytes: 6_000_000 },
    Cut { what: "of 10,000 records", name: "cut_by_records", bytes: 60_000_000 },
];

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    eprintln!("building the functions as they are released");
    functions::build_released()?;
    let mut report = Report::default();
    let scene = Scene::start().await?;
    match arguments.soak {
        Some(minutes) => soak::run(&scene, minutes, &mut report).await?,
        None => {
            for cut in &CUTS {
                sustained::run(&scene, cut, arguments.thousands * 1_000, &mut report).await?;
            }
            for targets in [1, 1_000] {
                fresh::run(&scene, targets, &mut report).await?;
            }
        }
    }
    println!("{report}");
    Ok(())
}

/// Kafka and Postgres, which end with this.
struct Scene {
    directory: PathBuf,
    kafka: Kafka,
    postgres: Postgres,
}

impl Scene {
    async fn start() -> Result<Self> {
        let directory = workspace().join("target/bench/load");
        let (of_kafka, of_postgres) = (directory.join("kafka"), directory.join("postgres"));
        let settings = ["shared_buffers=1GB", "max_wal_size=8GB"];
        let kafka = tokio::task::spawn_blocking(move || Kafka::start(&of_kafka, true)).await??;
        let postgres = tokio::task::spawn_blocking(move || Postgres::start(&of_postgres, true, &settings)).await??;
        Ok(Self { directory, kafka, postgres })
    }

    /// A topic and a database of this name; the variables that lead there.
    async fn place(&self, name: &str) -> Result<Vec<(&'static str, String)>> {
        create_topic(&self.kafka.stream(), name, PARTITIONS).await?;
        self.postgres.create_database(name).await?;
        Ok(vec![
            ("WM_STREAM_BOOTSTRAP_SERVER", self.kafka.stream().bootstrap_server),
            ("WM_STREAM_TOPIC", name.to_owned()),
            ("WM_DB_CONNECTION_STRING", self.postgres.connection_string(name)),
            ("WM_URL", "http://127.0.0.1:1/".to_owned()),
            ("WM_ALLOW_PRIVATE_TARGETS", "true".to_owned()),
            ("WM_STATS_PUBLIC", "true".to_owned()),
            ("WM_STATS_QUERY_TIMEOUT", "60s".to_owned()),
        ])
    }

    async fn client(&self, name: &str) -> Result<Client> {
        let (client, connection) = tokio_postgres::connect(&self.postgres.connection_string(name), NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    async fn function(&self, name: &str, variables: &[(&'static str, String)]) -> Result<Function> {
        let log = self.directory.join(format!("{name}.log"));
        let instance = Instance::start(&program(name)?, variables, Some(&log)).await?;
        let pid = instance.pid().as_raw().cast_unsigned();
        Ok(Function { instance: Arc::new(Mutex::new(instance)), pid })
    }

    fn source(&self, name: &str) -> EventSourceConfig {
        EventSourceConfig::new(self.kafka.stream(), name, "flush")
    }
}

/// A function that several may invoke, one after the other.
#[derive(Clone)]
struct Function {
    instance: Arc<Mutex<Instance>>,
    pid: u32,
}

impl Function {
    fn held(&self) -> Result<Held> {
        held::held(self.pid)
    }

    /// The most memory that it held since this was asked for last, in megabytes.
    fn peak(&self) -> Result<f64> {
        let peak = self.held()?.peak;
        held::forget_peak(self.pid)?;
        Ok(peak)
    }
}

impl Invoke for Function {
    async fn invoke(&self, event: &Value) -> Result<Value> {
        Ok(self.instance.lock().await.invoke(event, LIMIT).await?.0)
    }
}

/// Runs the trigger until the task is aborted; `observe` has flush's answers.
fn deliver(
    source: EventSourceConfig,
    flush: Function,
    observe: impl Fn(&Value) + Send + Sync + 'static,
) -> JoinHandle<Result<()>> {
    tokio::spawn(async move {
        let observe = |delivery: Delivery<'_>| match delivery {
            Delivery::Done(answer) => observe(answer),
            Delivery::Failed(error) => eprintln!("{error:#}"),
            Delivery::Trouble(error) => eprintln!("{error}"),
        };
        event_source::run(&source, &flush, observe).await
    })
}

/// Asks stats, and returns the body of its answer.
async fn ask(stats: &Function, query: &str) -> Result<Value> {
    let mut event: Value = serde_json::from_str(include_str!("../../../events/stats-request.json"))?;
    event["rawQueryString"] = query.into();
    event["queryStringParameters"] = Value::Null;
    let answer = stats.invoke(&event).await?;
    let body = answer["body"].as_str().context("an answer without a body")?;
    ensure!(answer["statusCode"] == 200, "stats says {body}");
    Ok(serde_json::from_str(body)?)
}

/// How many probes an answer knows of.
fn known(answer: &Value) -> u64 {
    let entries = answer["stats"].as_array().map(Vec::as_slice).unwrap_or_default();
    entries.iter().filter_map(|entry| entry["probes"].as_u64()).sum()
}
