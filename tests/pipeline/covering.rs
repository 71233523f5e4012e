//! Uptime by both definitions, coverage, quorums, the window before, and pages of targets: cases reckoned by hand.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use shared::{Micros, timestamp};
use stats::report::TargetStats;

use crate::{
    answering::{ask, at},
    serving::send,
    support::{Place, batch},
};

const URL: &str = "https://a.test";

/// A slot of a target that is probed every minute.
fn slot(time: &str, outcome: &str, more: Value) -> Value {
    let status = if outcome == "missed" { Value::Null } else { json!(200) };
    let mut record = json!({
        "url": URL, "timestamp": format!("2026-11-23T{time}Z"), "http_status_code": status, "outcome": outcome,
        "response_time_ms": if outcome == "missed" { Value::Null } else { json!(100) },
        "location": "eu", "interval_ms": 60_000
    });
    record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    record
}

async fn store(place: &Place, records: &[Value]) {
    let stored = flush::run(&place.flush(), batch(0, records)).await.unwrap();
    assert_eq!(stored.stored, records.len());
}

async fn one(place: &Place, query: &str, now: &str) -> TargetStats {
    let mut stats = ask(place, query, at(now)).await;
    assert_eq!(stats.len(), 1);
    stats.remove(0)
}

#[tokio::test]
async fn uptime_and_coverage_are_reckoned_from_slots_and_from_time() {
    let place = Place::new("covering_time").await;
    let records = [
        slot("12:00:00", "up", json!({})),
        slot("12:01:00", "down", json!({"retried": true})),
        slot("12:01:00", "down", json!({"attempt": 2})),
        slot("12:01:50", "degraded", json!({})),
        slot("12:04:00", "missed", json!({"reason": "no time left"})),
        slot("12:05:00", "up", json!({"prober": {"late_ms": 6_000}})),
    ];
    store(&place, &records).await;

    let entry = one(&place, "from=2026-11-23T12:00:00Z&to=2026-11-23T12:10:00Z", "13:00:00").await;
    // Up for 60 s, down for 50 s, degraded for a minute of more than three, up for a minute of five.
    let uptime = json!({"by_probes": 0.75, "by_time": 0.782_608, "up_seconds": 180.0, "down_seconds": 50.0});
    assert_eq!(json!(&entry.figures.uptime), uptime);
    let coverage = json!({"expected": 10, "observed": 4, "missed": 1, "late": 1, "share": 0.4});
    assert_eq!(json!(&entry.figures.coverage), coverage);
    assert_eq!(entry.interval_ms, Some(60_000));

    // The last one holds until the end of the window; a slot counts as soon as it begins.
    let entry = one(&place, "from=2026-11-23T12:00:00Z&to=2026-11-23T12:05:30Z", "13:00:00").await;
    let uptime = entry.figures.uptime.unwrap();
    assert_eq!((uptime.up_seconds, uptime.by_time), (Some(150.0), Some(0.75)));
    assert_eq!(entry.figures.coverage.unwrap().expected, Some(6));

    // And no longer than until the last full minute; slots are expected until then, and until the newest probe after it.
    let entry = one(&place, "from=2026-11-23T12:00:00Z&to=2026-11-23T23:00:00Z", "12:05:20").await;
    assert_eq!(entry.figures.uptime.unwrap().up_seconds, Some(120.0));
    assert_eq!(entry.figures.coverage.unwrap().expected, Some(6));
    // Where a window ends that ends now.
    let entry = one(&place, "window=5m", "12:05:20").await;
    assert_eq!((entry.from, entry.to), (Some(at("12:00:00")), Some(at("12:05:00"))));

    // A bucket is what its own window would be.
    let entry = one(&place, "from=2026-11-23T12:00:00Z&to=2026-11-23T12:15:00Z&bucket=5m", "13:00:00").await;
    let series = entry.series.unwrap();
    let [first, second, third] = [0, 1, 2].map(|index| &series[index].figures);
    let uptime = json!({"by_probes": 0.666_666, "by_time": 0.705_882, "up_seconds": 120.0, "down_seconds": 50.0});
    assert_eq!(json!(&first.uptime), uptime);
    assert_eq!(json!(&first.coverage), json!({"expected": 5, "observed": 3, "missed": 1, "late": 0, "share": 0.6}));
    assert_eq!(second.uptime.as_ref().unwrap().up_seconds, Some(60.0));
    assert_eq!(
        json!(&third.uptime),
        json!({"by_probes": null, "by_time": null, "up_seconds": 0.0, "down_seconds": 0.0})
    );
    assert_eq!(json!(&third.coverage), json!({"expected": 5, "observed": 0, "missed": 0, "late": 0, "share": 0.0}));
}

