//! History against the truth: whatever was sealed, re-opened, delivered again or dropped, stats answers as
//! `percentile_cont` does over a plain table that holds every record once.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use fastrand::Rng;
use flush::{retention::drop_aged, run};
use futures::future::join_all;
use serde_json::{Value, json};
use shared::{Micros, history::Measure, record::Outcome, timestamp};
use stats::history::{
    History, HistoryError, HistoryQuery, Tally, TargetHistory, read,
    split::{Bucket, By, Group, Part, Split},
};
use tokio_postgres::Client;

use crate::support::{Place, retention, seal_step};

const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;
const URLS: [&str; 3] = ["https://a.test", "https://b.test", "https://c.test"];

/// Records with consecutive offsets, and the plain table that they go into as well.
struct Truth {
    client: Client,
    rng: Rng,
    now: i64,
    offset: i64,
}

impl Truth {
    async fn new(place: &Place, seed: u64) -> Self {
        let client = place.client().await;
        let table = "create table truth (url text, monitor text, at timestamptz, status int, outcome int, error int, \
                     response_time int, dns int, download int, location text)";
        client.batch_execute(table).await.unwrap();
        Self { client, rng: Rng::with_seed(seed), now: Micros::from(timestamp::now()).0, offset: 0 }
    }

    /// A record of a random kind that started at `at`, as Kafka would hand it over.
    async fn record(&mut self, at: i64) -> Value {
        let rng = &mut self.rng;
        let url = URLS[rng.usize(..3)];
        // Two targets with one URL, probed from two places.
        let monitor = (url == URLS[0] && rng.bool()).then_some("other");
        let location = ["eu-west-1", "us-east-1"][rng.usize(..2)];
        let status = [Some(200), Some(200), Some(200), Some(301), Some(503), None][rng.usize(..6)];
        let kind = match status {
            Some(503) => Some("assertion"),
            None => Some(["dns", "timeout"][rng.usize(..2)]),
            _ => None,
        };
        // Bimodal, with ties and a long tail.
        let response_time = match rng.u32(..10) {
            0 => 30_000_000 - rng.i32(0..5),
            1..4 => 250_000,
            _ => rng.i32(1..120_000),
        };
        let (dns, download) =
            (rng.bool().then(|| rng.i32(0..9_000)), (status == Some(200)).then(|| rng.i32(0..90_000)));
        let outcome = if kind.is_some() { "down" } else { "up" };
        let instant = timestamp::format(Micros(at).timestamp());
        let millis = |micros: Option<i32>| micros.map(|micros| f64::from(micros) / 1_000.0);
        let record = json!({
            "url": url, "monitor": monitor, "location": location, "timestamp": instant, "http_status_code": status,
            "response_time_ms": millis(Some(response_time)), "outcome": outcome,
            "error": kind.map(|kind| json!({"kind": kind, "message": "x"})),
            "phases": {"dns": millis(dns), "download": millis(download)}
        });
        let code =
            kind.map(|kind| ["dns", "connect", "tls", "timeout"].iter().position(|name| *name == kind).unwrap_or(8));
        let insert = "insert into truth values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        let (status, outcome) = (status, if kind.is_some() { 2_i32 } else { 0 });
        let code = code.map(|code| i32::try_from(code).unwrap());
        self.client
            .execute(
                insert,
                &[
                    &url,
                    &monitor.unwrap_or_default(),
                    &Micros(at),
                    &status,
                    &outcome,
                    &code,
                    &response_time,
                    &dns,
                    &download,
                    &location,
                ],
            )
            .await
            .unwrap();
        self.offset += 1;
        let value = BASE64_STANDARD.encode(record.to_string());
        json!({"topic": "t", "partition": 0, "offset": self.offset, "value": value})
    }

