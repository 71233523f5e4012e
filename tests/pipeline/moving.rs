//! Monitors that change their URL, tags, interval and location: each stays one target, and every figure is that of its rows.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use fastrand::Rng;
use flush::{Flush, run};
use futures::future::join_all;
use serde_json::{Value, json};
use shared::{Micros, Span, timestamp};
use stats::{
    Stats,
    history::{HistoryQuery, read},
};
use tokio_postgres::{Client, Row};

use crate::{
    overviewing::get,
    serving::{request, text},
    support::{Place, hours_ago, seal_step},
};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const OLD: &str = "https://old.test/";
const NEW: &str = "https://new.test/";

/// A table with each record once.
const TRUTH: &str = "create table truth (url text, monitor text, location text, at timestamptz, status int, outcome text, \
                     retried boolean, response_time float8, interval_ms int)";

fn instant(at: i64) -> String {
    timestamp::format(Micros(at).timestamp())
}

/// A record of a slot.
fn slot(url: &str, monitor: Option<&str>, location: &str, interval: i64, at: i64, more: Value) -> Value {
    let mut record = json!({
        "url": url, "monitor": monitor, "location": location, "timestamp": instant(at), "scheduled_at": instant(at),
        "http_status_code": 200, "response_time_ms": 50 + at / SECOND % 97, "outcome": "up", "interval_ms": interval / 1_000
    });
    record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    record
}

/// A batch, with the place of each record in the topic.
fn event(records: &[(usize, Value)]) -> Value {
    let record = |(offset, value): &(usize, Value)| json!({"topic": "t", "partition": 0, "offset": offset, "value": BASE64_STANDARD.encode(value.to_string())});
    json!({"records": {"t-0": records.iter().map(record).collect::<Vec<_>>()}})
}

async fn tell(client: &Client, records: &[Value]) {
    let insert = "insert into truth select r->>'url', coalesce(r->>'monitor', ''), r->>'location', \
                  (r->>'timestamp')::timestamptz, (r->>'http_status_code')::int, r->>'outcome', \
                  coalesce((r->>'retried')::boolean, false), (r->>'response_time_ms')::float8, (r->>'interval_ms')::int \
                  from jsonb_array_elements($1::text::jsonb) as r";
    client.execute(insert, &[&json!(records).to_string()]).await.unwrap();
}

/// Rows of the truth that the view does not have as they are, and the other way round.
async fn wrong_rows(place: &Place) -> i64 {
    let truth = "select url, at at time zone 'UTC', status, case when status is not null then response_time end \
                 from truth where outcome <> 'missed'";
    let view = "select url, timestamp, http_status_code, response_time_ms from url_probes";
    let query =
        format!("select count(*) from (({truth} except all {view}) union all ({view} except all {truth})) as wrong");
    place.count(&query).await
}

/// The life of a monitor, with failures of each kind, and two other targets of its first URL.
struct Life {
    start: i64,
    change: i64,
    end: i64,
}

impl Life {
    fn new() -> Self {
        let start = hours_ago(50).0;
        Self { start, change: start + 30 * HOUR + 17 * MINUTE, end: hours_ago(1).0 }
    }

    fn records(&self) -> Vec<Value> {
        let mut records = Vec::new();
        let mut add = |url: &str, location: &str, interval: i64, tags: &[&str], from: i64, to: i64| {
            for (number, at) in (0..).zip((from..to).step_by(usize::try_from(interval).unwrap())) {
                let slot = |at: i64, mut more: Value| {
                    more["tags"] = json!(tags);
                    slot(url, Some("shop"), location, interval, at, more)
                };
                let failed = json!({"http_status_code": 503, "outcome": "down", "error": {"kind": "assertion", "message": "503"}});
                let timeout = json!({
                    "http_status_code": null, "response_time_ms": 10_000, "outcome": "down",
                    "error": {"kind": "timeout", "message": "no response"}
                });
                match number % 53 {
                    3 => {
                        let mut first = failed.clone();
                        first["retried"] = json!(true);
                        records.push(slot(at, first));
                        records.push(slot(at + 2 * SECOND, json!({"attempt": 2, "scheduled_at": instant(at)})));
                    }
                    11 => records.push(slot(at, failed)),
                    17 => records.push(slot(at, timeout)),
                    23 => records.push(slot(at, json!({"outcome": "degraded", "response_time_ms": 2_500}))),
                    31 => records.push(slot(
                        at,
                        json!({
                            "http_status_code": null, "response_time_ms": null, "outcome": "missed", "reason": "no time left"
                        }),
                    )),
                    _ => records.push(slot(at, json!({}))),
                }
            }
        };
        add(OLD, "eu", MINUTE, &["old"], self.start, self.change);
        add(NEW, "us", 5 * MINUTE, &["new"], self.change, self.end);
        for at in (self.start..self.end).step_by(usize::try_from(10 * MINUTE).unwrap()) {
            records.push(slot(OLD, Some("mirror"), "eu", 10 * MINUTE, at, json!({})));
            records.push(slot(
                OLD,
                None,
                "eu",
                10 * MINUTE,
                at + 7 * SECOND,
                json!({"http_status_code": 404, "outcome": "down"}),
            ));
        }
        records
    }

