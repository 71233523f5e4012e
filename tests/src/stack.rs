//! The stack that `cargo local` runs: the services it has to start, the functions, and the file that tells other
//! clients where everything is.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::mpsc,
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
use stats::StatsConfig;
use tokio::{net::TcpStream, time::timeout};

use crate::{
    functions::{self, Functions},
    invoke_address,
    kafka::{Kafka, Stream, create_topic},
    lock::DirectoryLock,
    postgres::Postgres,
    progress::{Detail, Progress},
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

/// The variables that name files of certificates and keys.
const FILES: [&str; 5] = [
    "WM_PROBE_CA_FILE",
    "WM_STREAM_SSL_CA_FILE",
    "WM_STREAM_SSL_CERT_FILE",
    "WM_STREAM_SSL_KEY_FILE",
    "WM_DB_SSL_CA_FILE",
];

/// How long a server may take to accept a connection before Kafka's client tries.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

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
    /// The variables that name files of certificates and keys, with absolute paths.
    pub files: Vec<(&'static str, String)>,
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
    _lock: DirectoryLock,
}

/// A part that was started.
enum Part {
    Postgres(Postgres),
    Kafka(Kafka),
    Functions,
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
        let env = Env::new(lookup);
        let topic = env.optional("WM_STREAM_TOPIC").unwrap_or_else(|| TOPIC.to_owned());
        let group = env.optional("WM_STREAM_CONSUMER_GROUP_ID");
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
            // Nobody but this machine can ask.
            "WM_STATS_PUBLIC" => Some("true".to_owned()),
            "WM_STREAM_TOPIC" => Some(topic.clone()),
            "WM_STREAM_BOOTSTRAP_SERVER" => {
                Some(bootstrap_server.clone().unwrap_or_else(|| "127.0.0.1:9092".to_owned()))
            }
            "WM_DB_CONNECTION_STRING" => Some(connection_string.clone().unwrap_or_else(|| "host=127.0.0.1".to_owned())),
            name => lookup(name),
        };
        // All of them in one reading, so that every mistake is in one report.
        let mut env = Env::new(&planned);
        let ProbeConfig { allow_private_targets, source, defaults, spread, stream, .. } = ProbeConfig::read(&mut env);
        let FlushConfig { database, .. } = FlushConfig::read(&mut env);
        drop(StatsConfig::read(&mut env));
        if stream.security.tls && bootstrap_server.is_none() {
            env.mistake(
                "WM_STREAM_SSL is set, but not WM_STREAM_BOOTSTRAP_SERVER: our own Kafka has no TLS".to_owned(),
            );
        }
        if fresh && (bootstrap_server.is_some() || connection_string.is_some()) {
            let services = "WM_STREAM_BOOTSTRAP_SERVER and WM_DB_CONNECTION_STRING";
            env.mistake(format!("--fresh empties only what it starts itself: unset {services}, or leave --fresh out"));
        }
        let files = absolute(&env)?;
        env.finish(())?;
        let What { mut urls, monitors, interval } = what;
        if monitors.is_some() {
            let read =
                source.read(&defaults, |_| Err("leads nowhere on this machine: there is no extension".to_owned()));
            let read = read.map_err(|mistakes| anyhow!("{}", mistakes.join("\n")))?;
            urls = read.enabled.into_iter().map(|monitor| monitor.url).collect();
        }
        Ok(Self {
            directory,
            fresh,
            urls,
            monitors,
            interval,
            spread,
            allow_private_targets,
            stream,
            files,
            group: group.unwrap_or_else(|| GROUP.to_owned()),
            database: connection_string.is_some().then_some(database),
            topic,
            bootstrap_server,
            connection_string,
        })
    }
}

/// The variables that name files, with paths that mean the same from the directory of the functions.
fn absolute(env: &Env<'_>) -> Result<Vec<(&'static str, String)>> {
    let given = FILES.iter().filter_map(|name| Some((*name, env.optional(name)?)));
    given.map(|(name, path)| Ok((name, std::path::absolute(path)?.display().to_string()))).collect()
}

/// Fails where every server refuses a connection at once. Kafka's client takes seconds to report that.
async fn connect_to_any(servers: &str) -> io::Result<()> {
    let mut refused = Ok(());
    for server in servers.split(',').map(str::trim) {
        let has_port = server.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let address = if has_port { server.to_owned() } else { format!("{server}:9092") };
        match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            // A server that is silent may only be slow: that is for Kafka's client to find out.
            Ok(Ok(_)) | Err(_) => return Ok(()),
            Ok(Err(error)) => refused = Err(error),
        }
    }
    refused
}