    /// Compares counts and percentiles over a window, exactly and from histograms.
    async fn check(&mut self, reader: &Client, from: Option<i64>, to: Option<i64>) {
        let (from, to) = (from.map(Micros), to.map(Micros));
        let urls = [URLS[self.rng.usize(..3)].to_owned()];
        let urls = self.rng.bool().then_some(urls.as_slice());
        for (measure, column) in [
            (Measure::ResponseTime, "case when status is not null then response_time end"),
            (Measure::Dns, "dns"),
            (Measure::Download, "download"),
        ] {
            let sql = format!(
                "select url, count(*), count(status), count(*) filter (where outcome = 2), \
                 count(*) filter (where error = 3), count(*) filter (where status / 100 = 3), min(at), max(at), \
                 percentile_cont(array[0.5, 0.95, 0.99]) within group (order by {column}), monitor from truth \
                 where ($1::text[] is null or url = any ($1)) and ($2::timestamptz is null or at >= $2) \
                 and ($3::timestamptz is null or at < $3) group by url, monitor order by url, monitor"
            );
            let truth = self.client.query(&sql, &[&urls, &from, &to]).await.unwrap();
            for exact_probes in [i64::MAX, -1] {
                let measure = Some(measure);
                let query = HistoryQuery { urls, from, to, measure, exact_probes, ..HistoryQuery::default() };
                let history = read(reader, &query).await.unwrap();
                let context = format!("{query:?}");
                assert_eq!(history.window, (from, to));
                assert_eq!(history.targets.len(), truth.len(), "{context}");
                for (mut found, row) in history.targets.into_iter().zip(&truth) {
                    assert_eq!((found.target.url.as_str(), found.target.monitor.as_str()), (row.get(0), row.get(9)));
                    assert_eq!(found.total.is_exact(), exact_probes == i64::MAX, "{context}");
                    compare(&mut found.total, row, &context);
                }
            }
        }
        self.check_parts(reader, from.map(|from| from.0), to.map(|to| to.0)).await;
        self.check_held(reader, from, to).await;
    }
}

impl Truth {
    /// Compares for how long verdicts held, from each location and, on the hour, in each day.
    async fn check_held(&mut self, reader: &Client, from: Option<Micros>, to: Option<Micros>) {
        const HOLDS_FOR: i64 = 2 * HOUR;
        // Every two hours, since ever.
        let settings = "insert into target_settings (target_id, location_id, since, interval_ms, tags) \
                        select targets.id, locations.id, '-infinity', 7200000, '{}' from targets, locations \
                        on conflict do nothing";
        self.client.batch_execute(settings).await.unwrap();
        let bucket = self.rng.bool().then_some(Bucket::Day);
        let start = if bucket.is_some() { "date_bin('1 day', at, 'epoch')" } else { "null::timestamptz" };
        let as_of = to.unwrap_or(Micros(self.now)).min(Micros(self.now));
        // What is down comes last of what came at one instant: it has a higher status, or none, which comes first.
        let sql = format!(
            "select url, monitor, location, bucket, \
             coalesce(sum(held) filter (where outcome < 2), 0)::float8, \
             coalesce(sum(held) filter (where outcome = 2), 0)::float8 from ( \
             select url, monitor, location, outcome, {start} as bucket, 1e6 * extract(epoch from least(coalesce( \
             lead(at) over (partition by url, monitor, location, {start} order by at, status nulls first), \
             greatest(at, least($3, {start} + interval '1 day'))), at + interval '2 hours') - at) as held \
             from truth where ($1::timestamptz is null or at >= $1) and ($2::timestamptz is null or at < $2)) as holds \
             group by 1, 2, 3, 4"
        );
        let truth = self.client.query(&sql, &[&from, &to, &as_of]).await.unwrap();
        for exact_probes in [i64::MAX, -1] {
            let split = Split { by: By { location: true, ..By::default() }, bucket };
            let query =
                HistoryQuery { from, to, exact_probes, split, held: Some(None), as_of, ..HistoryQuery::default() };
            let history = read(reader, &query).await.unwrap();
            let context = format!("{query:?}");
            let found: usize =
                history.targets.iter().map(|target| target.held.keys().filter(|key| key.1.is_some()).count()).sum();
            let (totals, buckets) =
                (history.targets.iter().map(|target| target.schedules.len()).sum::<usize>(), truth.len());
            assert_eq!(found, if bucket.is_some() { totals + buckets } else { buckets }, "{context}");
            for row in &truth {
                let name: &str = row.get(2);
                let location = history.locations.iter().find(|(_, known)| *known == name).map(|(id, _)| *id);
                let held = target(&history, row.get(0), row.get(1)).held[&(row.get(3), location)];
                // A distance is within 1/128 of itself and a millisecond.
                for (found, expected) in [(held.up, row.get::<_, f64>(4)), (held.down, row.get::<_, f64>(5))] {
                    let bound = if exact_probes < 0 { expected / 128.0 + 1e3 * (HOLDS_FOR as f64 / 1e7) } else { 1.0 };
                    assert!((found - expected).abs() <= bound, "{found}, not {expected}: {context}");
                }
            }
        }
    }

