//! Apache Kafka: one broker in KRaft mode, or a cluster, its jars from Maven Central, run with plain java.

mod cluster;
pub mod secured;
mod stream;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer as _},
};

pub use self::cluster::Cluster;
use self::secured::Listeners;
pub use self::stream::{Context, Stream, create_topic};
use crate::{
    authority::Authority,
    free_ports,
    service::{self, Log, Service, StopSignal},
    tools,
};

/// How long a start may take on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(180);
/// The id of the one-node cluster; written into its data, so it may not change.
const CLUSTER_ID: &str = "d2Vic2l0ZS1tb25pdG9yLQ";
/// The file of a broker's settings.
const SETTINGS: &str = "server.properties";
/// Small and quick to start; a broker for one machine needs no more.
const JVM_OPTIONS: [&str; 5] = [
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
];

/// A running broker on a port of 127.0.0.1.
pub struct Kafka {
    bootstrap_server: String,
    listeners: Option<Listeners>,
    directory: PathBuf,
    service: Service,
}

impl Kafka {
    /// Starts a broker whose data are in `directory`, and its log beside it. `fresh` throws away what is there.
    ///
    /// # Errors
    /// Java or the jars are missing, another run uses the data, or the broker does not start; with its log.
    pub fn start(directory: &Path, fresh: bool) -> Result<Self> {
        Self::start_with(directory, fresh, None)
    }

    /// The same with [`Listeners`] beside the plain one, whose certificates are of `authority`, and where only some may do
    /// everything. Always fresh.
    ///
    /// # Errors
    /// The same.
    pub fn start_secured(directory: &Path, authority: &Authority) -> Result<Self> {
        Self::start_with(directory, true, Some(authority))
    }

    /// The ports with TLS, of a broker that has them.
    #[must_use]
    pub fn listeners(&self) -> Option<Listeners> {
        self.listeners
    }

    fn start_with(directory: &Path, fresh: bool, authority: Option<&Authority>) -> Result<Self> {
        let log = Log::lock("Kafka", &directory.with_extension("log"))?;
        if fresh && directory.exists() {
            fs::remove_dir_all(directory).with_context(|| format!("cannot remove {}", directory.display()))?;
        }
        fs::create_dir_all(directory)?;
        let [port, controller_port, secured @ ..] = free_ports::<8>()?;
        let settings = directory.join(SETTINGS);
        let listeners = authority.map(|_| Listeners::new(secured));
        let secured = authority.map(|authority| Listeners::properties(directory, authority)).transpose()?;
        let node = Node { id: 1, port, controller_port, voters: &format!("1@127.0.0.1:{controller_port}"), copies: 1 };
        let properties = node.properties(directory, listeners) + &secured.unwrap_or_default();
        fs::write(&settings, properties)?;
        if !directory.join("data/meta.properties").is_file() {
            let mut format = program("kafka.tools.StorageTool", directory)?;
            format.args(["format", "--cluster-id", CLUSTER_ID, "--config"]).arg(&settings);
            if listeners.is_some() {
                format.args(Listeners::format_arguments());
            }
            service::run(&format, None).context("Kafka's data directory cannot be made")?;
        }
        let service = start(directory, log)?;
        let kafka =
            Self { bootstrap_server: format!("127.0.0.1:{port}"), listeners, directory: directory.to_owned(), service };
        kafka.wait()?;
        Ok(kafka)
    }

    /// Waits until it answers.
    fn wait(&self) -> Result<()> {
        answers(&self.service, &self.bootstrap_server, 1)
    }

    /// Ends it without a goodbye, and starts it again with the data there are, on the same ports.
    ///
    /// # Errors
    /// It does not start; with its log.
    pub fn crash(&mut self) -> Result<()> {
        self.service.signal(Signal::SIGKILL)?;
        let log = Log::lock("Kafka", &self.directory.with_extension("log"))?;
        self.service = start(&self.directory, log)?;
        self.wait()
    }

    /// Stops it for a while: `SIGSTOP`, and on with `SIGCONT`.
    ///
    /// # Errors
    /// It is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.service.signal(signal)
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// It ended; with the end of its log.
    pub fn check(&self) -> Result<()> {
        self.service.check()
    }

    /// How clients connect.
    #[must_use]
    pub fn stream(&self) -> Stream {
        Stream::plain(&self.bootstrap_server)
    }
}

/// A program of Kafka.
fn program(class: &str, directory: &Path) -> Result<Command> {
    let class_path = format!("{}/*", tools::kafka_jars()?.display());
    let mut command = Command::new(tools::java()?);
    command.args(JVM_OPTIONS).args(["-cp", &class_path, class]).current_dir(directory);
    Ok(command)
}

/// Starts the broker whose settings are in `directory`.
fn start(directory: &Path, log: Log) -> Result<Service> {
    let mut broker = program("kafka.Kafka", directory)?;
    broker.arg(directory.join(SETTINGS));
    Service::start("Kafka", &broker, StopSignal::Term, None, log)
}

/// Waits for an answer that names so many brokers: an open port is none.
fn answers(service: &Service, bootstrap_server: &str, brokers: usize) -> Result<()> {
    let client: BaseConsumer = ClientConfig::new().set("bootstrap.servers", bootstrap_server).create()?;
    service.wait_until(START_TIMEOUT, || {
        let metadata = client.fetch_metadata(None, Duration::from_secs(1));
        metadata.is_ok_and(|metadata| metadata.brokers().len() == brokers)
    })
}

/// A broker that is a controller as well.
struct Node<'text> {
    id: i32,
    port: u16,
    controller_port: u16,
    /// `id@host:port` of each controller.
    voters: &'text str,
    /// Copies of a topic.
    copies: usize,
}

impl Node<'_> {
    /// Its settings. The voters are named here and not in the data, so that the next run may use other ports.
    fn properties(&self, directory: &Path, listeners: Option<Listeners>) -> String {
        let Self { id, port, controller_port, voters, copies } = self;
        let in_sync = copies.div_ceil(2);
        let data = directory.join("data");
        let addresses = listeners.map(|listeners| listeners.addresses()).unwrap_or_default();
        let protocols = listeners.map(|listeners| listeners.protocols()).unwrap_or_default();
        format!(
            "process.roles=broker,controller\n\
             node.id={id}\n\
             controller.quorum.voters={voters}\n\
             listeners=BROKER://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}{addresses}\n\
             advertised.listeners=BROKER://127.0.0.1:{port}{addresses}\n\
             listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}\n\
             inter.broker.listener.name=BROKER\n\
             controller.listener.names=CONTROLLER\n\
             log.dirs={}\n\
             auto.create.topics.enable=false\n\
             default.replication.factor={copies}\n\
             offsets.topic.replication.factor={copies}\n\
             offsets.topic.num.partitions=4\n\
             transaction.state.log.replication.factor={copies}\n\
             transaction.state.log.min.isr={in_sync}\n\
             share.coordinator.state.topic.replication.factor={copies}\n\
             share.coordinator.state.topic.min.isr={in_sync}\n\
             group.initial.rebalance.delay.ms=0\n",
            data.display()
        )
    }
}
