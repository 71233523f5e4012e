//! What a storm does to Postgres, to Kafka, and to the network before Postgres.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use fastrand::Rng;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, NoTls};

use super::faults::Faults;
use crate::{
    kafka::{Kafka, Stream},
    postgres::Postgres,
    proxy::{Harm, Proxy, Sender},
};

/// Connections that the database takes, so few that they can be used up.
const CONNECTIONS: usize = 60;
/// How long a trap waits for its bytes.
const TRAP: Duration = Duration::from_secs(2);
/// The least time between two faults of this kind, at random up to four times as long.
const LULL: u64 = 300;

/// How often a database is asked whether it is back.
const RECOVERY: Duration = Duration::from_millis(20);

/// The name of the database.
pub const DATABASE: &str = "storm";

/// The services, and the one way to Postgres that flush knows.
pub struct Services {
    directory: PathBuf,
    postgres: Option<Postgres>,
    kafka: Arc<Mutex<Kafka>>,
    /// How clients get to the broker.
    pub stream: Stream,
    /// Before Postgres.
    pub proxy: Proxy,
}

impl Services {
    /// Starts them with empty data in `directory`.
    ///
    /// # Errors
    /// Something is missing or does not start.
    pub async fn start(directory: PathBuf) -> Result<Self> {
        let (of_postgres, of_kafka) = (directory.join("postgres"), directory.join("kafka"));
        let kafka = tokio::task::spawn_blocking(move || Kafka::start(&of_kafka, true));
        let postgres = start_postgres(of_postgres, true).await?;
        postgres.create_database(DATABASE).await?;
        let proxy = Proxy::start(address(&postgres)).await?;
        let kafka = kafka.await??;
        let stream = kafka.stream();
        Ok(Self { directory, postgres: Some(postgres), kafka: Arc::new(Mutex::new(kafka)), stream, proxy })
    }

    /// How flush gets to the database.
    #[must_use]
    pub fn connection_string(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{DATABASE}?connect_timeout=5", self.proxy.port())
    }

