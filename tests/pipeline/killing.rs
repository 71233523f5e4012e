//! flush killed, forgotten and cut off, each time at a moment that is known: whatever comes of it, the batch that is
//! delivered again leaves every record once.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use fastrand::Rng;
use flush::{run, seal::step};
use futures::future::join_all;
use local_stack::{
    instance::{Instance, InvokeError},
    proxy::{Harm, Proxy, Sender},
};
use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};

use crate::support::{AT_ONCE, Place, batch, hours_ago, lookup, record_at, until};

/// What Lambda would give an invocation.
const LIMIT: Duration = Duration::from_secs(120);
const RECORDS: usize = 50;

/// The moments of a transaction, by the bytes that they begin with, and whether it commits all the same when it is cut off
/// there. When the server says that the rows are in, it may have read the COMMIT already.
const MOMENTS: [(&str, Sender, &[u8], Option<bool>); 5] = [
    ("before the transaction", Sender::Client, b"begin; set local jit", Some(false)),
    ("at its first row", Sender::Client, b"PGCOPY\n", Some(false)),
    ("at its COMMIT", Sender::Client, b"commit\0", Some(false)),
    ("when the rows are in", Sender::Server, b"COPY 50\0", None),
    ("after the COMMIT, before its answer", Sender::Server, b"COMMIT\0", Some(true)),
];

/// A place whose database is behind a proxy.
struct Scene {
    place: Place,
    proxy: Proxy,
    batches: i64,
}

impl Scene {
    async fn new(name: &str) -> Self {
        let place = Place::new(name).await;
        let proxy = Proxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, place.postgres_port()))).await.unwrap();
        let mut scene = Self { place, proxy, batches: 0 };
        // The schema, the targets and the hour are there.
        let first = scene.next();
        assert_eq!(run(&scene.flush(), first).await.unwrap().stored, RECORDS);
        scene
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = self.place.variables();
        let port = self.place.postgres_port().to_string();
        let string = self.place.connection_string.replace(&port, &self.proxy.port().to_string());
        variables.push(("WM_DB_CONNECTION_STRING", string));
        variables
    }

    fn flush(&self) -> flush::Flush {
        flush::Flush::new(flush::FlushConfig::from_env(&lookup(self.variables())).unwrap())
    }

    async fn instance(&self) -> Instance {
        self.place.instance("flush", &self.variables()).await
    }

    /// A batch that was not there before.
    fn next(&mut self) -> Value {
        let now = hours_ago(0).0;
        let first = self.batches * RECORDS as i64;
        let records: Vec<_> = (first..first + RECORDS as i64)
            .map(|number| record_at("https://a.test", shared::Micros(now + number * 1_000)))
            .collect();
        self.batches += 1;
        batch(first, &records)
    }

    async fn assert_each_is_there_once(&self, when: &str) {
        let rows = self.place.count("select count(*) from probes").await;
        assert_eq!(rows, self.batches * RECORDS as i64, "{when}");
    }

    /// As rows, and in what the hour is sealed to, which is made of what was stored beside them.
    async fn assert_history_has_each_once(&self) {
        let (client, later) = (self.place.client().await, hours_ago(-3));
        while step(&client, later, AT_ONCE).await.unwrap().is_some() {}
        let sealed = self.place.count("select sum(probes)::bigint from chunks").await;
        assert_eq!(sealed, self.batches * RECORDS as i64);
    }
}

#[tokio::test]
async fn flush_killed_at_any_moment_of_the_transaction_leaves_every_record_once() {
    let mut scene = Scene::new("killing_killed").await;
    for (when, sender, marker, commits) in MOMENTS {
        let event = scene.next();
        let mut trap = scene.proxy.trap(sender, marker, Harm::Hold);
        let mut instance = scene.instance().await;
        let pid = instance.pid();
        {
            let mut invocation = std::pin::pin!(instance.invoke(&event, LIMIT));
            tokio::select! {
                answer = &mut invocation => panic!("{when}: {answer:?}"),
                sprung = trap.sprung() => sprung.unwrap(),
            }
            kill(pid, Signal::SIGKILL).unwrap();
            let end = invocation.await.unwrap_err();
            assert!(matches!(end, InvokeError::Ended(_)), "{when}: {end}");
        }
        // What had not left it never does.
        drop(trap);

        let (answer, _) = scene.instance().await.invoke(&event, LIMIT).await.unwrap();

        let had_committed = answer["duplicates"] == RECORDS;
        assert_eq!(had_committed, commits.unwrap_or(had_committed), "{when}: {answer}");
        assert!(had_committed || answer["stored"] == RECORDS, "{when}: {answer}");
        scene.assert_each_is_there_once(when).await;
    }
    scene.assert_history_has_each_once().await;
}

