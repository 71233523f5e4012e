//! What the tests share: the services, and a place of its own in them for each test.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    thread,
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use flush::{
    Flush, FlushConfig,
    retention::Retention,
    seal::{Sealed, Sealing, step},
};
use local_stack::{
    functions::{self, Functions},
    instance::{Instance, program},
    kafka::{Kafka, Stream, create_topic},
    postgres::Postgres,
    workspace,
};
use probe::{Probe, ProbeConfig};
use serde_json::{Value, json};
use shared::{Micros, Span, database::DatabaseError, env::Env, timestamp};
use stats::{Stats, StatsConfig};
use tokio_postgres::{Client, NoTls};

/// Postgres and Kafka, started by the first test that needs them.
struct Services {
    postgres: Postgres,
    kafka: Kafka,
}

fn services() -> &'static Services {
    static SERVICES: OnceLock<Services> = OnceLock::new();
    SERVICES.get_or_init(|| {
        let directory = directory("services");
        thread::scope(|scope| {
            let postgres = scope.spawn(|| Postgres::start(&directory.join("postgres"), true, &["fsync=off"]).unwrap());
            let kafka = Kafka::start(&directory.join("kafka"), true).unwrap();
            Services { postgres: postgres.join().unwrap(), kafka }
        })
    })
}

/// A directory below `target/`, for data and logs.
pub(crate) fn directory(name: &str) -> PathBuf {
    workspace().join("target/tests").join(name)
}

/// A topic and a database for one test.
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) stream: Stream,
    pub(crate) connection_string: String,
}

impl Place {
    /// Makes both, empty; the name must be a plain identifier that no other test takes.
    pub(crate) async fn new(name: &str) -> Self {
        let services = tokio::task::spawn_blocking(services).await.unwrap();
        services.postgres.create_database(name).await.unwrap();
        create_topic(&services.kafka.stream(), name, 2).await.unwrap();
        Self {
            name: name.to_owned(),
            stream: services.kafka.stream(),
            connection_string: format!("{}?connect_timeout=60", services.postgres.connection_string(name)),
        }
    }

    /// Where Postgres listens.
    pub(crate) fn postgres_port(&self) -> u16 {
        self.connection_string.split([':', '/']).find_map(|part| part.parse().ok()).unwrap()
    }

