//! Postgres broken in every way that it breaks, by causing it: the batch fails, comes again, and is stored once.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use flush::{Flush, FlushConfig, run};
use futures::future::join_all;
use local_stack::{
    postgres::Postgres,
    proxy::{Harm, Proxy, Sender},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use shared::Micros;
use tokio_postgres::{Client, NoTls};

use crate::support::{Place, batch, directory, hours_ago, lookup, record_at, until};

const RECORDS: i64 = 100;

/// A Postgres that may be broken, since nobody else needs it.
struct Victim {
    name: &'static str,
    postgres: Option<Postgres>,
    proxy: Proxy,
}

impl Victim {
    async fn new(name: &'static str, settings: &'static [&'static str], file_blocks: Option<u64>) -> Self {
        let postgres = start(name, true, settings, file_blocks).await;
        postgres.create_database("victim").await.unwrap();
        let proxy = Proxy::start(address(&postgres)).await.unwrap();
        Self { name, postgres: Some(postgres), proxy }
    }

    /// Ends it in an orderly way, and starts it again without a limit on files.
    async fn restart(&mut self) {
        let stopped = self.postgres.take();
        tokio::task::spawn_blocking(move || drop(stopped)).await.unwrap();
        let postgres = start(self.name, false, &[], None).await;
        self.proxy.lead_to(address(&postgres));
        self.postgres = Some(postgres);
    }

    /// Kills it, and starts it again from what it has left.
    async fn crash(&mut self) {
        let killed = self.postgres.take().unwrap();
        killed.kill().unwrap();
        tokio::task::spawn_blocking(move || drop(killed)).await.unwrap();
        let (name, mut started) = (self.name, None);
        // Not before those are gone whom it has left behind.
        until("the database starts again", async || {
            let start = move || Postgres::start(&directory(name), false, &["fsync=off"]);
            started = tokio::task::spawn_blocking(start).await.unwrap().ok();
            started.is_some()
        })
        .await;
        let postgres = started.unwrap();
        self.proxy.lead_to(address(&postgres));
        self.postgres = Some(postgres);
    }

    fn flush(&self) -> Flush {
        let string = format!("postgres://postgres@127.0.0.1:{}/victim?connect_timeout=60", self.proxy.port());
        let variables = lookup(vec![("WM_DB_CONNECTION_STRING", string), ("WM_RAW_RETENTION", "36500d".to_owned())]);
        Flush::new(FlushConfig::from_env(&variables).unwrap())
    }

    async fn client(&self) -> Client {
        let string = self.postgres.as_ref().unwrap().connection_string("victim");
        let mut connected = None;
        // It may be recovering.
        until("the database takes connections", async || {
            connected = tokio_postgres::connect(&string, NoTls).await.ok();
            connected.is_some()
        })
        .await;
        let (client, connection) = connected.unwrap();
        tokio::spawn(connection);
        client
    }

    async fn count(&self, query: &str) -> i64 {
        self.client().await.query_one(query, &[]).await.unwrap().get(0)
    }

    /// Until the batch is stored, as a trigger delivers it; returns how often it failed, and the first reason.
    async fn deliver(&self, flush: &Flush, event: &Value) -> (usize, String) {
        let (failures, mut reason) = (AtomicUsize::new(0), String::new());
        until("the batch is stored", async || match run(flush, event.clone()).await {
            Ok(_) => true,
            Err(error) => {
                if failures.fetch_add(1, Relaxed) == 0 {
                    reason = error.to_string();
                }
                false
            }
        })
        .await;
        (failures.into_inner(), reason)
    }
}

async fn start(
    name: &'static str,
    fresh: bool,
    settings: &'static [&'static str],
    file_blocks: Option<u64>,
) -> Postgres {
    let start = move || {
        let settings: Vec<_> = ["fsync=off"].iter().chain(settings).copied().collect();
        Postgres::start_limited(&directory(name), fresh, &settings, file_blocks).unwrap()
    };
    tokio::task::spawn_blocking(start).await.unwrap()
}

fn address(postgres: &Postgres) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, postgres.port()))
}

