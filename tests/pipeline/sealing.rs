//! Rows to history: what is sealed when, and that nothing gets lost or doubled on the way.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use flush::{
    run,
    seal::{LOCK, Sealed, Sealing, step},
};
use futures::future::join_all;
use serde_json::{Value, json};
use shared::{
    Micros, Span,
    history::{Block, open},
    timestamp,
};
use stats::history::{
    HistoryQuery, read,
    split::{Bucket, By, Split},
};
use tokio_postgres::Client;

use crate::support::{AT_ONCE, Place, batch, hours_ago, record_at, seal_step};

const SECOND: i64 = 1_000_000;
const URL: &str = "https://a.test";

/// Seals everything that has ended.
async fn seal_all(client: &mut Client) -> Vec<Sealed> {
    let mut sealed = Vec::new();
    while let Some(piece) = seal_step(client).await.unwrap() {
        sealed.push(piece);
    }
    sealed
}

/// So many records of a URL, a second apart.
fn records(url: &str, from: Micros, count: i64) -> Vec<Value> {
    (0..count).map(|second| record_at(url, Micros(from.0 + second * SECOND))).collect()
}

/// How many probes history alone has, per span.
async fn history(place: &Place) -> (i64, i64, i64) {
    let summaries = |span: i16| format!("select coalesce(sum(probes), 0)::bigint from summaries where span = {span}");
    let chunks = place.count("select coalesce(sum(probes), 0)::bigint from chunks").await;
    (chunks, place.count(&summaries(1)).await, place.count(&summaries(2)).await)
}

#[tokio::test]
async fn hours_become_chunks_days_and_months_summaries_once_they_are_closed() {
    let place = Place::new("sealing_closed").await;
    let mut client = place.client().await;
    // The month before the last one, so that all of it is over.
    let old = Span::Month.start(Micros(Span::Month.start(hours_ago(24 * 31)).0 - 1));
    let (flush, now) = (place.flush(), Micros::from(timestamp::now()));
    let open = [record_at(URL, now)];
    run(&flush, batch(0, &open)).await.unwrap();
    run(&flush, batch(1, &[records(URL, old, 10), records("https://b.test", old, 5)].concat())).await.unwrap();

    // Until a while after the end of the hour, nothing happens; then the hour is sealed.
    let end = Span::Hour.end(old);
    assert_eq!(step(&client, Micros(end.0 + 299 * SECOND), Sealing::default()).await.unwrap(), None);
    let first = step(&client, Micros(end.0 + 300 * SECOND), Sealing::default()).await.unwrap();
    assert_eq!(first, Some(Sealed { span: Span::Hour, probes: 15 }));
    // The month waits until its days were left alone for a while.
    let day = step(&client, now, Sealing::default()).await.unwrap();
    assert_eq!(day, Some(Sealed { span: Span::Day, probes: 15 }));
    assert_eq!(step(&client, now, Sealing::default()).await.unwrap(), None);
    assert_eq!(seal_all(&mut client).await, [Sealed { span: Span::Month, probes: 15 }]);

    assert_eq!(history(&place).await, (15, 15, 15));
    // The hour that is not over is still to come.
    assert_eq!(place.count("select count(*) from unsealed").await, 1);
    assert_eq!(place.count("select count(*) from chunks where phases is null or hour > now()").await, 0);
}

/// Fills three hours, of twenty targets from two locations each: one in fragments, one of which there are the rows alone, and
/// one that was sealed before some of its records came.
async fn fill_three_kinds(place: &Place, hours: [Micros; 3]) {
    let of = |hour: Micros, second: i64| {
        (0..40).map(move |number: i64| {
            let at = Micros(hour.0 + second * SECOND + number * 7);
            let mut record = record_at(&format!("https://{}.test", number % 20), at);
            record["location"] = ["here", "there"][usize::from(number < 20)].into();
            record["response_time_ms"] = json!(number * 3 + second);
            record
        })
    };
    let [_, rows, sealed] = hours;
    let flush = place.flush();
    run(&flush, batch(0, &(0..5).flat_map(|second| of(sealed, second)).collect::<Vec<_>>())).await.unwrap();
    assert_eq!(history(place).await.0, 200);

    let admin = place.client().await;
    admin.batch_execute(&format!("select pg_advisory_lock({LOCK})")).await.unwrap();
    let values: Vec<_> = hours.iter().flat_map(|hour| (3..7).flat_map(|second| of(*hour, second))).collect();
    run(&flush, batch(1_000, &values)).await.unwrap();
    let without = "with gone as (delete from fragments where hour = $1) update unsealed set from_rows = true \
                   where span = 0 and starts_at = $1";
    assert_eq!(admin.execute(without, &[&rows]).await.unwrap(), 1);
    assert_eq!(place.count("select count(distinct hour) from fragments").await, 2);
    admin.batch_execute(&format!("select pg_advisory_unlock({LOCK})")).await.unwrap();
}

