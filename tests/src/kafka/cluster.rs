//! Several brokers, so that one can be lost and another leads.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;

use super::{CLUSTER_ID, Node, SETTINGS, Stream, answers, program, start};
use crate::{
    free_ports,
    service::{self, Log, Service},
};

/// How many there are.
const BROKERS: usize = 3;

/// A running cluster of three brokers, each a controller as well. A topic has a copy in each, and two must have a record.
pub struct Cluster {
    brokers: Vec<Service>,
    ports: [u16; BROKERS],
}

impl Cluster {
    /// Starts a cluster with empty data in `directory`.
    ///
    /// # Errors
    /// Java or the jars are missing, or a broker does not start; with its log.
    pub fn start(directory: &Path) -> Result<Self> {
        let [a, b, c, d, e, f] = free_ports::<{ 2 * BROKERS }>()?;
        let (ports, controllers) = ([a, b, c], [d, e, f]);
        let voters: Vec<_> = controllers.iter().zip(1..).map(|(port, id)| format!("{id}@127.0.0.1:{port}")).collect();
        let mut brokers = Vec::new();
        for ((port, controller_port), id) in ports.into_iter().zip(controllers).zip(1..) {
            let directory = &directory.join(id.to_string());
            let log = Log::lock("Kafka", &directory.with_extension("log"))?;
            if directory.exists() {
                fs::remove_dir_all(directory)?;
            }
            fs::create_dir_all(directory)?;
            let node = Node { id, port, controller_port, voters: &voters.join(","), copies: BROKERS };
            let more = "min.insync.replicas=2\nbroker.session.timeout.ms=3000\nbroker.heartbeat.interval.ms=500\n";
            fs::write(directory.join(SETTINGS), node.properties(directory, None) + more)?;
            let mut format = program("kafka.tools.StorageTool", directory)?;
            format.args(["format", "--cluster-id", CLUSTER_ID, "--config"]).arg(directory.join(SETTINGS));
            service::run(&format, None).context("Kafka's data directory cannot be made")?;
            brokers.push(start(directory, log)?);
        }
        let cluster = Self { brokers, ports };
        for broker in &cluster.brokers {
            answers(broker, &cluster.stream().bootstrap_server, BROKERS)?;
        }
        Ok(cluster)
    }

    /// Ends a broker, by its id, without a goodbye.
    ///
    /// # Errors
    /// It is gone.
    pub fn kill(&self, id: i32) -> Result<()> {
        let broker = usize::try_from(id - 1).ok().and_then(|index| self.brokers.get(index));
        broker.context("there is no such broker")?.signal(Signal::SIGKILL)
    }

    /// How clients connect.
    #[must_use]
    pub fn stream(&self) -> Stream {
        Stream::plain(&self.ports.map(|port| format!("127.0.0.1:{port}")).join(","))
    }
}