impl Stack {
    /// Connects to the Kafka and the Postgres that are not started here, and makes the topic in the former. Returns the way to
    /// Kafka, if there is one.
    ///
    /// # Errors
    /// One of them does not answer, or refuses; names the variable.
    pub async fn reach_given(config: &StackConfig, partitions: i32) -> Result<Option<Stream>> {
        let database = async {
            let Some(database) = &config.database else { return Ok(()) };
            let connected = database.connect().await.map(drop);
            connected.map_err(|error| anyhow!("WM_DB_CONNECTION_STRING cannot be used: {error}"))
        };
        let kafka = async {
            let Some(server) = &config.bootstrap_server else { return Ok(None) };
            let used = || format!("WM_STREAM_BOOTSTRAP_SERVER is {server}, which cannot be used");
            connect_to_any(server).await.with_context(used)?;
            let stream = Stream::new(Connection::open(&config.stream).await.with_context(used)?);
            let made = create_topic(&stream, &config.topic, partitions).await;
            made.map_err(|error| {
                anyhow!("{error}; check that brokers answer there, and that WM_STREAM_SSL is what that port speaks")
            })
            .with_context(used)?;
            Ok(Some(stream))
        };
        match tokio::join!(database, kafka) {
            (Ok(()), result) => result,
            (Err(database), Ok(_)) => Err(database),
            (Err(database), Err(kafka)) => Err(anyhow!("{database:#}\n{kafka:#}")),
        }
    }

    /// Starts what is needed, everything at once, with the Kafka that is `given`, and writes the file `env` into the directory.
    ///
    /// # Errors
    /// A program is missing, or a part does not start; with its log.
    pub fn start(config: &StackConfig, given: Option<Stream>, progress: &Progress) -> Result<Self> {
        let (own_postgres, own_kafka) = (config.connection_string.is_none(), config.bootstrap_server.is_none());
        tools::check(own_postgres, own_kafka)?;
        let lock = DirectoryLock::take(&config.directory)?;
        let (postgres, kafka) = start_parts(config, own_postgres, own_kafka, progress)?;
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
        environment.extend(config.files.iter().cloned());
        let functions = progress.step("cargo lambda watch", |_| {
            let log = config.directory.join("functions.log");
            // Somebody else may take the port while we start.
            Functions::start(invoke_address(9_000)?, &environment, &log)
                .or_else(|_| Functions::start(invoke_address(0)?, &environment, &log))
        })?;
        let page_url = functions.client().page_url(PAGE_PORT)?;
        let stack = Self { functions, stream, connection_string, page_url, postgres, kafka, _lock: lock };
        stack.write_env(config)?;
        Ok(stack)
    }

    /// Makes the database and the topic in what was started here, where they are not there.
    ///
    /// # Errors
    /// Postgres or Kafka refuses.
    pub async fn prepare(&self, config: &StackConfig, partitions: i32) -> Result<()> {
        if let Some(postgres) = &self.postgres {
            postgres.create_database(DATABASE).await?;
        }
        if self.kafka.is_some() {
            create_topic(&self.stream, &config.topic, partitions).await?;
        }
        Ok(())
    }

    /// The address of stats for clients. It is that of the page, since the emulator ends a function whose client goes away.
    #[must_use]
    pub fn stats_url(&self) -> String {
        format!("{}stats", self.page_url)
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
            ("WM_STATS_URL", self.stats_url()),
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

/// Starts Postgres and Kafka, where they are wanted, and builds the functions, all at once. The first that fails ends the
/// wait: this process ends soon, and what it started with it.
fn start_parts(
    config: &StackConfig,
    own_postgres: bool,
    own_kafka: bool,
    progress: &Progress,
) -> Result<(Option<Postgres>, Option<Kafka>)> {
    let (starting, parts) = mpsc::channel();
    let (directory, fresh) = (&config.directory, config.fresh);
    if own_postgres {
        let directory = directory.join("postgres");
        start_part("Postgres", progress, &starting, move |_| {
            Postgres::start(&directory, fresh, &[]).map(Part::Postgres)
        });
    }
    if own_kafka {
        let directory = directory.join("kafka");
        start_part("Kafka", progress, &starting, move |_| Kafka::start(&directory, fresh).map(Part::Kafka));
    }
    start_part("functions", progress, &starting, |detail| {
        functions::build_watched(|line| detail.set(line)).map(|()| Part::Functions)
    });
    // What is left are those of the threads: when the last one ends, so does the wait.
    drop(starting);
    let (mut postgres, mut kafka) = (None, None);
    for part in parts {
        match part {
            Ok(Part::Postgres(started)) => postgres = Some(started),
            Ok(Part::Kafka(started)) => kafka = Some(started),
            Ok(Part::Functions) => {}
            Err(error) => {
                stop_behind((postgres, kafka));
                return Err(error);
            }
        }
    }
    Ok((postgres, kafka))
}

/// Starts a part on a thread of its own, which sends the part when it is ready, or why it is not.
fn start_part(
    name: &'static str,
    progress: &Progress,
    starting: &mpsc::Sender<Result<Part>>,
    start: impl FnOnce(&Detail) -> Result<Part> + Send + 'static,
) {
    let (starting, progress) = (starting.clone(), progress.clone());
    // Where nobody waits any more, another part has failed.
    thread::spawn(move || starting.send(progress.step(name, start)).unwrap_or_default());
}

/// Stops what runs while the error is shown that ends this process. What is not stopped by then ends because this process does.
pub fn stop_behind(parts: impl Send + 'static) {
    thread::spawn(move || drop(parts));
}

/// The file that says where everything is.
#[must_use]
pub fn env_file(directory: &Path) -> PathBuf {
    directory.join("env")
}