/// The batch of a number, of so many records, all of them different.
fn numbered(number: i64, records: i64) -> Value {
    let first = number * records;
    let instant = |number: i64| Micros(hours_ago(0).0 + number * 1_000);
    let values: Vec<_> = (first..first + records).map(|number| record_at("https://a.test", instant(number))).collect();
    batch(first, &values)
}

#[tokio::test]
async fn a_database_that_restarts_or_crashes_keeps_what_was_acknowledged_and_takes_the_rest_later() {
    let mut victim = Victim::new("breaking_restarted", &[], None).await;
    let flush = victim.flush();
    run(&flush, numbered(0, RECORDS)).await.unwrap();

    victim.restart().await;
    assert_eq!(run(&flush, numbered(1, RECORDS)).await.unwrap().stored, 100);

    // Killed while the batch is in its transaction: Postgres throws everyone out and recovers from its log.
    let mut trap = victim.proxy.trap(Sender::Client, b"commit\0", Harm::Hold);
    let crash = async {
        trap.sprung().await.unwrap();
        let client = victim.client().await;
        let pid: i32 = client.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        client.query_one("select 1", &[]).await.unwrap_err();
        trap.release();
    };
    let event = numbered(2, RECORDS);
    let _ = tokio::join!(victim.deliver(&flush, &event), crash);
    let postgres = victim.postgres.as_ref().unwrap();
    until("it recovers", async || postgres.has_said("all server processes terminated; reinitializing")).await;
    assert_eq!(victim.count("select count(*) from probes").await, 3 * RECORDS);

    // The server itself killed, at the same moment.
    let mut trap = victim.proxy.trap(Sender::Client, b"commit\0", Harm::Hold);
    let (event, flush) = (numbered(3, RECORDS), victim.flush());
    let crash = async {
        trap.sprung().await.unwrap();
        victim.crash().await;
        trap.release();
    };
    let (stored, ()) = tokio::join!(run(&flush, event.clone()), crash);
    assert!(victim.postgres.as_ref().unwrap().has_said("was not properly shut down; automatic recovery in progress"));
    if stored.is_err() {
        victim.deliver(&flush, &event).await;
    }
    assert_eq!(victim.count("select count(*) from probes").await, 4 * RECORDS);
}

#[tokio::test]
async fn a_database_without_a_connection_left_fails_the_batch_by_name() {
    let settings = &["max_connections=5", "superuser_reserved_connections=0", "max_wal_senders=0"];
    let victim = Victim::new("breaking_connections", settings, None).await;
    let flush = victim.flush();
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(victim.client().await);
    }

    let error = run(&flush, numbered(0, RECORDS)).await.unwrap_err().to_string();

    assert!(error.contains("cannot connect to the database") && error.contains("too many clients"), "{error}");
    drop(held);
    victim.deliver(&flush, &numbered(0, RECORDS)).await;
    assert_eq!(victim.count("select count(*) from probes").await, RECORDS);
}

#[tokio::test]
async fn a_disk_that_is_full_fails_the_batch_whole_and_nothing_is_lost() {
    // No file may be larger than 16 MiB and half a page, in blocks of 512 bytes: the table reaches that first, since the log
    // is in files of 16 MiB. To Postgres, it is a disk that takes no more.
    let mut victim = Victim::new("breaking_disk", &[], Some(32_768 + 8)).await;
    let flush = victim.flush();
    let mut number = 0;
    let error = loop {
        match run(&flush, numbered(number, 10_000)).await {
            Ok(_) => number += 1,
            Err(error) => break error.to_string(),
        }
    };

    assert!(error.contains("could not extend file") && error.contains("wrote only"), "{error}");
    assert!(number > 3);
    assert_eq!(victim.count("select count(*) from probes").await, number * 10_000);
    assert_eq!(victim.count("select count(*) from rejects").await, 0);

    victim.restart().await;
    victim.deliver(&flush, &numbered(number, 10_000)).await;
    assert_eq!(victim.count("select count(*) from probes").await, (number + 1) * 10_000);
}