    /// The slots of a target in its time: a location that is no longer probed from is still expected.
    fn expected(&self, monitor: &str) -> i64 {
        match monitor {
            "shop" => (self.end - self.start) / MINUTE + (self.end - self.change + 5 * MINUTE - 1) / (5 * MINUTE),
            _ => (self.end - self.start) / (10 * MINUTE),
        }
    }
}

/// The figures of truth, by monitor and something else.
fn figures(by: &str) -> String {
    format!(
        "select monitor, {by}::text, count(*) filter (where outcome <> 'missed'), count(status), \
         count(*) filter (where outcome = 'up' and not retried), count(*) filter (where outcome = 'degraded' and not retried), \
         count(*) filter (where outcome = 'down' and not retried), count(*) filter (where outcome = 'missed'), \
         count(*) filter (where retried), \
         percentile_cont(array[0.5, 0.95, 0.99]) within group (order by case when status is not null then response_time end), \
         (min(response_time) filter (where status is not null))::float8, \
         (max(response_time) filter (where status is not null))::float8 \
         from truth where at >= $1 and at < $2 group by 1, 2 order by 1, 2"
    )
}

fn compare(found: &Value, row: &Row) {
    let context = format!("{row:?}: {found:#}");
    for (column, name) in (2..).zip(["probes", "responses", "up", "degraded", "down", "missed", "retried"]) {
        assert_eq!(found[name].as_i64(), Some(row.get::<_, i64>(column)), "{name} of {context}");
    }
    let percentiles: Option<Vec<f64>> = row.get(9);
    for (index, name) in ["p50_ms", "p95_ms", "p99_ms"].into_iter().enumerate() {
        let expected = percentiles.as_ref().map(|percentiles| percentiles[index]);
        let is_near = match (found[name].as_f64(), expected) {
            (Some(found), Some(expected)) => (found - expected).abs() < 1e-3,
            (found, expected) => found == expected,
        };
        assert!(is_near, "{name} is not {expected:?}: {context}");
    }
    for (column, name) in [(10, "min_ms"), (11, "max_ms")] {
        assert_eq!(found[name].as_f64(), row.get::<_, Option<f64>>(column), "{name} of {context}");
    }
}

/// Cut to six digits.
fn share(part: i64, whole: i64) -> f64 {
    (part * 1_000_000 / whole) as f64 / 1e6
}