    /// A connection past the proxy.
    ///
    /// # Errors
    /// The database is away.
    pub async fn client(&self) -> Result<Client> {
        let postgres = self.postgres.as_ref().context("Postgres is away")?;
        let string = format!("{}?connect_timeout=60", postgres.connection_string(DATABASE));
        let (client, connection) = tokio_postgres::connect(&string, NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// One thing after the other goes wrong, for ever. What has hit is counted.
    ///
    /// # Errors
    /// A service does not come back.
    pub async fn harm(&mut self, random: &mut Rng, faults: &Faults) -> Result<Infallible> {
        let mut round = 0_u32;
        loop {
            sleep(Duration::from_millis(random.u64(LULL..4 * LULL))).await;
            // A broker takes seconds to come back, so it goes rarely.
            if round % 40 == 15 {
                self.of_kafka(Kafka::crash).await?;
                faults.hit("the broker killed and started again");
            }
            round += 1;
            match random.u8(0..12) {
                0..4 => self.cut(random, faults).await?,
                4 => self.end_sessions(faults).await?,
                5 => self.crash(faults).await?,
                6 => self.restart(faults).await?,
                7 => self.with_setting("default_transaction_read_only = on", random).await?,
                8 => self.with_setting("statement_timeout = '4ms'", random).await?,
                9 => self.lock(random, faults).await?,
                10 => self.use_up_connections(random).await?,
                _ => self.pause_kafka(random, faults).await?,
            }
        }
    }

    /// Does something to the broker that may take its time.
    async fn of_kafka(&self, what: impl FnOnce(&mut Kafka) -> Result<()> + Send + 'static) -> Result<()> {
        let kafka = Arc::clone(&self.kafka);
        tokio::task::spawn_blocking(move || what(&mut kafka.lock().unwrap_or_else(PoisonError::into_inner))).await?
    }

    /// Puts an end to whatever is under way.
    ///
    /// # Errors
    /// A service does not come back.
    pub async fn calm_down(&mut self) -> Result<()> {
        self.of_kafka(|kafka| kafka.signal(Signal::SIGCONT)).await?;
        if self.postgres.is_none() {
            let postgres = start_postgres(self.directory.join("postgres"), false).await?;
            self.proxy.lead_to(address(&postgres));
            self.postgres = Some(postgres);
        }
        while self.client().await.is_err() {
            sleep(RECOVERY).await;
        }
        reset(&self.client().await?).await
    }

    /// The connection breaks at a moment of the transaction, or is held there for a while.
    async fn cut(&self, random: &mut Rng, faults: &Faults) -> Result<()> {
        let moments: [(Sender, &[u8]); 5] = [
            (Sender::Client, b"begin; set local jit"),
            (Sender::Client, b"PGCOPY\n"),
            (Sender::Client, b"commit\0"),
            (Sender::Server, b"COPY "),
            (Sender::Server, b"COMMIT\0"),
        ];
        let (sender, marker) = random.choice(moments).unwrap_or(moments[0]);
        let harm = random.choice([Harm::Cut, Harm::Cut, Harm::Hold]).unwrap_or(Harm::Cut);
        let mut trap = self.proxy.trap(sender, marker, harm);
        if timeout(TRAP, trap.sprung()).await.is_ok() {
            faults.hit(match harm {
                Harm::Cut if marker == b"COMMIT\0" => "connections cut between COMMIT and its answer",
                Harm::Cut => "connections cut within a transaction",
                Harm::Hold => "connections that stood still within a transaction",
            });
            if harm == Harm::Hold {
                sleep(Duration::from_millis(random.u64(50..800))).await;
                trap.release();
            }
        }
        Ok(())
    }

    async fn end_sessions(&self, faults: &Faults) -> Result<()> {
        let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                   where datname = current_database() and pid <> pg_backend_pid()";
        let ended: i64 = self.client().await?.query_one(end, &[]).await?.get(0);
        faults.hits("sessions ended by the database", ended.unsigned_abs());
        Ok(())
    }

    /// A backend is killed: Postgres throws all others out and recovers.
    async fn crash(&self, faults: &Faults) -> Result<()> {
        let client = self.client().await?;
        let pid: i32 = client.query_one("select pg_backend_pid()", &[]).await?.get(0);
        kill(Pid::from_raw(pid), Signal::SIGKILL)?;
        // Also when it is gone at once.
        let _ = client.query_one("select 1", &[]).await;
        while self.client().await.is_err() {
            sleep(RECOVERY).await;
        }
        faults.hit("the database killed; it recovered from its log");
        Ok(())
    }

    async fn restart(&mut self, faults: &Faults) -> Result<()> {
        let stopped = self.postgres.take();
        let directory = self.directory.join("postgres");
        tokio::task::spawn_blocking(move || drop(stopped)).await?;
        let postgres = start_postgres(directory, false).await?;
        self.proxy.lead_to(address(&postgres));
        self.postgres = Some(postgres);
        faults.hit("the database restarted");
        Ok(())
    }

    /// A setting of the whole server for a while; what it does shows in the errors of flush.
    async fn with_setting(&self, setting: &str, random: &mut Rng) -> Result<()> {
        let client = self.client().await?;
        client.batch_execute(&format!("alter system set {setting}")).await?;
        client.batch_execute("select pg_reload_conf()").await?;
        sleep(Duration::from_millis(random.u64(100..500))).await;
        reset(&client).await
    }

    /// A lock on the whole table that somebody takes and keeps.
    async fn lock(&self, random: &mut Rng, faults: &Faults) -> Result<()> {
        let client = self.client().await?;
        let locked = client.batch_execute("set lock_timeout = '2s'; begin; lock table probes in access exclusive mode");
        if locked.await.is_err() {
            return Ok(());
        }
        sleep(Duration::from_millis(random.u64(100..700))).await;
        let waiting = "select count(*) from pg_locks where not granted";
        let waiting: i64 = client.query_one(waiting, &[]).await?.get(0);
        faults.hits("transactions that had to wait for a lock", waiting.unsigned_abs());
        client.batch_execute("commit").await?;
        Ok(())
    }

    async fn use_up_connections(&self, random: &mut Rng) -> Result<()> {
        let mut held = Vec::new();
        // Those of flush go, so that it needs new ones.
        let admin = self.client().await?;
        while held.len() < CONNECTIONS {
            match self.client().await {
                Ok(client) => held.push(client),
                Err(_) => break,
            }
        }
        let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                   where datname = current_database() and application_name = 'website-monitor'";
        admin.query_one(end, &[]).await?;
        sleep(Duration::from_millis(random.u64(100..500))).await;
        Ok(())
    }

    async fn pause_kafka(&self, random: &mut Rng, faults: &Faults) -> Result<()> {
        self.of_kafka(|kafka| kafka.signal(Signal::SIGSTOP)).await?;
        sleep(Duration::from_millis(random.u64(200..1_500))).await;
        self.of_kafka(|kafka| kafka.signal(Signal::SIGCONT)).await?;
        faults.hit("the broker stood still");
        Ok(())
    }
}

/// Takes back what was set for the whole server; it holds for this session as well.
async fn reset(client: &Client) -> Result<()> {
    client.batch_execute("set default_transaction_read_only = off; set statement_timeout = 0").await?;
    client.batch_execute("alter system reset all").await?;
    client.batch_execute("select pg_reload_conf()").await?;
    Ok(())
}

async fn start_postgres(directory: PathBuf, fresh: bool) -> Result<Postgres> {
    // A crash of programs, not of the machine: what is in the system's cache is safe.
    let limit = format!("max_connections={CONNECTIONS}");
    let start = move || Postgres::start(&directory, fresh, &["fsync=off", &limit, "superuser_reserved_connections=0"]);
    tokio::task::spawn_blocking(start).await?
}

fn address(postgres: &Postgres) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, postgres.port()))
}