    /// Compares the parts of an answer.
    async fn check_parts(&mut self, reader: &Client, from: Option<i64>, to: Option<i64>) {
        let (from, to) = (from.map(Micros), to.map(Micros));
        let buckets = [(Bucket::Minute, "1 minute"), (Bucket::FiveMinutes, "5 minutes"), (Bucket::Hour, "1 hour")];
        let (bucket, length) = match self.rng.usize(..5) {
            4 => (None, "1 day"),
            3 => (Some(Bucket::Day), "1 day"),
            index => (Some(buckets[index].0), buckets[index].1),
        };
        let (by, group) = match self.rng.usize(..4) {
            0 => (By::default(), "null::text"),
            1 => (By { location: true, ..By::default() }, "location"),
            2 => (By { status: true, ..By::default() }, "(status / 100)::text"),
            _ => (By { outcome: true, ..By::default() }, "outcome::text"),
        };
        let start =
            if bucket.is_some() { format!("date_bin('{length}', at, 'epoch')") } else { "null::timestamptz".into() };
        let sql = format!(
            "select url, count(*), count(status), count(*) filter (where outcome = 2), \
             count(*) filter (where error = 3), count(*) filter (where status / 100 = 3), min(at), max(at), \
             percentile_cont(array[0.5, 0.95, 0.99]) within group (order by case when status is not null then response_time end), \
             {group}, {start}, monitor from truth where ($1::timestamptz is null or at >= $1) and ($2::timestamptz is null or at < $2) \
             group by 1, 10, 11, 12"
        );
        let truth = self.client.query(&sql, &[&from, &to]).await.unwrap();
        // What needs each probe cannot be had from summaries, and says so.
        let is_coarse = !by.status && !by.outcome && bucket.is_none_or(|bucket| bucket == Bucket::Day);
        for exact_probes in [i64::MAX, -1] {
            let split = Split { by, bucket };
            let query = HistoryQuery { from, to, exact_probes, split, ..HistoryQuery::default() };
            let context = format!("{query:?}");
            let mut history = match read(reader, &query).await {
                Err(HistoryError::TooMany { limit: -1, .. }) if !is_coarse => continue,
                Err(HistoryError::TooLarge { parts: 5_001.., .. }) if from.is_some() && to.is_some() => continue,
                history => history.unwrap(),
            };
            let parts: usize = history.targets.iter().map(|target| target.parts.len()).sum();
            if split == Split::default() {
                assert_eq!(parts, 0);
                continue;
            }
            assert_eq!(parts, truth.len(), "{context}");
            for row in &truth {
                let group: Option<&str> = row.get(9);
                let of_name = |(_, name): &(&i16, &String)| Some(name.as_str()) == group;
                let location = by.location.then(|| *history.locations.iter().find(of_name).unwrap().0);
                let status = by.status.then(|| group.map(|class| class.parse().unwrap()));
                let outcome = by.outcome.then(|| Outcome::ALL[group.unwrap().parse::<usize>().unwrap()]);
                let part = Part { group: Group { location, status, outcome, phase: None }, bucket: row.get(10) };
                let of = |target: &&mut TargetHistory| {
                    (target.target.url.as_str(), target.target.monitor.as_str()) == (row.get(0), row.get(11))
                };
                let tally = history.targets.iter_mut().find(of).unwrap().parts.get_mut(&part);
                compare(tally.unwrap_or_else(|| panic!("{part:?} of {context}")), row, &context);
            }
        }
    }
}

