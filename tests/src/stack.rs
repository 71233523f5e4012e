//! The stack that `cargo local` runs: the services it has to start, the functions, and the file that tells other
//! clients where everything is.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};
use flush::FlushConfig;
use probe::{
    ProbeConfig,
    stream::{Connection, StreamConfig},
};
use shared::{
    database::DatabaseConfig,
    env::{Env, print_duration},
};

use crate::{
    functions::{self, Functions},
    invoke_address,
    kafka::{Kafka, Stream, create_topic},
    postgres::Postgres,
    progress::Progress,
    tools,
};

/// The topic where `WM_STREAM_TOPIC` names none.
const TOPIC: &str = "website-monitor";
/// The consumer group where `WM_STREAM_CONSUMER_GROUP_ID` names none.
const GROUP: &str = "website-monitor-flush";
/// Where the page is, if it can be: the same in each run.
const PAGE_PORT: u16 = 9_001;
/// The database on the server that we start.
const DATABASE: &str = "website_monitor";

/// What to run and where.
pub struct StackConfig {
    /// Where data and logs are.
    pub directory: PathBuf,
    /// Throw away the data of earlier runs.
    pub fresh: bool,
    /// What probe is to probe, unless there is a file.
    pub urls: Vec<String>,
    /// `WM_MONITORS_FILE`: a file of what probe is to probe.
    pub monitors: Option<PathBuf>,
    /// `WM_PROBE_TICK`: how often the schedule asks.
    pub interval: Duration,
    /// `WM_PROBE_SPREAD`, nothing unless it says otherwise.
    pub spread: Duration,
    /// `WM_ALLOW_PRIVATE_TARGETS`, true unless it says otherwise.
    pub allow_private_targets: bool,
    /// `WM_STREAM_BOOTSTRAP_SERVER`: use this Kafka and start none.
    pub bootstrap_server: Option<String>,
    /// `WM_DB_CONNECTION_STRING`: use this Postgres and start none.
    pub connection_string: Option<String>,
    /// The same, as the functions read it.
    pub database: Option<DatabaseConfig>,
    /// The same, as probe reads it with all that is said of TLS and of who we are.
    pub stream: StreamConfig,
    /// `WM_STREAM_TOPIC`.
    pub topic: String,
    /// `WM_STREAM_CONSUMER_GROUP_ID`.
    pub group: String,
}

/// Everything that runs; stopped when this is dropped, the functions first.
pub struct Stack {
    /// The functions.
    pub functions: Functions,
    /// How to connect to Kafka.
    pub stream: Stream,
    /// How to connect to Postgres.
    pub connection_string: String,
    /// Where the page is.
    pub page_url: String,
    postgres: Option<Postgres>,
    kafka: Option<Kafka>,
}

/// What probe is to probe, and how often.
#[derive(Debug, Clone)]
pub struct What {
    /// URLs, unless there is a file.
    pub urls: Vec<String>,
    /// A file of monitors.
    pub monitors: Option<PathBuf>,
    /// From tick to tick.
    pub interval: Duration,
}

impl What {
    /// What says it to probe. An empty variable counts as unset.
    fn variables(&self) -> Vec<(&'static str, String)> {
        let (urls, file) = match &self.monitors {
            Some(file) => (String::new(), file.display().to_string()),
            None => (self.urls.join(","), String::new()),
        };
        vec![("WM_URL", urls), ("WM_MONITORS_FILE", file), ("WM_PROBE_TICK", print_duration(self.interval))]
    }
}