/// Compares every figure of an answer with the truth.
async fn check_stats(place: &Place, client: &Client, life: &Life) {
    let stats = place.stats();
    let (from, to) = (Micros(life.start), Micros(life.end));
    let window = format!("from={}&to={}", instant(life.start), instant(life.end));
    for (query, by) in [
        ("", "''"),
        ("&by=location", "location"),
        ("&by=outcome", "outcome"),
        ("&by=status", "case when status is null then 'none' else status / 100 || 'xx' end"),
        ("&bucket=1h", "extract(epoch from date_trunc('hour', at, 'UTC'))::bigint"),
    ] {
        let answer = get(&stats, &format!("/stats?{window}{query}")).await;
        let entries = answer["stats"].as_array().unwrap();
        assert_eq!(entries.len(), 3, "{answer:#}");
        for row in client.query(&figures(by), &[&from, &to]).await.unwrap() {
            let (monitor, group): (&str, &str) = (row.get(0), row.get(1));
            let entry = entries.iter().find(|entry| entry["monitor"].as_str().unwrap_or("") == monitor).unwrap();
            let parts = if query.starts_with("&by") { "groups" } else { "series" };
            let is_part = |part: &&Value| match part["group"].as_object() {
                Some(names) => names.values().all(|name| name == group),
                None => {
                    let start = part["bucket"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
                    start.as_second().to_string() == group
                }
            };
            let found =
                if query.is_empty() { Some(entry) } else { entry[parts].as_array().unwrap().iter().find(is_part) };
            compare(found.unwrap_or_else(|| panic!("no {group} of {monitor}: {entry:#}")), &row);
            if query.is_empty() {
                let [up, degraded, down] = [4, 5, 6].map(|column| row.get::<_, i64>(column));
                assert_eq!(entry["uptime"]["by_probes"], json!(share(up + degraded, up + degraded + down)));
                assert_eq!(entry["coverage"]["expected"], json!(life.expected(monitor)), "{monitor}");
                assert_eq!(entry["coverage"]["observed"], json!(up + degraded + down));
                check_time(client, entry, life).await;
            }
        }
    }
    let entry = &get(&stats, &format!("/stats?{window}&monitor=shop")).await["stats"][0];
    assert_eq!((&entry["url"], &entry["tags"]), (&json!(NEW), &json!(["new"])));
    let urls = json!([{"url": OLD, "since": instant(life.start)}, {"url": NEW, "since": instant(life.change)}]);
    assert_eq!(entry["urls"], urls);
    // From histograms, the counts are the same.
    let query = HistoryQuery { from: Some(from), to: Some(to), exact_probes: -1, ..HistoryQuery::default() };
    let counted: u64 = read(client, &query).await.unwrap().targets.iter().map(|one| one.total.counts.probes()).sum();
    let probes = place.count("select count(*) from truth where outcome <> 'missed'").await;
    assert_eq!(i64::try_from(counted).unwrap(), probes);
}

/// Compares uptime by time.
async fn check_time(client: &Client, entry: &Value, life: &Life) {
    let held = "select coalesce(sum(held) filter (where outcome <> 'down'), 0)::float8, \
                coalesce(sum(held) filter (where outcome = 'down'), 0)::float8 from ( \
                select outcome, extract(epoch from least(coalesce(lead(at) over (partition by location order by at), $2), \
                at + interval_ms * interval '1 millisecond') - at) as held \
                from truth where monitor = $1 and outcome <> 'missed' and not retried) as holds";
    let monitor = entry["monitor"].as_str().unwrap_or("");
    let row = client.query_one(held, &[&monitor, &Micros(life.end)]).await.unwrap();
    for (column, name) in ["up_seconds", "down_seconds"].into_iter().enumerate() {
        let (found, expected) = (entry["uptime"][name].as_f64().unwrap(), row.get::<_, f64>(column));
        assert!((found - expected).abs() < 1e-3, "{name} of {monitor:?} is {found}, not {expected}");
    }
}

/// Compares the overview, the badge, the failures and the view with the truth.
async fn check_others(place: &Place, client: &Client, life: &Life) {
    let stats = place.stats();
    let overview = get(&stats, "/overview").await;
    let targets = overview["targets"].as_array().unwrap();
    assert_eq!(targets.len(), 3, "{overview:#}");
    for target in targets {
        for window in target["windows"].as_array().unwrap() {
            let [from, to] = ["from", "to"]
                .map(|end| Micros::from(window[end].as_str().unwrap().parse::<jiff::Timestamp>().unwrap()));
            let rows = client.query(&figures("''"), &[&from, &to]).await.unwrap();
            let monitor = target["monitor"].as_str().unwrap_or("");
            let row = rows.iter().find(|row| row.get::<_, &str>(0) == monitor).unwrap();
            for (column, name) in [(2, "probes"), (4, "up"), (5, "degraded"), (6, "down"), (7, "missed")] {
                assert_eq!(window[name].as_i64(), Some(row.get(column)), "{name} of {monitor}: {window:#}");
            }
            if window["window"] == "24h" {
                let percentiles: Vec<f64> = row.get(9);
                for (found, expected) in target["latency"]["percentiles"].as_array().unwrap().iter().zip(percentiles) {
                    assert!((found["ms"].as_f64().unwrap() - expected).abs() < 1e-3, "{target:#}");
                }
            }
        }
    }
    let shop = targets.iter().find(|target| target["monitor"] == "shop").unwrap();
    assert_eq!(
        (&shop["url"], &shop["tags"], shop["urls"].as_array().unwrap().len()),
        (&json!(NEW), &json!(["new"]), 2)
    );

    let query = figures("''").replace("where at", "where monitor = 'shop' and at");
    let row = client.query_one(&query, &[&Micros(life.start), &Micros(life.end)]).await.unwrap();
    let [up, degraded, down] = [4, 5, 6].map(|column| row.get::<_, i64>(column));
    let badge = request(&stats, "GET", "/badge.svg?monitor=shop", &[]).await;
    let percent = (share(up + degraded, up + degraded + down) * 1e4).floor() / 100.0;
    assert!(text(&badge).contains(&format!(">{percent} %<")), "{percent}: {}", text(&badge));

    let failures = get(&stats, "/failures?monitor=shop&window=30d&limit=200").await;
    let failures = failures["failures"].as_array().unwrap();
    let named = |failure: &Value| {
        (failure["probed_at"].as_str().unwrap().to_owned(), failure["url"].as_str().unwrap().to_owned())
    };
    let truth =
        "select at, url from truth where monitor = 'shop' and outcome in ('down', 'missed') order by at desc limit 200";
    let expected = client.query(truth, &[]).await.unwrap();
    let expected: Vec<_> =
        expected.iter().map(|row| (instant(row.get::<_, Micros>(0).0), row.get::<_, String>(1))).collect();
    assert_eq!(failures.iter().map(named).collect::<Vec<_>>(), expected);
    assert!(expected.iter().any(|(_, url)| url == OLD) && expected.iter().any(|(_, url)| url == NEW));

    assert_eq!(wrong_rows(place).await, 0);
}

#[tokio::test]
async fn monitor_that_changes_everything_stays_one_target_with_the_figures_of_its_rows() {
    let place = Place::new("moving_life").await;
    let (client, life) = (place.client().await, Life::new());
    client.batch_execute(TRUTH).await.unwrap();
    let records = life.records();
    tell(&client, &records).await;
    let records: Vec<_> = records.into_iter().enumerate().collect();
    let flush = place.flush();
    for part in records.chunks(700) {
        run(&flush, event(part)).await.unwrap();
    }
    assert_eq!(place.count("select count(*) from targets").await, 3);
    check_stats(&place, &client, &life).await;
    check_others(&place, &client, &life).await;

    // Sealed by the hour, delivered again, and sealed by the day.
    while seal_step(&client).await.unwrap().is_some_and(|sealed| sealed.span == Span::Hour) {}
    assert!(place.count("select count(*) from chunks").await > 100);
    check_stats(&place, &client, &life).await;
    check_others(&place, &client, &life).await;
    for part in records.chunks(900) {
        assert_eq!(run(&place.flush(), event(part)).await.unwrap().stored, 0);
    }
    while seal_step(&client).await.unwrap().is_some() {}
    assert!(place.count("select count(*) from summaries where span = 1").await > 0);
    check_stats(&place, &client, &life).await;
    check_others(&place, &client, &life).await;
}

#[tokio::test]
async fn url_selects_monitors_that_have_it_now_or_had_it_in_the_window() {
    let place = Place::new("moving_selected").await;
    let life = Life::new();
    let records: Vec<_> = life.records().into_iter().enumerate().collect();
    run(&place.flush(), event(&records)).await.unwrap();
    let stats = place.stats();
    let monitors = async |stats: &Stats, query: &str| -> Vec<String> {
        let answer = get(stats, &format!("/stats?{query}")).await;
        let name = |entry: &Value| entry["monitor"].as_str().unwrap_or("").to_owned();
        let mut names: Vec<_> = answer["stats"].as_array().unwrap().iter().map(name).collect();
        names.sort();
        names
    };
    let before = format!("from={}&to={}", instant(life.start), instant(life.change));
    let after = format!("from={}&to={}", instant(life.change), instant(life.end));

    assert_eq!(monitors(&stats, &format!("url={OLD}&{before}")).await, ["", "mirror", "shop"]);
    assert_eq!(monitors(&stats, &format!("url={OLD}&{after}")).await, ["", "mirror"]);
    assert_eq!(monitors(&stats, &format!("url={OLD}")).await, ["", "mirror", "shop"]);
    // What is shown can be asked for, whichever the window is.
    for window in [&before, &after] {
        assert_eq!(monitors(&stats, &format!("url={NEW}&{window}")).await, ["shop"]);
    }
    // The part of one URL is all of the target's, and says so; the window before is of the same targets.
    let answer = get(&stats, &format!("/stats?url={NEW}&{before}")).await;
    assert_eq!(answer["stats"][0]["urls"], json!([{"url": OLD, "since": instant(life.start)}]));
    assert_eq!(answer["stats"][0]["url"], NEW);
    let answer = get(&stats, &format!("/stats?url={NEW}&{after}&compare=previous")).await;
    assert!(answer["stats"][0]["previous"]["probes"].as_i64().unwrap() > 100, "{answer:#}");
    assert_eq!(answer["stats"][0].get("urls"), None);
    let overview = get(&stats, &format!("/overview?url={OLD}")).await;
    let shop = overview["targets"].as_array().unwrap().iter().find(|target| target["monitor"] == "shop").unwrap();
    assert!(shop["windows"][0]["probes"].as_i64().unwrap() > 0, "{shop:#}");
    // The badge of the monitor goes on; that of its former URL is about several targets.
    let badge = request(&stats, "GET", "/badge.svg?monitor=shop", &[]).await;
    assert_eq!(badge.status(), 200);
    // Pages have each target once.
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = get(&stats, &format!("/stats?limit=1{cursor}")).await;
        seen.push(page["stats"][0]["url"].as_str().unwrap().to_owned());
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, [NEW, OLD, OLD]);
}