    /// The variables of the functions.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("WM_STREAM_BOOTSTRAP_SERVER", self.stream.bootstrap_server.clone()),
            ("WM_STREAM_TOPIC", self.name.clone()),
            ("WM_DB_CONNECTION_STRING", self.connection_string.clone()),
            // What the tests store is of any age, and is to stay where they look for it.
            ("WM_RAW_RETENTION", "36500d".to_owned()),
            ("WM_URL", "http://unused.test".to_owned()),
            ("WM_PROBE_SPREAD", "0s".to_owned()),
            ("WM_STATS_PUBLIC", "true".to_owned()),
            ("WM_ALLOW_PRIVATE_TARGETS", "true".to_owned()),
            ("WM_PROBE_TIMEOUT_MS", "60000".to_owned()),
            ("WM_PROBE_CONNECT_TIMEOUT_MS", "60000".to_owned()),
        ]
    }

    pub(crate) fn probe(&self, more: &[(&'static str, &str)]) -> Probe {
        let mut variables = self.variables();
        variables.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        Probe::new(ProbeConfig::from_env(&lookup(variables)).unwrap()).unwrap()
    }

    pub(crate) fn flush(&self) -> Flush {
        Flush::new(FlushConfig::from_env(&lookup(self.variables())).unwrap())
    }

    pub(crate) fn stats(&self) -> Stats {
        self.stats_with(&[])
    }

    /// stats, with these variables more.
    pub(crate) fn stats_with(&self, more: &[(&'static str, &str)]) -> Stats {
        let mut variables = self.variables();
        variables.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        Stats::new(StatsConfig::from_env(&lookup(variables)).unwrap())
    }

    /// A connection to the database, beside those of the functions.
    pub(crate) async fn client(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.connection_string, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// The first column of the first row.
    pub(crate) async fn count(&self, query: &str) -> i64 {
        self.client().await.query_one(query, &[]).await.unwrap().get(0)
    }

    /// A function's program in an execution environment of its own.
    pub(crate) async fn instance(&self, function: &str, variables: &[(&'static str, String)]) -> Instance {
        tokio::task::spawn_blocking(functions::build).await.unwrap().unwrap();
        let log = directory(&self.name).join(format!("{function}.log"));
        fs::create_dir_all(directory(&self.name)).unwrap();
        Instance::start(&program(function).unwrap(), variables, Some(&log)).await.unwrap()
    }

    /// The real functions under the local emulator, with these variables more.
    pub(crate) async fn functions(&self, more: &[(&'static str, String)]) -> Functions {
        let mut variables = self.variables();
        variables.extend(more.iter().cloned());
        let address = loopback();
        let log = directory(&self.name).join(format!("functions-{}.log", address.port()));
        let start = move || {
            functions::build().unwrap();
            Functions::start(address, &variables, &log).unwrap()
        };
        tokio::task::spawn_blocking(start).await.unwrap()
    }
}

/// A lookup over pairs; the last of a name counts.
pub(crate) fn lookup(variables: Vec<(&'static str, String)>) -> impl Fn(&str) -> Option<String> {
    move |name| variables.iter().rev().find(|(key, _)| *key == name).map(|(_, value)| value.clone())
}

/// A free port of 127.0.0.1; nobody listens there.
pub(crate) fn loopback() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), free_port())
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// A file of `events/`.
pub(crate) fn event(file: &str) -> Value {
    let path = workspace().join("events").join(file);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Waits until `condition` holds. Machines that run tests may be very slow; only what never comes is to fail.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let mut poll = tokio::time::interval(Duration::from_millis(100));
    let waiting = async {
        while !condition().await {
            poll.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(300), waiting).await.unwrap_or_else(|_| panic!("in vain: {what}"));
}

/// The retention of rows alone.
pub(crate) fn retention(raw: &'static str) -> Retention {
    let variables = lookup(vec![("WM_RAW_RETENTION", raw.to_owned())]);
    let mut env = Env::new(&variables);
    let retention = Retention::from_env(&mut env);
    env.finish(retention).unwrap()
}

/// Seals what has ended however shortly before, in small parts.
pub(crate) const AT_ONCE: Sealing = Sealing { grace: Duration::ZERO, samples: 10, summaries: 3 };

/// Seals a piece of what has ended by now.
pub(crate) async fn seal_step(client: &Client) -> Result<Option<Sealed>, DatabaseError> {
    step(client, timestamp::now().into(), AT_ONCE).await
}

/// A batch of records at consecutive offsets; a string is the value itself.
pub(crate) fn batch(first_offset: i64, values: &[Value]) -> Value {
    let records: Vec<_> = values
        .iter()
        .zip(first_offset..)
        .map(|(value, offset)| {
            let bytes = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            json!({"topic": "t", "partition": 0, "offset": offset, "value": BASE64_STANDARD.encode(bytes)})
        })
        .collect();
    json!({"eventSource": "SelfManagedKafka", "records": {"t-0": records}})
}

/// The record of a response that took 12.5 ms.
pub(crate) fn record_at(url: &str, instant: Micros) -> Value {
    json!({
        "url": url, "timestamp": timestamp::format(instant.timestamp()), "http_status_code": 200,
        "response_time_ms": 12.5
    })
}

/// So many hours before now, at the start of an hour.
pub(crate) fn hours_ago(hours: i64) -> Micros {
    let now = Span::Hour.start(timestamp::now().into());
    Micros(now.0 - hours * 3_600_000_000)
}

/// A command of the project, which `cargo test` builds too, without the variables of the shell that runs the tests.
pub(crate) fn example(name: &str) -> Command {
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().and_then(Path::parent).unwrap().join("examples").join(name);
    assert!(program.is_file(), "{} is not there: cargo build --examples", program.display());
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WM_")) {
        command.env_remove(name);
    }
    command
}
