//! The connection to Postgres: how often something is sent through it, and what happens when it dies.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use flush::{Flush, FlushConfig, run};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use shared::{Micros, timestamp};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::support::{Place, batch, lookup, record_at, until};

const URL: &str = "https://a.test";

/// What a relay does to what the client says.
type Change = fn(&mut [u8]);

/// A relay to Postgres that counts round trips: how often the client sends something after the server did.
async fn relay(place: &Place, change: Change) -> (String, Arc<AtomicUsize>) {
    let (_, rest) = place.connection_string.split_once('@').unwrap();
    let (address, database) = rest.split_once('/').unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connection_string = format!("postgres://postgres@127.0.0.1:{port}/{database}&sslmode=disable");
    let trips = Arc::new(AtomicUsize::new(0));
    let (address, count) = (address.to_owned(), Arc::clone(&trips));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&address).await.unwrap();
            tokio::spawn(pass(client, server, Arc::clone(&count), change));
        }
    });
    (connection_string, trips)
}

async fn pass(mut client: TcpStream, mut server: TcpStream, trips: Arc<AtomicUsize>, change: Change) {
    let (mut request, mut answer) = ([0; 65_536], [0; 65_536]);
    let mut has_answered = true;
    loop {
        tokio::select! {
            // What both sides sent at the same time is the answer first.
            biased;
            Ok(length) = server.read(&mut answer) => {
                has_answered = true;
                if length == 0 || client.write_all(&answer[..length]).await.is_err() {
                    return;
                }
            }
            Ok(length) = client.read(&mut request) => {
                trips.fetch_add(usize::from(has_answered), Ordering::Relaxed);
                has_answered = false;
                change(&mut request[..length]);
                if length == 0 || server.write_all(&request[..length]).await.is_err() {
                    return;
                }
            }
            else => return,
        }
    }
}

#[tokio::test]
async fn a_warm_invocation_takes_three_round_trips() {
    let place = Place::new("connecting_trips").await;
    let (connection_string, trips) = relay(&place, |_| {}).await;
    let variables = lookup(vec![("WM_DB_CONNECTION_STRING", connection_string)]);
    let flush = Flush::new(FlushConfig::from_env(&variables).unwrap());
    let now = Micros::from(timestamp::now());
    let next = async |offset: i64| {
        let before = trips.load(Ordering::Relaxed);
        assert_eq!(run(&flush, batch(offset, &[record_at(URL, Micros(now.0 + offset))])).await.unwrap().stored, 1);
        trips.load(Ordering::Relaxed) - before
    };
    assert!(next(0).await > 3);

    // One after the other, so none was idle for long; on a slow machine one may have been.
    let mut counts = Vec::new();
    for offset in 1..20 {
        counts.push(next(offset).await);
    }
    counts.sort_unstable();
    assert_eq!(counts[counts.len() / 2], 3, "{counts:?}");
}

#[tokio::test]
async fn a_connection_that_was_left_in_a_transaction_is_replaced() {
    static SPOILED: AtomicUsize = AtomicUsize::new(0);
    let place = Place::new("connecting_left").await;
    // A ROLLBACK fails, as one that a timeout ends.
    let spoil: Change = |said| {
        let rollback = said.windows(9).position(|words| words == b"rollback\0");
        if let Some(byte) = rollback.and_then(|at| said.get_mut(at)) {
            *byte = b'x';
            SPOILED.fetch_add(1, Ordering::Relaxed);
        }
    };
    let (connection_string, _) = relay(&place, spoil).await;
    let variables = lookup(vec![("WM_DB_CONNECTION_STRING", connection_string)]);
    let flush = Flush::new(FlushConfig::from_env(&variables).unwrap());
    let now = Micros::from(timestamp::now());

    for offset in 0..3 {
        let record = record_at(URL, Micros(now.0 + offset));
        assert_eq!(run(&flush, batch(offset, &[record])).await.unwrap().stored, 1);
    }

    assert!(SPOILED.load(Ordering::Relaxed) > 0);
}

#[tokio::test]
async fn a_connection_that_is_dead_and_does_not_say_so_is_noticed_and_replaced() {
    let place = Place::new("connecting_frozen").await;
    let flush = place.flush();
    let now = Micros::from(timestamp::now());
    run(&flush, batch(0, &[record_at(URL, now)])).await.unwrap();
    let backend = "select pid::bigint from pg_stat_activity where datname = current_database() \
                   and application_name = 'website-monitor'";
    let backend = Pid::from_raw(i32::try_from(place.count(backend).await).unwrap());
    // The function is frozen, and meanwhile the server is gone: nothing answers, and nothing says that nobody is there.
    kill(backend, Signal::SIGSTOP).unwrap();
    let idle = "select count(*) from pg_stat_activity where datname = current_database() \
                and application_name = 'website-monitor' and state_change < now() - interval '1.1 seconds'";
    until("idle for longer than a connection is trusted", async || place.count(idle).await == 1).await;

    let again = [record_at(URL, Micros(now.0 + 1))];
    let summary = tokio::time::timeout(Duration::from_secs(120), run(&flush, batch(1, &again))).await;

    kill(backend, Signal::SIGCONT).unwrap();
    assert_eq!(summary.unwrap().unwrap().stored, 1);
}