/// A monitor whose URL changes and changes back, from two places that are deployed one after the other.
fn flips(now: i64) -> Vec<Value> {
    let start = now - 10 * HOUR;
    let third = "https://third.test/";
    let mut records = Vec::new();
    for (location, behind) in [("eu", 0), ("us", 7)] {
        for minute in 0..60 {
            let url = match minute - behind {
                ..12 => OLD,
                12..20 => NEW,
                20..31 => OLD,
                31..33 => third,
                33..45 => NEW,
                _ => third,
            };
            records.push(slot(url, Some("shop"), location, MINUTE, start + minute * MINUTE, json!({})));
        }
    }
    records
}

#[tokio::test]
async fn rows_have_the_url_of_their_time_in_whatever_order_they_come_and_through_whichever_instance() {
    for seed in 0..8 {
        let place = Place::new(&format!("moving_order_{seed}")).await;
        let (client, mut rng) = (place.client().await, Rng::with_seed(seed));
        client.batch_execute(TRUTH).await.unwrap();
        let records = flips(Micros::from(timestamp::now()).0);
        tell(&client, &records).await;
        let mut records: Vec<_> = records.into_iter().enumerate().collect();
        // By URL, as the topic has them; by time; or in no order.
        match seed % 3 {
            0 => records.sort_by_key(|(number, record)| (record["url"].as_str().unwrap().len() * 7 % 5, *number)),
            1 => records.sort_by_key(|(_, record)| record["timestamp"].as_str().unwrap().to_owned()),
            _ => rng.shuffle(&mut records),
        }
        let mut batches: Vec<Vec<_>> = Vec::new();
        while !records.is_empty() {
            let rest = records.split_off(records.len().min(rng.usize(1..20)));
            batches.push(std::mem::replace(&mut records, rest));
        }
        let again = (0..5).map(|_| batches[rng.usize(..batches.len())].clone()).collect::<Vec<_>>();
        batches.extend(again);
        let instances: Vec<Flush> = (0..3).map(|_| place.flush()).collect();
        if seed < 3 {
            for batch in &batches {
                run(&instances[rng.usize(..3)], event(batch)).await.unwrap();
            }
        } else {
            let shares = instances.iter().enumerate().map(async |(number, instance)| {
                for batch in batches.iter().skip(number).step_by(instances.len()) {
                    run(instance, event(batch)).await.unwrap();
                }
            });
            join_all(shares).await;
        }

        assert_eq!(wrong_rows(&place).await, 0, "seed {seed}");
        assert_eq!(place.count("select count(*) from targets where url = 'https://third.test/'").await, 1);
        assert_eq!(place.count("select count(*) from targets").await, 1);
        assert_eq!(place.count("select count(*) from probes").await, 120);
    }
}