fn compare(tally: &mut Tally, row: &tokio_postgres::Row, context: &str) {
    let counts = tally.counts;
    let figures = [counts.probes(), counts.responses(), counts.outcomes[2], counts.errors[3], counts.status_classes[2]];
    let expected: Vec<u64> = (1..6).map(|column| row.get::<_, i64>(column).unsigned_abs()).collect();
    assert_eq!(figures.as_slice(), expected, "{context}");
    assert_eq!(tally.range, Some((row.get(6), row.get(7))), "{context}");
    let expected: Option<Vec<f64>> = row.get(8);
    let bound = tally.relative_error();
    match (tally.quantiles([0.5, 0.95, 0.99]), expected) {
        (None, None) => {}
        (Some(found), Some(expected)) => {
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() <= expected * bound + 1e-6, "{found}, not {expected}: {context}");
            }
        }
        (found, expected) => panic!("{found:?}, not {expected:?}: {context}"),
    }
}

fn target<'history>(history: &'history History, url: &str, monitor: &str) -> &'history TargetHistory {
    let of = |target: &&TargetHistory| (target.target.url.as_str(), target.target.monitor.as_str()) == (url, monitor);
    history.targets.iter().find(of).unwrap()
}

/// A batch of records.
fn batch(records: &[Value]) -> Value {
    json!({"records": {"t-0": records}})
}

#[tokio::test]
async fn history_answers_as_all_rows_would() {
    for seed in [1, 2, 3] {
        let place = Place::new(&format!("reading_{seed}")).await;
        let mut truth = Truth::new(&place, seed).await;
        let (writer, reader) = (place.client().await, place.client().await);
        let flush = place.flush();
        let span = 75 * DAY;
        let start = truth.now - span;
        let mut delivered: Vec<Value> = Vec::new();
        let mut late: Vec<Value> = Vec::new();
        for step in 0..30 {
            let (from, length) = (start + step * (span / 30), span / 30);
            let mut records = Vec::new();
            for _ in 0..60 {
                // Some at the very start of an hour, and some at one instant.
                let mut at = from + truth.rng.i64(0..4) * (length / 4) + truth.rng.i64(0..HOUR);
                if truth.rng.u32(..5) == 0 {
                    at -= at.rem_euclid(HOUR) - truth.rng.i64(0..2);
                }
                let twice = truth.rng.u32(..20) == 0;
                for _ in 0..=u32::from(twice) {
                    records.push(truth.record(at).await);
                }
            }
            truth.rng.shuffle(&mut records);
            // Some come late, some come again.
            late.extend(records.split_off(50));
            if truth.rng.u32(..3) == 0 {
                records.append(&mut late);
            }
            let again =
                (0..truth.rng.usize(..40)).filter_map(|_| truth.rng.choice(&delivered).cloned()).collect::<Vec<_>>();
            records.extend(again);
            run(&flush, batch(&records)).await.unwrap();
            delivered.extend(records);
            // Some of it is sealed, some dropped.
            for _ in 0..truth.rng.usize(..60) {
                seal_step(&writer).await.unwrap();
            }
            if truth.rng.u32(..3) == 0 {
                drop_aged(&writer, retention("1h"), Micros(truth.now)).await.unwrap();
            }
            // What is still late is not in the database yet, and so not to be in the truth.
            if late.is_empty() {
                let now = truth.now;
                let random = |rng: &mut Rng| start + rng.i64(0..span);
                let (one, other) = (random(&mut truth.rng), random(&mut truth.rng));
                let whole = |at: i64, unit: i64| at - at.rem_euclid(unit);
                let (low, high) = (one.min(other), one.max(other));
                truth.check(&reader, None, None).await;
                truth.check(&reader, Some(low), Some(high)).await;
                truth.check(&reader, Some(whole(low, DAY)), Some(whole(high, HOUR))).await;
                truth.check(&reader, Some(from), Some(now)).await;
                truth.check(&reader, Some(high), Some(high + 1)).await;
            }
        }
        run(&flush, batch(&late)).await.unwrap();
        while seal_step(&writer).await.unwrap().is_some() {}
        drop_aged(&writer, retention("1h"), Micros(truth.now)).await.unwrap();
        truth.check(&reader, None, None).await;
        truth.check(&reader, Some(start + DAY / 3), Some(truth.now - DAY / 3)).await;
        // Nearly all rows are gone by now, so it was history that answered.
        let rows = place.count("select count(*) from probes where probed_at < now() - interval '3 days'").await;
        assert_eq!(rows, 0);
        assert!(place.count("select count(*) from summaries where span = 2").await > 0);

        // Everything delivered once more changes nothing at all.
        let before = fingerprint(&place).await;
        let rerun = delivered.chunks(500).map(batch);
        for again in rerun {
            run(&flush, again).await.unwrap();
        }
        while seal_step(&writer).await.unwrap().is_some() {}
        assert_eq!(fingerprint(&place).await, before);
    }
}