#[tokio::test]
async fn a_schedule_that_changes_counts_as_long_as_it_held_and_one_that_is_not_known_not_at_all() {
    let place = Place::new("covering_schedule").await;
    let flush = place.flush();
    let every = |time: &str, seconds: Option<u32>| {
        slot(time, "up", json!({"interval_ms": seconds.map(|seconds| seconds * 1_000)}))
    };
    // What was said first comes last, and several changes come in one batch.
    let batches = [
        vec![every("11:00:00", None), every("12:09:00", Some(60))],
        vec![every("12:10:00", Some(300)), every("12:15:00", Some(300)), every("12:20:00", Some(60))],
        vec![every("12:00:00", Some(60))],
    ];
    for (number, records) in (0..).zip(&batches) {
        flush::run(&flush, batch(number * 10, records)).await.unwrap();
    }
    // By an instance that knows nothing, all of it again.
    let flush = place.flush();
    for (number, records) in (0..).zip(&batches) {
        assert_eq!(flush::run(&flush, batch(number * 10, records)).await.unwrap().stored, 0);
    }

    // Ten of a minute, and two of five; the last verdict of the former holds for its own minute.
    let entry = one(&place, "from=2026-11-23T12:00:00Z&to=2026-11-23T12:20:00Z", "13:00:00").await;
    let coverage = entry.figures.coverage.unwrap();
    assert_eq!((coverage.expected, coverage.observed, entry.interval_ms), (Some(12), 4, Some(300_000)));
    assert_eq!(entry.figures.uptime.unwrap().up_seconds, Some(60.0 + 60.0 + 300.0 + 300.0));
    let entry = one(&place, "from=2026-11-23T12:00:00Z&to=2026-11-23T12:25:00Z&bucket=5m", "13:00:00").await;
    let expected: Vec<_> =
        entry.series.unwrap().iter().map(|bucket| bucket.figures.coverage.clone().unwrap().expected).collect();
    assert_eq!(expected, [Some(5), Some(5), Some(1), Some(1), Some(5)]);
    // A probe from before the schedule is known has nothing to hold for, and what was expected is not known.
    let entry = one(&place, "from=2026-11-23T11:00:00Z&to=2026-11-23T12:20:00Z", "13:00:00").await;
    let coverage = entry.figures.coverage.unwrap();
    assert_eq!((coverage.expected, coverage.late, coverage.share, coverage.observed), (None, None, None, 5));
    let uptime = entry.figures.uptime.unwrap();
    assert_eq!((uptime.by_probes, uptime.by_time), (Some(1.0), None));
}