#[tokio::test]
async fn record_of_a_clock_that_is_wrong_does_not_pin_the_url() {
    let place = Place::new("moving_misdated").await;
    let now = Micros::from(timestamp::now()).0;
    let slot = |url: &str, at: i64| slot(url, Some("shop"), "eu", MINUTE, at, json!({}));
    let ahead = slot("https://ahead.test/", now + 400 * 24 * HOUR);
    run(&place.flush(), event(&[(0, slot(OLD, now - HOUR)), (1, ahead)])).await.unwrap();
    assert_eq!(place.count(&format!("select count(*) from targets where url = '{OLD}'")).await, 1);

    // Nor does a clock that is wrong by hours or minutes.
    let (hours, minutes) =
        (slot("https://hours.test/", now + 20 * HOUR), slot("https://minutes.test/", now + 8 * MINUTE));
    run(&place.flush(), event(&[(4, hours)])).await.unwrap();
    run(&place.flush(), event(&[(5, minutes)])).await.unwrap();
    assert_eq!(place.count(&format!("select count(*) from targets where url = '{OLD}'")).await, 1);

    // What comes late is not of now either.
    run(&place.flush(), event(&[(2, slot(NEW, now - MINUTE))])).await.unwrap();
    run(&place.flush(), event(&[(3, slot("https://late.test/", now - 2 * HOUR))])).await.unwrap();
    assert_eq!(place.count(&format!("select count(*) from targets where url = '{NEW}'")).await, 1);
    let answer = get(&place.stats(), "/stats?window=24h").await;
    let urls: Vec<_> = answer["stats"][0]["urls"].as_array().unwrap().iter().map(|named| &named["url"]).collect();
    assert_eq!(urls, ["https://late.test/", OLD, NEW]);
}