#[tokio::test]
async fn a_database_that_only_reads_as_after_a_failover_fails_the_batch_until_it_writes() {
    let victim = Victim::new("breaking_readonly", &[], None).await;
    let flush = victim.flush();
    run(&flush, numbered(0, RECORDS)).await.unwrap();
    let admin = victim.client().await;
    for setting in ["default_transaction_read_only = on", "default_transaction_read_only = off"] {
        admin.batch_execute(&format!("alter system set {setting}")).await.unwrap();
        admin.batch_execute("select pg_reload_conf()").await.unwrap();
        let writes = setting.ends_with("off");
        let reads_only = "select (current_setting('default_transaction_read_only') = 'on')::int::bigint";
        until("the setting holds", async || (victim.count(reads_only).await == 0) == writes).await;

        if writes {
            assert_eq!(victim.deliver(&flush, &numbered(1, RECORDS)).await.0, 0);
        } else {
            let error = run(&flush, numbered(1, RECORDS)).await.unwrap_err().to_string();
            assert!(error.contains("read-only transaction"), "{error}");
        }
    }
    assert_eq!(victim.count("select count(*) from probes").await, 2 * RECORDS);
}

#[tokio::test]
async fn a_lock_is_waited_for_and_a_statement_that_takes_too_long_fails_the_batch() {
    let place = Place::new("breaking_locked").await;
    let flush = place.flush();
    run(&flush, numbered(0, RECORDS)).await.unwrap();
    let admin = place.client().await;
    let waiting = "select count(*) from pg_stat_activity
                   where datname = current_database() and application_name = 'website-monitor'
                   and wait_event_type = 'Lock'";

    // As long as it is held, such as a minute.
    admin.batch_execute("begin; lock table probes in access exclusive mode").await.unwrap();
    let release = async {
        until("flush waits", async || place.count(waiting).await == 1).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(place.count(waiting).await, 1);
        admin.batch_execute("commit").await.unwrap();
    };
    let (summary, ()) = tokio::join!(run(&flush, numbered(1, RECORDS)), release);
    assert_eq!(summary.unwrap().stored, 100);

    admin.batch_execute("alter database breaking_locked set statement_timeout = '300ms'").await.unwrap();
    admin.batch_execute("begin; lock table probes in access exclusive mode").await.unwrap();
    let impatient = place.flush();
    let error = run(&impatient, numbered(2, RECORDS)).await.unwrap_err().to_string();
    assert!(error.contains("statement timeout"), "{error}");
    admin.batch_execute("commit").await.unwrap();
    assert_eq!(run(&impatient, numbered(2, RECORDS)).await.unwrap().stored, 100);
    assert_eq!(place.count("select count(*) from probes").await, 3 * RECORDS);
}

#[tokio::test]
async fn transactions_that_cannot_be_serialized_are_made_again() {
    let victim = Victim::new("breaking_serialized", &["default_transaction_isolation=serializable"], None).await;
    run(&victim.flush(), batch(0, &[])).await.unwrap();
    let flushes: Vec<_> = (0..6).map(|_| victim.flush()).collect();
    let mut number = 0;
    // Six instances learn the same new targets at once: what one has read, another has changed.
    until("a transaction is refused", async || {
        let url = |target: i64| format!("https://{number}-{target}.test");
        let record = |target| record_at(&url(target), Micros(hours_ago(0).0 + number));
        let event = batch(number * RECORDS, &(0..RECORDS).map(record).collect::<Vec<_>>());
        join_all(flushes.iter().map(async |flush| victim.deliver(flush, &event).await)).await;
        number += 1;
        victim.postgres.as_ref().unwrap().has_said("could not serialize access")
    })
    .await;

    assert_eq!(victim.count("select count(*) from probes").await, number * RECORDS);
}