impl StackConfig {
    /// Reads the variables that name services to use.
    ///
    /// # Errors
    /// Every mistake in them, each by name.
    pub fn from_env(
        lookup: &dyn Fn(&str) -> Option<String>,
        directory: PathBuf,
        fresh: bool,
        what: What,
    ) -> Result<Self> {
        let mut env = Env::new(lookup);
        let topic = env.optional("WM_STREAM_TOPIC").unwrap_or_else(|| TOPIC.to_owned());
        let bootstrap_server = env.optional("WM_STREAM_BOOTSTRAP_SERVER");
        let connection_string = env.optional("WM_DB_CONNECTION_STRING");
        // What the functions will find. They read it here once, so that a mistake is told before anything starts.
        let of_probe = what.variables();
        let planned = |name: &str| match name {
            name if of_probe.iter().any(|(known, _)| *known == name) => {
                of_probe.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
            }
            // Whoever watches is not to wait.
            "WM_PROBE_SPREAD" => Some(lookup(name).unwrap_or_else(|| "0s".to_owned())),
            // On one's own machine, its own services are what is probed.
            "WM_ALLOW_PRIVATE_TARGETS" => Some(lookup(name).unwrap_or_else(|| "true".to_owned())),
            "WM_STREAM_TOPIC" => Some(topic.clone()),
            "WM_STREAM_BOOTSTRAP_SERVER" => {
                Some(bootstrap_server.clone().unwrap_or_else(|| "127.0.0.1:9092".to_owned()))
            }
            "WM_DB_CONNECTION_STRING" => Some(connection_string.clone().unwrap_or_else(|| "host=127.0.0.1".to_owned())),
            name => lookup(name),
        };
        let (probe, flush) = (ProbeConfig::from_env(&planned), FlushConfig::from_env(&planned));
        if let (Err(probe), Err(flush)) = (&probe, &flush) {
            bail!("{probe}\n{flush}");
        }
        let (ProbeConfig { allow_private_targets, source, defaults, spread, stream, .. }, FlushConfig { database, .. }) =
            (probe?, flush?);
        let What { mut urls, monitors, interval } = what;
        if monitors.is_some() {
            let read =
                source.read(&defaults, |_| Err("leads nowhere on this machine: there is no extension".to_owned()));
            let read = read.map_err(|mistakes| anyhow!("{}", mistakes.join("\n")))?;
            urls = read.enabled.into_iter().map(|monitor| monitor.url).collect();
        }
        let config = Self {
            directory,
            fresh,
            urls,
            monitors,
            interval,
            spread,
            allow_private_targets,
            stream,
            group: env.optional("WM_STREAM_CONSUMER_GROUP_ID").unwrap_or_else(|| GROUP.to_owned()),
            database: connection_string.is_some().then_some(database),
            topic: topic.clone(),
            bootstrap_server: bootstrap_server.clone(),
            connection_string: connection_string.clone(),
        };
        if config.stream.security.tls && config.bootstrap_server.is_none() {
            env.mistake(
                "WM_STREAM_SSL is set, but not WM_STREAM_BOOTSTRAP_SERVER: our own Kafka has no TLS".to_owned(),
            );
        }
        if fresh && (config.bootstrap_server.is_some() || config.connection_string.is_some()) {
            let services = "WM_STREAM_BOOTSTRAP_SERVER and WM_DB_CONNECTION_STRING";
            env.mistake(format!("--fresh empties only what it starts itself: unset {services}, or leave --fresh out"));
        }
        Ok(env.finish(config)?)
    }
}

impl Stack {
    /// The way to the Kafka that we do not start, unless we start one.
    ///
    /// # Errors
    /// A secret cannot be read that it needs.
    pub async fn given_stream(config: &StackConfig) -> Result<Option<Stream>> {
        if config.bootstrap_server.is_none() {
            return Ok(None);
        }
        Ok(Some(Stream::new(Connection::open(&config.stream).await?)))
    }

