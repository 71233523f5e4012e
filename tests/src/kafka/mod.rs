//! Apache Kafka: one broker in KRaft mode, its jars from Maven Central, run with plain java.

pub mod secured;
mod stream;

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result};
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer as _},
};

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
        let java = tools::java()?;
        let class_path = format!("{}/*", tools::kafka_jars()?.display());
        let log = Log::lock("Kafka", &directory.with_extension("log"))?;
        if fresh && directory.exists() {
            fs::remove_dir_all(directory).with_context(|| format!("cannot remove {}", directory.display()))?;
        }
        fs::create_dir_all(directory)?;
        let [port, controller_port, secured @ ..] = free_ports::<8>()?;
        let settings = directory.join("server.properties");
        let listeners = authority.map(|_| Listeners::new(secured));
        let secured = authority.map(|authority| Listeners::properties(directory, authority)).transpose()?;
        let properties = properties(directory, port, controller_port, listeners) + &secured.unwrap_or_default();
        fs::write(&settings, properties)?;
        let program = |class: &str| {
            let mut command = Command::new(&java);
            command.args(JVM_OPTIONS).args(["-cp", &class_path, class]).current_dir(directory);
            command
        };
        if !directory.join("data/meta.properties").is_file() {
            let mut format = program("kafka.tools.StorageTool");
            format.args(["format", "--cluster-id", CLUSTER_ID, "--config"]).arg(&settings);
            if listeners.is_some() {
                format.args(Listeners::format_arguments());
            }
            service::run(&format, None).context("Kafka's data directory cannot be made")?;
        }
        let mut broker = program("kafka.Kafka");
        broker.arg(&settings);
        let service = Service::start("Kafka", &broker, StopSignal::Term, None, log)?;
        let bootstrap_server = format!("127.0.0.1:{port}");
        let client: BaseConsumer = ClientConfig::new().set("bootstrap.servers", &bootstrap_server).create()?;
        // Not an open port but an answer that names a broker.
        let answers = || {
            let metadata = client.fetch_metadata(None, Duration::from_secs(1));
            metadata.is_ok_and(|metadata| !metadata.brokers().is_empty())
        };
        service.wait_until(START_TIMEOUT, answers)?;
        Ok(Self { bootstrap_server, listeners, service })
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

/// The settings of a broker that is its own controller. The voters are named here and not in the data, so that the
/// next run may use other ports.
fn properties(directory: &Path, port: u16, controller_port: u16, listeners: Option<Listeners>) -> String {
    let data = directory.join("data");
    let addresses = listeners.map(|listeners| listeners.addresses()).unwrap_or_default();
    let protocols = listeners.map(|listeners| listeners.protocols()).unwrap_or_default();
    format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller_port}\n\
         listeners=BROKER://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}{addresses}\n\
         advertised.listeners=BROKER://127.0.0.1:{port}{addresses}\n\
         listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}\n\
         inter.broker.listener.name=BROKER\n\
         controller.listener.names=CONTROLLER\n\
         log.dirs={}\n\
         auto.create.topics.enable=false\n\
         default.replication.factor=1\n\
         offsets.topic.replication.factor=1\n\
         offsets.topic.num.partitions=4\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         share.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\n\
         group.initial.rebalance.delay.ms=0\n",
        data.display()
    )
}
