//! Functions behind PgBouncer in transaction mode: each of their transactions may be on another connection of the pool.

use flush::{Flush, FlushConfig};
use local_stack::pgbouncer::PgBouncer;
use serde_json::{Value, json};
use shared::{Micros, timestamp};

use crate::support::{Place, batch, directory, hours_ago, lookup, record_at};

const URL: &str = "https://a.test";

#[tokio::test]
async fn functions_share_the_connections_of_a_pool() {
    let place = Place::new("pooling").await;
    let postgres = place.postgres_port();
    let pool = tokio::task::spawn_blocking(move || {
        PgBouncer::start(&directory("services").join("pgbouncer"), postgres, 2).unwrap()
    });
    let pool = pool.await.unwrap();
    let pooled = format!("postgres://anybody@127.0.0.1:{}/pooling?sslmode=disable&connect_timeout=60", pool.port());
    let variables = [("WM_DB_CONNECTION_STRING", pooled)];
    // Processes of their own: their statements have the same names, if they have any.
    let functions =
        [place.functions(&variables).await, place.functions(&variables).await, place.functions(&variables).await];

    let (now, closed) = (Micros::from(timestamp::now()), hours_ago(3));
    let flush = async |index: usize| -> (u64, u64) {
        let (mut stored, mut duplicates) = (0, 0);
        for round in 0..8 {
            let number = i64::try_from(index * 8 + round).unwrap();
            // The middle one comes again and again, so that COPY is refused.
            let instants = [Micros(now.0 - number), Micros(closed.0), Micros(closed.0 + 1 + number)];
            let records = instants.map(|instant| record_at(URL, instant));
            let mut event: Value = batch(number * 10, &records);
            event["records"]["t-0"][1]["offset"] = json!(1_000_000);
            let answer = functions[index].client().invoke("flush", &event).await.unwrap();
            stored += answer["stored"].as_u64().unwrap();
            duplicates += answer["duplicates"].as_u64().unwrap();
        }
        (stored, duplicates)
    };
    let counts = tokio::join!(flush(0), flush(1), flush(2));

    let all = [counts.0, counts.1, counts.2];
    assert_eq!(all.iter().map(|(stored, _)| stored).sum::<u64>(), 49, "{all:?}");
    assert_eq!(all.iter().map(|(_, duplicates)| duplicates).sum::<u64>(), 23, "{all:?}");
    let backends =
        "select count(*) from pg_stat_activity where datname = 'pooling' and application_name = 'website-monitor'";
    assert!((1..=2).contains(&place.count(backends).await));
    let report = functions[1].client().stats_of(&[URL.to_owned()]).await.unwrap();
    assert_eq!(report.stats[0].figures.probes, 49);
    // Sealing goes through the pool as well, by one that has not looked for it yet.
    let flush = Flush::new(FlushConfig::from_env(&lookup(variables.to_vec())).unwrap());
    flush::run(&flush, batch(0, &[])).await.unwrap();
    assert!(place.count("select count(*) from chunks").await > 0);
}