#[tokio::test]
async fn a_quorum_of_the_locations_decides_when_a_target_is_down() {
    let place = Place::new("covering_quorum").await;
    let from = |location: &str, outcomes: [&str; 4]| -> Vec<Value> {
        let record = |(minute, outcome): (usize, &str)| {
            slot(&format!("12:{minute:02}:00"), outcome, json!({"location": location}))
        };
        outcomes.into_iter().enumerate().map(record).collect()
    };
    // Down in: none, one, two, three of three.
    let records = [
        from("eu", ["up", "down", "down", "down"]),
        from("us", ["up", "up", "down", "down"]),
        from("ap", ["up", "up", "up", "down"]),
    ];
    store(&place, &records.concat()).await;
    let window = "from=2026-11-23T12:00:00Z&to=2026-11-23T12:04:00Z";

    for (quorum, up) in [("1", 60.0), ("majority", 120.0), ("all", 180.0)] {
        let entry = one(&place, &format!("{window}&quorum={quorum}&by=location"), "13:00:00").await;
        let uptime = entry.figures.uptime.unwrap();
        assert_eq!((uptime.up_seconds, uptime.down_seconds), (Some(up), Some(240.0 - up)), "{quorum}");
        assert_eq!((uptime.quorum.as_deref(), uptime.by_probes), (Some(quorum), Some(0.5)));
        // Each location by itself has no quorum.
        let groups = entry.groups.unwrap();
        let alone: Vec<_> = groups.iter().map(|group| group.figures.uptime.clone().unwrap()).collect();
        assert!(alone.iter().all(|uptime| uptime.quorum.is_none()));
        assert_eq!(alone.iter().map(|uptime| uptime.up_seconds.unwrap()).collect::<Vec<_>>(), [180.0, 60.0, 120.0]);
        assert_eq!(groups[0].figures.coverage.as_ref().unwrap().expected, Some(4));
    }
    // A location that came later is expected from then on, and not before.
    let later = slot("12:03:30", "up", json!({"location": "sa"}));
    flush::run(&place.flush(), batch(100, &[later])).await.unwrap();
    let entry = one(&place, &format!("{window}&by=location&bucket=1m"), "13:00:00").await;
    assert_eq!(entry.figures.coverage.as_ref().unwrap().expected, Some(13));
    let group = entry.groups.unwrap().into_iter().find(|group| group.group["location"] == "sa").unwrap();
    assert_eq!(group.figures.coverage.unwrap().expected, Some(1));
    let expected: Vec<_> =
        group.series.unwrap().iter().map(|bucket| bucket.figures.coverage.clone().unwrap().expected).collect();
    assert_eq!(expected, [Some(0), Some(0), Some(0), Some(1)]);
    // Without one, times add up.
    let entry = one(&place, window, "13:00:00").await;
    let uptime = entry.figures.uptime.unwrap();
    assert_eq!((uptime.up_seconds, uptime.down_seconds, uptime.quorum), (Some(390.0), Some(360.0), None));
}

#[tokio::test]
async fn the_window_before_is_beside_the_window() {
    let place = Place::new("covering_previous").await;
    let records = [
        slot("09:59:59.999999", "down", json!({})),
        slot("10:00:00", "up", json!({"response_time_ms": 50, "location": "us"})),
        slot("10:59:59", "down", json!({})),
        slot("11:00:00", "up", json!({})),
        slot("12:00:00", "up", json!({})),
    ];
    store(&place, &records).await;

    for query in
        ["window=1h&compare=previous", "from=2026-11-23T11:00:00Z&to=2026-11-23T12:00:00Z&compare=previous&bucket=1h"]
    {
        let entry = one(&place, query, "12:00:00").await;
        let previous = entry.previous.unwrap();
        assert_eq!((entry.figures.probes, previous.figures.probes), (1, 2));
        assert_eq!((previous.from, previous.to), (Some(at("10:00:00")), Some(at("11:00:00"))));
        assert_eq!((entry.from, previous.figures.p50_ms), (Some(at("11:00:00")), Some(75.0)));
        assert_eq!(previous.figures.uptime.unwrap().by_probes, Some(0.5));
    }
    let entry = one(&place, "window=1h&compare=previous&by=location", "12:00:00").await;
    let groups = entry.groups.unwrap();
    // What was there only before is in no group now.
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0].previous.as_ref().unwrap().figures.probes, 1);
    // Nothing before is nothing.
    let entry = one(&place, "from=2026-11-23T09:00:00Z&to=2026-11-23T10:00:00Z&compare=previous", "12:00:00").await;
    assert_eq!(entry.previous, None);
}