#[tokio::test]
async fn instances_at_work_at_once_do_not_wait_for_the_new_monitors_of_others() {
    let place = Place::new("moving_at_once").await;
    run(&place.flush(), event(&[])).await.unwrap();
    let now = Micros::from(timestamp::now()).0;
    let shares = (0..24_usize).map(async |instance| {
        let flush = place.flush();
        for batch in 0..10_usize {
            let record = |number: usize| {
                // Some monitors are of all instances, others of one of them.
                let monitor = if number < 5 { format!("all-{number}") } else { format!("{instance}-{batch}-{number}") };
                let offset = instance * 1_000 + batch * 20 + number;
                let at = now - HOUR + i64::try_from(offset).unwrap() * 1_000;
                (offset, slot(OLD, Some(&monitor), "eu", MINUTE, at, json!({})))
            };
            run(&flush, event(&(0..20).map(record).collect::<Vec<_>>())).await.unwrap();
        }
    });
    join_all(shares).await;

    assert_eq!(place.count("select count(*) from probes").await, 24 * 10 * 20);
    assert_eq!(place.count("select count(*) from targets").await, 5 + 24 * 10 * 15);
    assert_eq!(place.count("select count(distinct target_id) from target_urls").await, 5 + 24 * 10 * 15);
}

#[tokio::test]
async fn instances_that_change_urls_of_the_same_monitors_store_every_batch() {
    let place = Place::new("moving_contended").await;
    run(&place.flush(), event(&[])).await.unwrap();
    let client = place.client().await;
    client.batch_execute(TRUTH).await.unwrap();
    let now = Micros::from(timestamp::now()).0;
    // One record and one certificate are of all batches, so that locks of rows come in between.
    let certificate = json!({"certificate_expires_at": "2031-01-01T00:00:00Z"});
    let of_all = (0, slot(OLD, Some("shop-0"), "eu", MINUTE, now - HOUR, certificate.clone()));
    let batch = |instance: usize, batch: usize| {
        let record = |number: usize| {
            let offset = 1 + instance * 1_000 + batch * 50 + number;
            let (url, monitor) = (format!("https://{instance}-{batch}.test/"), format!("shop-{number}"));
            let at = now - HOUR + i64::try_from(offset).unwrap() * 1_000;
            (offset, slot(&url, Some(&monitor), "eu", MINUTE, at, certificate.clone()))
        };
        [of_all.clone()].into_iter().chain((0..50).map(record)).collect::<Vec<_>>()
    };
    let shares = (0..24_usize).map(async |instance| {
        let flush = place.flush();
        for number in 0..6 {
            run(&flush, event(&batch(instance, number))).await.unwrap();
        }
    });
    join_all(shares).await;

    let records = (0..24).flat_map(|instance| (0..6).map(move |number| (instance, number)));
    let records = records.flat_map(|(instance, number)| batch(instance, number).split_off(1));
    tell(&client, &[of_all.1.clone()].into_iter().chain(records.map(|(_, record)| record)).collect::<Vec<_>>()).await;
    assert_eq!(place.count("select count(*) from truth").await, 1 + 24 * 6 * 50);
    assert_eq!(wrong_rows(&place).await, 0);
}