#[tokio::test]
async fn a_transaction_that_was_forgotten_may_still_commit_when_its_batch_comes_again() {
    let mut scene = Scene::new("killing_forgotten").await;
    let event = scene.next();
    let mut trap = scene.proxy.trap(Sender::Client, b"commit\0", Harm::Hold);
    let mut instance = scene.instance().await;
    {
        let mut invocation = std::pin::pin!(instance.invoke(&event, LIMIT));
        tokio::select! {
            answer = &mut invocation => panic!("{answer:?}"),
            sprung = trap.sprung() => sprung.unwrap(),
        }
    }
    let is_in = "select count(*) from pg_stat_activity
                 where datname = current_database() and state = 'idle in transaction'";
    until("its rows are in, and nobody else sees them yet", async || scene.place.count(is_in).await > 0).await;
    // As Lambda does when the time is up.
    drop(instance);

    let mut again = scene.instance().await;
    let again = async { again.invoke(&event, LIMIT).await.unwrap().0 };
    let commit = async {
        let waiting = "select count(*) from pg_stat_activity
                       where datname = current_database() and wait_event_type = 'Lock'";
        until("the second waits for the first", async || scene.place.count(waiting).await > 0).await;
        trap.release();
    };
    let (answer, ()) = tokio::join!(again, commit);

    assert_eq!((&answer["stored"], &answer["duplicates"]), (&json!(0), &json!(RECORDS)));
    scene.assert_each_is_there_once("committed late").await;
    scene.assert_history_has_each_once().await;
}

#[tokio::test]
async fn a_connection_that_breaks_at_any_moment_costs_nothing_but_time() {
    let mut scene = Scene::new("killing_cut").await;
    let flush = scene.flush();
    run(&flush, scene.next()).await.unwrap();
    for (when, sender, marker, commits) in MOMENTS {
        let event = scene.next();
        let mut trap = scene.proxy.trap(sender, marker, Harm::Cut);

        let summary = run(&flush, event).await.unwrap();

        trap.sprung().await.unwrap();
        let had_committed = summary.duplicates == RECORDS;
        assert_eq!(had_committed, commits.unwrap_or(had_committed), "{when}");
        assert_eq!(summary.stored + summary.duplicates, RECORDS, "{when}");
        scene.assert_each_is_there_once(when).await;
    }

    // Twice in a row is too much for an invocation; the batch comes again.
    let event = scene.next();
    let mut traps = [(); 2].map(|()| scene.proxy.trap(Sender::Server, b"COMMIT\0", Harm::Cut));
    let error = run(&flush, event.clone()).await.unwrap_err().to_string();
    assert!(error.contains("the database failed"), "{error}");
    for trap in &mut traps {
        trap.sprung().await.unwrap();
    }
    assert_eq!(run(&flush, event).await.unwrap().duplicates, RECORDS);
    scene.assert_each_is_there_once("cut twice").await;
    scene.assert_history_has_each_once().await;
}

#[tokio::test]
async fn a_network_that_is_slow_is_waited_for() {
    let mut scene = Scene::new("killing_slow").await;
    scene.proxy.slow_down(Duration::from_millis(20));

    assert_eq!(run(&scene.flush(), scene.next()).await.unwrap().stored, RECORDS);

    assert!(scene.proxy.pieces_delayed() > 5);
    scene.assert_each_is_there_once("slow").await;
}

#[tokio::test]
async fn batches_of_a_partition_may_come_in_any_order_in_any_pieces_and_several_at_once() {
    let mut scene = Scene::new("killing_order").await;
    let mut random = Rng::with_seed(11);
    let mut events: Vec<_> = (0..20).map(|_| scene.next()).collect();
    // Some of them cut elsewhere, as by another consumer of the partition.
    for pair in 0..9 {
        let [one, other] = [pair * 2, pair * 2 + 1].map(|index| events[index]["records"]["t-0"].as_array().unwrap());
        let across = [&one[25..], &other[..25]].concat();
        events.push(json!({"eventSource": "SelfManagedKafka", "records": {"t-0": across}}));
    }
    random.shuffle(&mut events);

    // Three at work, each with all of it.
    let stored = join_all((0..3).map(async |_| {
        let flush = scene.flush();
        let mut stored = 0;
        for event in &events {
            stored += run(&flush, event.clone()).await.unwrap().stored;
        }
        stored
    }));

    assert_eq!(stored.await.into_iter().sum::<usize>(), 20 * RECORDS);
    scene.assert_each_is_there_once("in any order").await;
    scene.assert_history_has_each_once().await;
}