/// All history there is.
async fn fingerprint(place: &Place) -> String {
    let sql = "select concat_ws(' ', (select md5(string_agg(chunks::text, '|' order by chunks::text)) from chunks), \
               (select md5(string_agg(summaries::text, '|' order by summaries::text)) from summaries))";
    place.client().await.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn readers_see_every_probe_once_while_others_write_and_seal() {
    let place = Place::new("reading_at_once").await;
    let mut truth = Truth::new(&place, 7).await;
    let flush = place.flush();
    let old = truth.now - 3 * DAY;
    let mut records = Vec::new();
    for number in 0..600 {
        records.push(truth.record(old + number * 60_000_000).await);
    }
    run(&flush, batch(&records[..300])).await.unwrap();

    // Late rows come into hours that are sealed at the same time, and rows are dropped.
    let writing = async {
        let flush = place.flush();
        for part in records[300..].chunks(20) {
            run(&flush, batch(part)).await.unwrap();
        }
    };
    let sealing = async {
        let client = place.client().await;
        for _ in 0..60 {
            seal_step(&client).await.unwrap();
            drop_aged(&client, retention("1h"), Micros(truth.now)).await.unwrap();
        }
    };
    let reading = async {
        let client = place.client().await;
        let mut counts = Vec::new();
        for number in 0..120 {
            let exact_probes = if number % 2 == 0 { i64::MAX } else { -1 };
            let query = HistoryQuery { exact_probes, ..HistoryQuery::default() };
            counts.push(probes(&read(&client, &query).await.unwrap()));
        }
        counts
    };
    let (counts, ..) = futures::join!(reading, writing, sealing);

    // Batches of 20 came in; at no time did any of it vanish or count twice.
    assert!(counts.is_sorted(), "{counts:?}");
    assert!(counts.iter().all(|count| count % 20 == 0 && (300..=600).contains(count)), "{counts:?}");
    let reader = place.client().await;
    truth.check(&reader, None, None).await;
}

fn probes(history: &History) -> u64 {
    history.targets.iter().map(|target| target.total.counts.probes()).sum()
}

#[tokio::test]
async fn targets_beyond_one_block_are_read_and_sealed_as_well() {
    let place = Place::new("reading_blocks").await;
    let old = Micros::from(timestamp::now()).0 - 3 * DAY;
    let record = |number: i64| {
        let value = json!({
            "url": format!("https://{number}.test"), "timestamp": timestamp::format(Micros(old + number).timestamp()),
            "http_status_code": 200, "response_time_ms": 5
        });
        json!({"topic": "t", "partition": 0, "offset": number, "value": BASE64_STANDARD.encode(value.to_string())})
    };
    let records: Vec<_> = (0..9_000).map(record).collect();
    let flush = place.flush();
    let runs = join_all(records.chunks(3_000).map(|part| run(&flush, batch(part)))).await;
    assert!(runs.iter().all(Result::is_ok));
    let client = place.client().await;
    while seal_step(&client).await.unwrap().is_some() {}

    assert!(place.count("select count(distinct target_id >> 12) from chunks").await >= 3);
    for exact_probes in [i64::MAX, -1] {
        let query = HistoryQuery { exact_probes, ..HistoryQuery::default() };
        let history = read(&client, &query).await.unwrap();
        assert_eq!((history.targets.len(), probes(&history)), (9_000, 9_000));
    }
}