#[tokio::test]
async fn missed_slot_names_a_new_monitor_and_changes_no_url() {
    let place = Place::new("moving_missed").await;
    let now = Micros::from(timestamp::now()).0;
    let probe = |url: &str, monitor: &str, at: i64| slot(url, Some(monitor), "eu", MINUTE, at, json!({}));
    let missed = |url: &str, monitor: &str, at: i64| {
        let none = json!({"http_status_code": null, "response_time_ms": null, "outcome": "missed", "reason": "late"});
        slot(url, Some(monitor), "eu", MINUTE, at, none)
    };
    let urls = async |monitor: &str| {
        let query = "select url, (select count(*) from target_urls where target_id = targets.id) \
                     from targets where monitor = $1";
        let row = place.client().await.query_one(query, &[&monitor]).await.unwrap();
        (row.get::<_, String>(0), row.get::<_, i64>(1))
    };
    let [old, new] = [OLD, NEW].map(str::to_owned);
    // After the probe in another batch, in the same one, and alone.
    run(&place.flush(), event(&[(0, probe(NEW, "shop", now - 10 * MINUTE))])).await.unwrap();
    run(&place.flush(), event(&[(1, missed(OLD, "shop", now - 5 * MINUTE))])).await.unwrap();
    assert_eq!(urls("shop").await, (new.clone(), 1));
    let both = [(2, probe(NEW, "both", now - 10 * MINUTE)), (3, missed(OLD, "both", now - 5 * MINUTE))];
    run(&place.flush(), event(&both)).await.unwrap();
    assert_eq!(urls("both").await, (new.clone(), 1));
    run(&place.flush(), event(&[(4, missed(OLD, "first", now - 10 * MINUTE))])).await.unwrap();
    assert_eq!(urls("first").await, (old, 0));
    run(&place.flush(), event(&[(5, probe(NEW, "first", now - 5 * MINUTE))])).await.unwrap();
    assert_eq!(urls("first").await, (new, 1));

    let failures = get(&place.stats(), "/failures?monitor=shop").await;
    assert_eq!(failures["failures"][0]["url"], NEW, "{failures:#}");
    // A late URL in between ends with the next probe, not with a slot that was missed.
    run(&place.flush(), event(&[(6, probe(NEW, "shop", now - 2 * MINUTE))])).await.unwrap();
    run(&place.flush(), event(&[(7, probe(OLD, "shop", now - 7 * MINUTE))])).await.unwrap();
    let again = "select count(*) from target_urls where url = $1 and since = $2";
    let row = place.client().await.query_one(again, &[&NEW, &Micros(now - 2 * MINUTE)]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1);
}

#[tokio::test]
async fn url_that_was_dated_ahead_is_the_one_of_now_when_its_probes_go_on() {
    let place = Place::new("moving_outdated").await;
    let now = Micros::from(timestamp::now()).0;
    let slot = |url: &str, at: i64| slot(url, Some("shop"), "eu", MINUTE, at, json!({}));
    run(&place.flush(), event(&[(0, slot(OLD, now - HOUR)), (1, slot(NEW, now - 10 * MINUTE))])).await.unwrap();
    // As if the second one had come before its time, by a clock that was ahead.
    let client = place.client().await;
    client.execute("update targets set url = $1", &[&OLD]).await.unwrap();

    run(&place.flush(), event(&[(2, slot(NEW, now - 5 * MINUTE))])).await.unwrap();
    assert_eq!(place.count(&format!("select count(*) from targets where url = '{NEW}'")).await, 1);
    assert_eq!(place.count("select count(*) from target_urls").await, 2);
}