/// All that there is of history.
async fn all_history(place: &Place) -> Vec<String> {
    let all = "select chunks::text from chunks union all select summaries::text from summaries order by 1";
    place.client().await.query(all, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn what_is_read_and_sealed_in_parts_is_what_it_is_as_a_whole() {
    let (whole, parted) = (Place::new("sealing_whole").await, Place::new("sealing_parted").await);
    let hours = [24 * 70, 24 * 70 - 1, 24 * 70 - 2].map(hours_ago);
    fill_three_kinds(&whole, hours).await;
    fill_three_kinds(&parted, hours).await;
    let client = parted.client().await;

    // Each kind of hour has its share in the number of parts.
    for (hour, samples) in hours.into_iter().zip([160, 160, 360]) {
        let parts = open::parts(&client, Block(0), None, &[hour], 40).await.unwrap();
        assert_eq!(parts.len(), samples / 40 + 1);
        let targets: Vec<_> = parts.iter().flat_map(|part| part.targets.iter().flatten()).collect();
        assert_eq!((targets.len(), parts[0].hours.as_slice()), (4_096, [hour].as_slice()));
    }
    let by_location_and_minute = Split { by: By { location: true, ..By::default() }, bucket: Some(Bucket::Minute) };
    for (split, urls) in [
        (Split::default(), None),
        (by_location_and_minute, Some([3, 4, 9].map(|number| format!("https://{number}.test")))),
    ] {
        let figures = async |samples_at_a_time| {
            let query = HistoryQuery {
                urls: urls.as_ref().map(<[String; 3]>::as_slice),
                split,
                held: Some(None),
                samples_at_a_time,
                exact_probes: i64::MAX,
                ..HistoryQuery::default()
            };
            let targets = read(&client, &query).await.unwrap().targets.into_iter().map(|mut target| {
                let ranks = Vec::from_iter(1..=target.total.durations());
                let of_total = (target.id, target.total.counts.probes(), target.total.order_statistics(&ranks));
                let parts = target.parts.iter().map(|(part, tally)| (*part, tally.counts.probes(), tally.mean()));
                (of_total, parts.collect::<Vec<_>>(), format!("{:?}", target.held))
            });
            targets.collect::<Vec<_>>()
        };
        let as_a_whole = figures(i64::MAX).await;
        let expected = if urls.is_some() { 3 * 680 / 20 } else { 680 };
        assert_eq!(as_a_whole.iter().map(|((_, probes, _), ..)| probes).sum::<u64>(), expected);
        assert_eq!(as_a_whole, figures(40).await);
    }

    let steps = [(&whole, i64::MAX), (&parted, 40)].map(async |(place, at_a_time)| {
        let (client, now) = (place.client().await, timestamp::now().into());
        let sealing = Sealing { samples: at_a_time, summaries: at_a_time / 10, ..AT_ONCE };
        let mut sealed = Vec::new();
        while let Some(step) = step(&client, now, sealing).await.unwrap() {
            sealed.push(step);
        }
        sealed
    });
    let [of_whole, of_parted] = join_all(steps).await.try_into().unwrap();
    assert_eq!(of_whole, of_parted);
    assert_eq!(of_whole.iter().map(|sealed| sealed.probes).sum::<u64>(), 3 * 680);
    assert_eq!(all_history(&whole).await, all_history(&parted).await);
    assert_eq!(history(&parted).await, (680, 680, 680));
}

#[tokio::test]
async fn an_invocation_seals_what_is_closed() {
    let place = Place::new("sealing_invocation").await;

    run(&place.flush(), batch(0, &records(URL, hours_ago(5), 7))).await.unwrap();

    assert_eq!(history(&place).await.0, 7);
}

#[tokio::test]
async fn a_late_record_opens_its_hour_again_and_one_delivered_again_changes_nothing() {
    let place = Place::new("sealing_late").await;
    let mut client = place.client().await;
    let (flush, old) = (place.flush(), hours_ago(24 * 70));
    let mut all = records(URL, old, 10);
    run(&flush, batch(0, &all)).await.unwrap();
    seal_all(&mut client).await;
    // The rows are gone.
    client.batch_execute("delete from probes").await.unwrap();

    // One that is late, with the last one again.
    let late = record_at(URL, Micros(old.0 + 100 * SECOND));
    all.push(late.clone());
    assert_eq!(run(&flush, batch(9, &all[9..])).await.unwrap().received, 2);
    seal_all(&mut client).await;
    assert_eq!(history(&place).await, (11, 11, 11));

    client.batch_execute("delete from probes").await.unwrap();
    run(&flush, batch(0, &all)).await.unwrap();
    seal_all(&mut client).await;
    assert_eq!(history(&place).await, (11, 11, 11));
}

#[tokio::test]
async fn sealing_that_is_killed_leaves_all_or_nothing() {
    let place = Place::new("sealing_killed").await;
    let old = hours_ago(24 * 70);
    // Eight targets each hour, so that it is sealed in several parts.
    let of_hour = |hour: i64| {
        let at = Micros(old.0 + hour * 3_600 * SECOND);
        (0..8).flat_map(move |target| records(&format!("https://{target}.test"), at, 5))
    };
    let values: Vec<_> = (0..60).flat_map(of_hour).collect();
    let flush = place.flush();
    // Announced, and sealed by nobody yet.
    let admin = place.client().await;
    admin.batch_execute(&format!("select pg_advisory_lock({LOCK})")).await.unwrap();
    run(&flush, batch(0, &values)).await.unwrap();
    assert_eq!(history(&place).await, (0, 0, 0));
    admin.batch_execute(&format!("select pg_advisory_unlock({LOCK})")).await.unwrap();

    let (mut rng, mut broken) = (fastrand::Rng::with_seed(5), 0);
    let kill = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
                where datname = current_database() and application_name = 'victim'";
    for _ in 0..40 {
        let victim = place.client().await;
        victim.batch_execute("set application_name = 'victim'").await.unwrap();
        let sealing = async {
            loop {
                match seal_step(&victim).await {
                    Ok(Some(_)) => (),
                    Ok(None) => break 0,
                    Err(_) => break 1,
                }
            }
        };
        let killing = async {
            // At a random time: that is what is tested.
            tokio::time::sleep(Duration::from_micros(rng.u64(0..10_000))).await;
            place.count(kill).await
        };
        broken += futures::join!(sealing, killing).0;
        // Whatever was sealed is whole.
        let halves = "select count(*) from (select from chunks group by hour having sum(probes) <> 40) as half";
        assert_eq!(place.count(halves).await, 0);
    }
    seal_all(&mut place.client().await).await;

    assert!(broken > 10, "{broken}");
    assert_eq!(history(&place).await.0, 2_400);
    assert_eq!(place.count("select coalesce(sum(probes), 0)::bigint from summaries where span = 1").await, 2_400);
}

#[tokio::test]
async fn writers_into_an_hour_that_is_being_sealed_lose_nothing() {
    let place = Place::new("sealing_at_once").await;
    let old = hours_ago(30);
    // The schema is there before the sealer looks for it.
    run(&place.flush(), batch(-1, &[])).await.unwrap();
    let (writing, sealed, written) = (AtomicUsize::new(6), AtomicUsize::new(0), AtomicUsize::new(0));
    let writers = join_all((0..6).map(async |writer| {
        let flush = place.flush();
        let url = format!("https://{writer}.test");
        let mut part = 0;
        // Until the same hour was sealed several times meanwhile.
        while part < 15 || sealed.load(Ordering::Relaxed) < 3 {
            let from = Micros(old.0 + part % 180 * 20 * SECOND + part);
            let values = records(&url, from, 20);
            assert_eq!(run(&flush, batch(writer * 1_000_000 + part * 20, &values)).await.unwrap().stored, 20);
            written.fetch_add(20, Ordering::Relaxed);
            part += 1;
        }
        writing.fetch_sub(1, Ordering::Relaxed);
    }));
    let sealer = async {
        let client = place.client().await;
        while writing.load(Ordering::Relaxed) > 0 {
            if let Ok(Some(Sealed { span: Span::Hour, .. })) = seal_step(&client).await {
                sealed.fetch_add(1, Ordering::Relaxed);
            }
            tokio::task::yield_now().await;
        }
    };
    futures::join!(writers, sealer);

    seal_all(&mut place.client().await).await;
    assert_eq!(history(&place).await.0, written.into_inner() as i64);
}

#[tokio::test]
async fn sealing_that_takes_too_long_is_given_up_and_the_batch_is_stored() {
    let place = Place::new("sealing_long").await;
    let flush = place.flush();
    run(&flush, batch(0, &[])).await.unwrap();
    let admin = place.client().await;
    admin.batch_execute("begin; lock table chunks in exclusive mode").await.unwrap();

    // Half a minute; and not once more.
    let stored = run(&flush, batch(1, &records(URL, hours_ago(5), 3))).await.unwrap().stored;
    let again = tokio::time::timeout(Duration::from_secs(25), run(&flush, batch(10, &records(URL, hours_ago(5), 5))));
    let again = again.await.unwrap().unwrap().stored;

    assert_eq!((stored, again, history(&place).await.0), (3, 5, 0));
    admin.batch_execute("commit").await.unwrap();
    seal_all(&mut place.client().await).await;
    assert_eq!(history(&place).await.0, 8);
}

#[tokio::test]
async fn one_seals_at_a_time_and_the_others_go_on() {
    let place = Place::new("sealing_turns").await;
    let flush = place.flush();
    run(&flush, batch(0, &[])).await.unwrap();
    let other = place.client().await;
    other.batch_execute(&format!("select pg_advisory_lock({LOCK})")).await.unwrap();

    let summary = run(&flush, batch(1, &records(URL, hours_ago(5), 3))).await.unwrap();

    assert_eq!((summary.stored, history(&place).await.0), (3, 0));
    drop(other);
}

#[tokio::test]
async fn history_of_a_newer_release_is_refused_by_name_and_stops_no_batch() {
    let place = Place::new("sealing_newer").await;
    let mut client = place.client().await;
    let (flush, old) = (place.flush(), hours_ago(24 * 70));
    run(&flush, batch(0, &records(URL, old, 3))).await.unwrap();
    seal_all(&mut client).await;
    client.batch_execute("update chunks set samples = set_byte(samples, 0, 9)").await.unwrap();

    let late = [record_at(URL, Micros(old.0 + 50 * SECOND))];
    assert_eq!(run(&place.flush(), batch(10, &late)).await.unwrap().stored, 1);
    let error = seal_step(&client).await.unwrap_err().to_string();
    assert!(error.contains("a chunk is in version 9"), "{error}");
    let query = HistoryQuery { exact_probes: 0, ..HistoryQuery::default() };
    let error = read(&client, &query).await.err().unwrap().to_string();
    assert!(error.contains("a chunk is in version 9"), "{error}");
}

#[tokio::test]
async fn attempts_and_missed_slots_are_told_apart_wherever_they_are_read_from() {
    let place = Place::new("sealing_attempts").await;
    let client = place.client().await;
    let of = |instant: Micros| {
        let record = |second: i64, outcome: &str, more: Value| {
            let mut record = record_at(URL, Micros(instant.0 + second * SECOND));
            record["outcome"] = outcome.into();
            record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            record
        };
        let missed = json!({"http_status_code": null, "response_time_ms": null, "reason": "no time left"});
        vec![
            // A tenth of the interval is late, and less is not.
            record(
                0,
                "down",
                json!({"retried": true, "http_status_code": 503, "interval_ms": 60_000, "prober": {"late_ms": 6_000}}),
            ),
            record(1, "up", json!({"attempt": 2})),
            record(
                2,
                "down",
                json!({"http_status_code": 503, "interval_ms": 60_000, "prober": {"late_ms": 5_999.999}}),
            ),
            record(3, "missed", missed),
        ]
    };
    let flush = place.flush();
    let counts = async |exact_probes: i64| {
        let query = HistoryQuery { exact_probes, ..HistoryQuery::default() };
        let counts = read(&client, &query).await.unwrap().targets[0].total.counts;
        (counts.probes(), counts.responses(), counts.outcomes, counts.retried, counts.late)
    };

    run(&flush, batch(0, &of(Micros::from(timestamp::now())))).await.unwrap();
    // From fragments; from rows; from chunks; from summaries.
    assert_eq!(counts(i64::MAX).await, (3, 3, [1, 0, 1, 1], 1, 1));
    client.execute("update unsealed set from_rows = true where span = 0", &[]).await.unwrap();
    client.execute("delete from fragments", &[]).await.unwrap();
    assert_eq!(counts(i64::MAX).await, (3, 3, [1, 0, 1, 1], 1, 1));
    run(&flush, batch(4, &of(hours_ago(24 * 70)))).await.unwrap();
    while seal_step(&client).await.unwrap().is_some() {}
    assert_eq!(counts(i64::MAX).await, (6, 6, [2, 0, 2, 2], 2, 2));
    assert_eq!(counts(0).await, (6, 6, [2, 0, 2, 2], 2, 2));

    let rows = "select count(*) from probes where attempt < 0 or outcome = 3 and error_message = 'no time left'";
    assert_eq!(place.count(rows).await, 4);
    assert_eq!(place.count("select count(*) from url_probes").await, 6);
}