    /// Starts what is needed, everything at once, with the Kafka that is `given`, and writes the file `env` into the directory.
    ///
    /// # Errors
    /// A program is missing, or a part does not start; with its log.
    pub fn start(config: &StackConfig, given: Option<Stream>, progress: &Progress) -> Result<Self> {
        let (own_postgres, own_kafka) = (config.connection_string.is_none(), config.bootstrap_server.is_none());
        tools::check(own_postgres, own_kafka)?;
        fs::create_dir_all(&config.directory).with_context(|| format!("cannot make {}", config.directory.display()))?;
        let (postgres, kafka) = thread::scope(|scope| {
            let postgres = scope.spawn(|| {
                let start = || Postgres::start(&config.directory.join("postgres"), config.fresh, &[]);
                own_postgres.then(|| progress.step("Postgres", start)).transpose()
            });
            let kafka = scope.spawn(|| {
                let start = || Kafka::start(&config.directory.join("kafka"), config.fresh);
                own_kafka.then(|| progress.step("Kafka", start)).transpose()
            });
            let built = progress.step("functions", functions::build);
            let panicked = |_| anyhow!("a part of the stack panicked while it started");
            let services = (postgres.join().map_err(panicked)??, kafka.join().map_err(panicked)??);
            built.map(|()| services)
        })?;
        let stream = kafka.as_ref().map(Kafka::stream).or(given).context("no Kafka")?;
        let connection_string = match (&postgres, &config.connection_string) {
            (Some(postgres), _) => postgres.connection_string(DATABASE),
            (None, Some(connection_string)) => connection_string.clone(),
            (None, None) => bail!("no Postgres"),
        };
        let what = What { urls: config.urls.clone(), monitors: config.monitors.clone(), interval: config.interval };
        let mut environment = what.variables();
        environment.extend([
            ("WM_PROBE_SPREAD", print_duration(config.spread)),
            ("WM_ALLOW_PRIVATE_TARGETS", config.allow_private_targets.to_string()),
            // Nobody but this machine can ask.
            ("WM_STATS_PUBLIC", "true".to_owned()),
            ("WM_STREAM_BOOTSTRAP_SERVER", stream.bootstrap_server.clone()),
            ("WM_STREAM_TOPIC", config.topic.clone()),
            ("WM_DB_CONNECTION_STRING", connection_string.clone()),
        ]);
        let functions = progress.step("cargo lambda watch", || {
            let log = config.directory.join("functions.log");
            // Somebody else may take the port while we start.
            Functions::start(invoke_address(9_000)?, &environment, &log)
                .or_else(|_| Functions::start(invoke_address(0)?, &environment, &log))
        })?;
        let page_url = functions.client().page_url(PAGE_PORT)?;
        let stack = Self { functions, stream, connection_string, page_url, postgres, kafka };
        stack.write_env(config)?;
        Ok(stack)
    }

    /// Makes the database and the topic, where they are not there.
    ///
    /// # Errors
    /// Postgres or Kafka refuses.
    pub async fn prepare(&self, config: &StackConfig, partitions: i32) -> Result<()> {
        if let Some(postgres) = &self.postgres {
            postgres.create_database(DATABASE).await?;
        }
        if let Some(database) = &config.database {
            database.connect().await.context("WM_DB_CONNECTION_STRING leads to no database")?;
        }
        let made = create_topic(&self.stream, &config.topic, partitions).await;
        let variable = || format!("WM_STREAM_BOOTSTRAP_SERVER is {}", self.stream.bootstrap_server);
        if config.bootstrap_server.is_some() { made.with_context(variable) } else { Ok(made?) }
    }

    /// Whether all of it still runs.
    ///
    /// # Errors
    /// The part that ended; with the end of its log.
    pub fn check(&self) -> Result<()> {
        self.functions.check()?;
        self.kafka.as_ref().map_or(Ok(()), Kafka::check)?;
        self.postgres.as_ref().map_or(Ok(()), Postgres::check)
    }

    /// Writes where everything is, for psql, kcat and other clients. Readable by the user alone: a connection string
    /// may hold a password.
    fn write_env(&self, config: &StackConfig) -> Result<()> {
        let functions = self.functions.client();
        let variables = [
            ("WM_STREAM_BOOTSTRAP_SERVER", self.stream.bootstrap_server.clone()),
            ("WM_STREAM_TOPIC", config.topic.clone()),
            ("WM_STREAM_CONSUMER_GROUP_ID", config.group.clone()),
            ("WM_DB_CONNECTION_STRING", self.connection_string.clone()),
            ("WM_STATS_URL", functions.stats_url()),
            ("WM_PAGE_URL", self.page_url.clone()),
            ("WM_INVOKE_ADDRESS", functions.address().ip().to_string()),
            ("WM_INVOKE_PORT", functions.address().port().to_string()),
        ];
        let file = env_file(&config.directory);
        let mut file = fs::File::options().create(true).truncate(true).write(true).mode(0o600).open(file)?;
        for (name, value) in variables {
            writeln!(file, "{name}='{}'", value.replace('\'', "'\\''"))?;
        }
        Ok(())
    }
}

/// The file that says where everything is.
#[must_use]
pub fn env_file(directory: &Path) -> PathBuf {
    directory.join("env")
}
