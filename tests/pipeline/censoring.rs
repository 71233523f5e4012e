//! Percentiles where some requests timed out, and those of phases.

use serde_json::{Value, json};
use shared::Micros;
use stats::{
    estimate::Intervals,
    figures::{Figures, Population},
    history::{HistoryQuery, read},
    report::GroupStats,
};

use crate::{
    answering::{ask, at},
    support::{Place, batch, hours_ago, record_at, seal_step},
};

const URL: &str = "https://a.test";

/// Eight responses of 100 ms to 800 ms, and two timeouts after 500 ms and 1000 ms.
fn records(first: Micros) -> Vec<Value> {
    let at = |second: i64| Micros(first.0 + second * 1_000_000);
    let mut records: Vec<_> = (1..=8)
        .map(|number: i32| {
            let mut record = record_at(URL, at(number.into()));
            record["response_time_ms"] = json!(number * 100);
            record
        })
        .collect();
    for (second, ms) in [(9, 500), (10, 1_000)] {
        let mut record = record_at(URL, at(second));
        record["http_status_code"] = Value::Null;
        record["response_time_ms"] = json!(ms);
        record["error"] = json!({"kind": "timeout", "message": ""});
        records.push(record);
    }
    // Refused at once, which says nothing of how long it would have taken.
    let mut refused = record_at(URL, at(11));
    refused["http_status_code"] = Value::Null;
    refused["error"] = json!({"kind": "connect", "message": ""});
    records.push(refused);
    records
}

#[tokio::test]
async fn a_percentile_among_timeouts_is_at_least_something() {
    let place = Place::new("censoring_timeouts").await;
    run(&place, &records(hours_ago(24 * 70))).await;

    // In order with the timeouts: 100 200 300 400 500 500* 600 700 800 1000*.
    let expected = [
        // Rank 2.25, below every timeout.
        (25.0, Some(325.0), None),
        // Rank 4.05: between 500 and the one that took at least 500.
        (45.0, None, Some(500.0)),
        (50.0, None, Some(500.0)),
        // Rank 8.55: 800 + 0.55 · 200.
        (95.0, None, Some(910.0)),
    ];
    let entry = ask(&place, "percentiles=25,45,50,95", at("12:00:00")).await.remove(0);
    assert_eq!((entry.figures.population_size, entry.figures.timeouts, entry.figures.failures), (8, 2, 3));
    assert_eq!((entry.figures.p50_ms, entry.figures.max_ms), (Some(450.0), Some(800.0)));
    for (found, (percentile, known, at_least)) in entry.figures.percentiles.iter().zip(expected) {
        let found = (found.percentile, found.with_timeouts_ms, found.at_least_ms);
        assert_eq!(found, (percentile, known, at_least));
    }

    // From the histograms of days, within their bound; what is said to be at least is so for certain.
    let client = place.client().await;
    while seal_step(&client).await.unwrap().is_some() {}
    let query = HistoryQuery { exact_probes: -1, ..HistoryQuery::default() };
    let history = read(&client, &query).await.unwrap().targets.remove(0);
    let wanted = expected.map(|(percentile, ..)| percentile);
    let figures = Figures::new(history.total, Population::Responses, &wanted, &mut Intervals::default());
    assert_eq!((figures.exact, figures.timeouts), (false, 2));
    for (found, (_, known, at_least)) in figures.percentiles.iter().zip(expected) {
        assert_eq!(
            (found.with_timeouts_ms.is_some(), found.at_least_ms.is_some()),
            (known.is_some(), at_least.is_some())
        );
        let (found, expected) = (found.with_timeouts_ms.or(found.at_least_ms).unwrap(), known.or(at_least).unwrap());
        assert!((found - expected).abs() <= expected / 64.0, "{found}, not {expected}");
        assert!(known.is_some() || found <= expected, "{found}, but {expected} is all that is known");
    }
}

#[tokio::test]
async fn where_nothing_but_timeouts_is_known_it_is_at_least_that() {
    let place = Place::new("censoring_nothing").await;
    run(&place, &records(hours_ago(2))[8..]).await;

    let entry = ask(&place, "percentiles=50", shared::timestamp::now()).await.remove(0);

    let percentile = &entry.figures.percentiles[0];
    assert_eq!((percentile.ms, percentile.with_timeouts_ms, percentile.at_least_ms), (None, None, Some(750.0)));
    assert!(percentile.insufficient);
}

#[tokio::test]
async fn phases_are_groups_of_their_own_population() {
    let place = Place::new("censoring_phases").await;
    let first = hours_ago(24 * 70);
    let record = |second: i64, location: &str, dns: Value, download: i64| {
        let mut record = record_at(URL, Micros(first.0 + second * 1_000_000));
        record["location"] = json!(location);
        record["phases"] = json!({"dns": dns, "download": download});
        record
    };
    // The last one timed out while it was downloaded, before there was a status of it.
    let mut timed_out = record(3, "us", json!(5), 100);
    timed_out["http_status_code"] = Value::Null;
    timed_out["error"] = json!({"kind": "timeout", "message": ""});
    let records = [record(1, "eu", json!(1), 10), record(2, "eu", Value::Null, 30), timed_out];
    run(&place, &records).await;
    let client = place.client().await;

    // From fragments, then from chunks.
    for _ in 0..2 {
        let entry = ask(&place, "by=phase", at("12:00:00")).await.remove(0);
        assert_eq!((entry.figures.probes, entry.figures.p50_ms), (3, Some(12.5)));
        let groups = entry.groups.unwrap();
        let found: Vec<_> = groups
            .iter()
            .map(|group| (group.group["phase"].as_str(), group.figures.population_size, group.figures.p50_ms))
            .collect();
        let nothing = |phase| (phase, 0, None);
        let expected = [
            nothing("connect"),
            ("dns", 2, Some(3.0)),
            ("download", 3, Some(30.0)),
            nothing("first_byte"),
            nothing("tls"),
        ];
        assert_eq!(found, expected);
        let is_known = |group: &GroupStats| {
            let Figures { population, probes, timeouts, percentiles, .. } = &group.figures;
            let censored = percentiles.iter().any(|found| found.with_timeouts_ms.or(found.at_least_ms).is_some());
            (*population, *probes, *timeouts, censored) == (Population::Phase, 3, 1, false)
        };
        assert!(groups.iter().all(is_known), "{groups:?}");

        let entry = ask(&place, "by=location,phase&bucket=1d", at("12:00:00")).await.remove(0);
        let us = entry
            .groups
            .unwrap()
            .into_iter()
            .find(|group| group.group["location"] == "us" && group.group["phase"] == "download");
        let us = us.unwrap();
        assert_eq!((us.figures.population_size, us.figures.p50_ms), (1, Some(100.0)));
        assert_eq!(us.series.unwrap()[0].figures.p50_ms, Some(100.0));
        while seal_step(&client).await.unwrap().is_some() {}
    }
}

async fn run(place: &Place, records: &[Value]) {
    flush::run(&place.flush(), batch(0, records)).await.unwrap();
}