#[tokio::test]
async fn pages_have_each_target_once_in_any_order() {
    let place = Place::new("covering_pages").await;
    let mut records = Vec::new();
    for number in 0..7 {
        let url = format!("https://{}.test", number % 4);
        let monitor = if number < 4 { Value::Null } else { json!(format!("m{number}")) };
        // Ties, and a target without any response.
        let more = if number == 5 {
            json!({"url": url, "monitor": monitor, "http_status_code": null, "outcome": "down"})
        } else {
            json!({"url": url, "monitor": monitor, "response_time_ms": 100 * (number % 3)})
        };
        records.push(slot(&format!("12:00:{number:02}"), "up", more));
    }
    store(&place, &records).await;
    let name =
        |entry: &Value| (entry["url"].as_str().unwrap().to_owned(), entry["monitor"].as_str().unwrap_or("").to_owned());

    for sort in ["url", "-url", "p95_ms", "-p95_ms", "probes", "-uptime", "down"] {
        let (_, all) = send(&place.stats(), "GET", &format!("/stats?sort={sort}")).await;
        let all: Vec<_> = all["stats"].as_array().unwrap().clone();
        assert_eq!(all.iter().map(name).collect::<BTreeSet<_>>().len(), 7);
        let (mut paged, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let (response, page) = send(&place.stats(), "GET", &format!("/stats?sort={sort}&limit=3{cursor}")).await;
            assert_eq!(response.status(), 200, "{page}");
            paged.extend(page["stats"].as_array().unwrap().clone());
            pages += 1;
            let Some(next) = page["next"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!((pages, &paged), (3, &all), "{sort}");
    }
    let (_, body) = send(&place.stats(), "GET", "/stats?sort=-p95_ms").await;
    let values: Vec<_> = body["stats"].as_array().unwrap().iter().map(|entry| entry["p95_ms"].as_f64()).collect();
    let expected = [Some(200.0), Some(100.0), Some(100.0), Some(0.0), Some(0.0), Some(0.0), None];
    assert_eq!(values, expected);
    let (_, body) = send(&place.stats(), "GET", "/stats?sort=-url&limit=1").await;
    assert_eq!(name(&body["stats"][0]), ("https://3.test".to_owned(), String::new()));
    // A cursor is of one order, and nothing of one's own.
    let next = body["next"].as_str().unwrap();
    for query in [format!("sort=url&cursor={next}"), "cursor=eyJhIjoxfQ".to_owned(), "cursor=%F0%9F%A6%80".to_owned()] {
        let (response, body) = send(&place.stats(), "GET", &format!("/stats?{query}")).await;
        assert_eq!((response.status().as_u16(), &body["errors"][0]["parameter"]), (400, &json!("cursor")), "{query}");
    }
}

#[tokio::test]
async fn missed_slot_starts_no_schedule() {
    let place = Place::new("covering_missed_first").await;
    let missed = |day: &str, location: &str| {
        let time = format!("{day}T00:00:00Z");
        slot("00:00:00", "missed", json!({"timestamp": time, "scheduled_at": time, "location": location}))
    };
    // As a console's sample event had it: before the first probe, and from a location without any other.
    let records = [
        missed("2000-01-01", "eu"),
        missed("2000-01-01", "us"),
        missed("2026-11-22", "eu"),
        slot("12:00:00", "up", json!({})),
        slot("12:01:00", "up", json!({})),
        slot("12:02:00", "missed", json!({})),
    ];
    store(&place, &records).await;
    store_again(&place, &records).await;

    for query in ["to=2026-11-23T12:10:00Z", "to=2026-11-23T12:10:00Z&by=location"] {
        let entry = one(&place, query, "13:00:00").await;
        let coverage = json!({"expected": 10, "observed": 2, "missed": 4, "late": 0, "share": 0.2});
        assert_eq!(json!(&entry.figures.coverage), coverage);
        assert_eq!(entry.figures.first_probe_at, Some("2000-01-01T00:00:00Z".parse().unwrap()));
    }
    assert_eq!(place.count("select count(*) from target_settings").await, 1);
}

/// Delivers a batch once more, to an instance that knows nothing.
async fn store_again(place: &Place, records: &[Value]) {
    assert_eq!(flush::run(&place.flush(), batch(0, records)).await.unwrap().stored, 0);
}

#[tokio::test]
async fn record_with_a_wrong_slot_or_clock_changes_no_schedule() {
    let place = Place::new("covering_misdated").await;
    let at = |time: &str| format!("2026-11-23T{time}Z");
    let ahead = Micros(Micros::from(timestamp::now()).0 + 8 * 60_000_000);
    let wrong = |time: &str, more: Value| {
        let mut record = slot(time, "up", json!({"interval_ms": 1_000, "tags": ["wrong"]}));
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        record
    };
    let records = [
        // A slot a moment before, late by less than a quarter of an hour, or by less than an interval.
        slot("12:00:00.5", "up", json!({"scheduled_at": at("12:00:00"), "tags": ["right"]})),
        slot("12:10:30", "up", json!({"scheduled_at": at("12:01:00"), "tags": ["right"]})),
        // Asked for by hand, with the event of another day, or one of a sample.
        wrong("12:02:00", json!({"scheduled_at": "1970-01-01T00:00:00Z", "tags": []})),
        wrong("12:03:00", json!({"scheduled_at": "2026-11-22T12:00:00Z", "tags": []})),
        wrong("12:04:00", json!({"scheduled_at": "2026-11-24T12:00:00Z", "tags": []})),
        // By a clock that is minutes ahead.
        wrong(
            "12:06:00",
            json!({"timestamp": timestamp::format(ahead.timestamp()), "certificate_expires_at": "2031-01-01T00:00:00Z"}),
        ),
    ];
    store(&place, &records).await;
    // By a clock that was never set: flush rejects the record.
    let unset = wrong("12:05:00", json!({"timestamp": "1970-01-01T00:00:10Z", "scheduled_at": "1970-01-01T00:00:10Z"}));
    let summary = flush::run(&place.flush(), batch(20, &[unset])).await.unwrap();
    assert_eq!((summary.stored, summary.rejected), (0, 1));
    let all = one(&place, "to=2026-11-23T12:20:00Z", "13:00:00").await.figures.coverage.unwrap();
    assert_eq!((all.expected, all.observed), (Some(20), 5));

    let entry = one(&place, "from=2026-11-23T12:00:00Z&to=2026-11-23T12:20:00Z", "13:00:00").await;
    let coverage = entry.figures.coverage.unwrap();
    assert_eq!((coverage.expected, coverage.observed, entry.interval_ms), (Some(20), 5, Some(60_000)));
    assert_eq!(entry.tags, ["right"]);
    assert_eq!(place.count("select count(*) from target_settings").await, 1);
    assert_eq!(place.count("select count(*) from certificates").await, 0);
    // A slot of a long interval may be as late as that.
    let daily = slot(
        "14:00:00",
        "up",
        json!({"url": "https://daily.test", "interval_ms": 86_400_000, "scheduled_at": at("02:00:00")}),
    );
    flush::run(&place.flush(), batch(10, &[daily])).await.unwrap();
    let since = "select count(*) from target_settings where interval_ms = 86400000 and since = '2026-11-23T02:00:00Z'";
    assert_eq!(place.count(since).await, 1);
}

#[tokio::test]
async fn probe_by_hand_makes_its_tags_known_and_changes_no_schedule() {
    let place = Place::new("covering_by_hand").await;
    let by_hand = |time: &str, more: Value| {
        let mut record = slot(time, "up", json!({"interval_ms": null}));
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        record
    };
    let found = async |tag: &str| ask(&place, &format!("tag={tag}"), at("13:00:00")).await.len();
    // Without any schedule.
    store(&place, &[by_hand("11:00:00", json!({"url": "https://hand.test", "tags": ["hand"]}))]).await;
    assert_eq!(found("hand").await, 1);
    let entry = ask(&place, "url=https://hand.test", at("13:00:00")).await.remove(0);
    assert_eq!((entry.interval_ms, entry.figures.coverage.unwrap().expected), (None, None));

    // Beside one, what is newer counts, and the schedule goes on as it was.
    let records = [
        slot("12:00:00", "up", json!({"tags": ["a"]})),
        by_hand("12:00:30", json!({"tags": ["b"]})),
        by_hand("12:00:40", json!({"tags": []})),
    ];
    flush::run(&place.flush(), batch(10, &records)).await.unwrap();
    assert_eq!((found("a").await, found("b").await), (0, 1));
    let entry = one(&place, &format!("url={URL}&from=2026-11-23T12:00:00Z&to=2026-11-23T12:10:00Z"), "13:00:00").await;
    let coverage = entry.figures.coverage.unwrap();
    assert_eq!((coverage.expected, entry.interval_ms), (Some(10), Some(60_000)));
    assert_eq!(entry.figures.uptime.unwrap().up_seconds, Some(100.0));
    // The schedule says its own again; what came late says nothing.
    let flush = place.flush();
    flush::run(&flush, batch(20, &[slot("12:01:00", "up", json!({"tags": ["a"]}))])).await.unwrap();
    flush::run(&flush, batch(30, &[by_hand("12:00:10", json!({"tags": ["late"]}))])).await.unwrap();
    assert_eq!((found("a").await, found("b").await, found("late").await), (1, 0, 0));
}
