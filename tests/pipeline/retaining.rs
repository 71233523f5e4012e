//! What is made ahead and what is dropped: partitions, rows, chunks, summaries.

use std::time::Duration;

use flush::{
    Flush, FlushConfig,
    retention::{Retention, drop_aged},
    run,
    seal::LOCK,
};
use serde_json::{Value, json};
use shared::{Micros, Span, timestamp};
use stats::{
    history::{HistoryQuery, read},
    query::StatsQuery,
};
use tokio_postgres::Client;

use crate::{
    serving::{request, send, text},
    support::{Place, batch, hours_ago, lookup, record_at, retention, seal_step},
};

const DAY: i64 = 86_400_000_000;
const URL: &str = "https://a.test";
const PARTITIONS: &str = "select count(*) from pg_inherits where inhparent = 'probes'::regclass \
                          and inhrelid <> 'probes_other'::regclass";

fn now() -> Micros {
    timestamp::now().into()
}

fn days_ago(days: i64) -> Micros {
    Micros(Span::Day.start(now()).0 - days * DAY)
}

/// A record for each of some minutes.
fn records(from: Micros, count: i64) -> Vec<Value> {
    (0..count).map(|minute| record_at(URL, Micros(from.0 + minute * 60_000_000))).collect()
}

async fn seal_all(client: &mut Client) {
    while seal_step(client).await.unwrap().is_some() {}
}

/// Probes, and the window that they are of.
async fn count(client: &Client, from: Option<Micros>, to: Option<Micros>) -> (u64, Option<Micros>) {
    let query = HistoryQuery { from, to, exact_probes: i64::MAX, ..HistoryQuery::default() };
    let history = read(client, &query).await.unwrap();
    (history.targets.iter().map(|target| target.total.counts.probes()).sum(), history.window.0)
}

#[tokio::test]
async fn partitions_are_made_ahead_and_a_past_day_gets_one_when_it_is_worth_it() {
    let place = Place::new("retaining_ahead").await;
    let flush = place.flush();
    run(&flush, batch(0, &[record_at(URL, now())])).await.unwrap();
    // Today, tomorrow and the day after.
    assert_eq!(place.count(PARTITIONS).await, 3);
    assert_eq!(place.count("select count(*) from probes_other").await, 0);

    // A few late rows, and an odd one, are put up elsewhere.
    let odd = [records(days_ago(3), 10), vec![record_at(URL, Micros(946_684_800_000_000 + DAY))]].concat();
    run(&flush, batch(10, &odd)).await.unwrap();
    assert_eq!((place.count(PARTITIONS).await, place.count("select count(*) from probes_other").await), (3, 11));

    // With many more of that day, the late ones move into a partition of their own.
    let minutes: Vec<_> = records(Micros(days_ago(3).0 + 1_000_000), 1_400);
    run(&flush, batch(100, &minutes)).await.unwrap();
    assert_eq!((place.count(PARTITIONS).await, place.count("select count(*) from probes_other").await), (4, 1));
    assert_eq!(place.count("select count(*) from probes").await, 1_412);
}

#[tokio::test]
async fn rows_go_when_they_are_sealed_and_old_and_not_before() {
    let place = Place::new("retaining_rows").await;
    let (mut client, flush) = (place.client().await, place.flush());
    // Nobody seals meanwhile.
    client.batch_execute(&format!("select pg_advisory_lock({LOCK})")).await.unwrap();
    run(&flush, batch(0, &records(days_ago(9), 1_440))).await.unwrap();
    run(&flush, batch(2_000, &records(days_ago(20), 5))).await.unwrap();
    run(&flush, batch(3_000, &records(days_ago(7), 1_440))).await.unwrap();
    assert_eq!(place.count(PARTITIONS).await, 5);
    drop_aged(&client, retention("8d"), now()).await.unwrap();
    assert_eq!((place.count(PARTITIONS).await, place.count("select count(*) from probes").await), (5, 2_885));

    client.batch_execute(&format!("select pg_advisory_unlock({LOCK})")).await.unwrap();
    seal_all(&mut client).await;
    drop_aged(&client, retention("8d"), now()).await.unwrap();

    // What is younger stays, and everything still counts.
    assert_eq!((place.count(PARTITIONS).await, place.count("select count(*) from probes").await), (4, 1_440));
    assert_eq!(count(&client, None, None).await, (2_885, None));
    assert_eq!(place.count("select count(*) from url_probes").await, 1_440);
}

#[tokio::test]
async fn a_reader_that_is_at_it_keeps_its_rows() {
    let place = Place::new("retaining_reader").await;
    let (mut client, flush) = (place.client().await, place.flush());
    run(&flush, batch(0, &records(days_ago(9), 1_440))).await.unwrap();
    seal_all(&mut client).await;
    let reader = place.client().await;
    reader.batch_execute("begin; lock table only probes in access share mode").await.unwrap();

    drop_aged(&client, retention("8d"), now()).await.unwrap();
    assert_eq!(place.count(PARTITIONS).await, 4);
    reader.batch_execute("commit").await.unwrap();
    drop_aged(&client, retention("8d"), now()).await.unwrap();
    assert_eq!(place.count(PARTITIONS).await, 3);
}

#[tokio::test]
async fn chunks_and_days_go_by_their_own_retention() {
    let place = Place::new("retaining_history").await;
    let (mut client, flush) = (place.client().await, place.flush());
    let month = Span::Month.start(hours_ago(24 * 100));
    run(&flush, batch(0, &records(month, 600))).await.unwrap();
    run(&flush, batch(1_000, &records(days_ago(40), 600))).await.unwrap();
    run(&flush, batch(2_000, &records(days_ago(2), 600))).await.unwrap();
    seal_all(&mut client).await;
    let days = |days: u64| Duration::from_secs(days * 86_400);
    let chunks = Retention { raw: days(8), chunks: Some(days(30)), summaries: None };
    // A day of what there is at a time.
    for _ in 0..3 {
        drop_aged(&client, chunks, now()).await.unwrap();
    }

    // Chunks of the last days only, and still everything counts, from summaries.
    assert_eq!(place.count("select sum(probes) from chunks").await, 600);
    assert_eq!(count(&client, None, None).await, (1_800, None));
    // A day without chunks cannot be cut: it is in a window as a whole or not at all, and the answer says so.
    let inside = Micros(days_ago(40).0 + DAY / 4);
    assert_eq!(count(&client, Some(inside), Some(now())).await, (600, Some(days_ago(39))));
    assert_eq!(count(&client, Some(days_ago(40)), Some(now())).await, (1_200, Some(days_ago(40))));
    assert!(
        read(
            &client,
            &HistoryQuery { from: Some(inside), to: Some(Micros(inside.0 + DAY / 8)), ..HistoryQuery::default() }
        )
        .await
        .is_err()
    );

    // Nobody could tell whether a record of then is late or delivered again, so it is kept apart.
    let summary = run(&flush, batch(0, &[records(month, 2), records(days_ago(1), 1)].concat())).await.unwrap();
    assert_eq!((summary.stored, summary.rejected), (1, 2));
    let reason = client.query_one("select reason from rejects limit 1", &[]).await.unwrap();
    assert!(reason.get::<_, &str>(0).contains("WM_CHUNK_RETENTION"), "{reason:?}");

    let all = Retention { summaries: Some(days(60)), ..chunks };
    seal_all(&mut client).await;
    assert_eq!(count(&client, None, None).await, (1_801, None));
    for _ in 0..3 {
        drop_aged(&client, all, now()).await.unwrap();
    }
    let (probes, from) = count(&client, None, None).await;
    assert_eq!((probes, from), (1_201, Some(Span::Month.start(days_ago(60)))));
    assert_eq!(place.count("select count(*) from summaries where starts_at < now() - interval '95 days'").await, 0);
    refused_where_nothing_is_kept(&place, inside).await;
    // The horizon does not move back.
    drop_aged(&client, Retention { chunks: None, summaries: None, ..all }, now()).await.unwrap();
    assert_eq!(count(&client, None, None).await.1, from);
}

/// Every row of what figures come from, beside the probes.
async fn state(place: &Place) -> String {
    // To be sealed is a day that has chunks at any time. Without, its probes would be looked for in vain.
    let unsealed = "(select * from unsealed where starts_at < (select chunks_from from horizon) and span < 2)";
    let tables = ["target_settings", "target_urls", "certificates", "horizon", unsealed];
    let texts =
        tables.map(|table| format!("(select string_agg(row::text, ' ' order by row::text) from {table} as row)"));
    let query = format!("select concat_ws(' ', {}, (select string_agg(url, ' ') from targets))", texts.join(", "));
    place.client().await.query_one(&query, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn rejected_record_changes_nothing() {
    let place = Place::new("retaining_rejected").await;
    let (mut client, flush) = (place.client().await, place.flush());
    let record = |at: Micros, more: &Value| {
        let mut record = record_at(URL, at);
        let always = json!({"monitor": "shop", "location": "eu", "interval_ms": 60_000, "tags": ["right"]});
        for more in [&always, more] {
            record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        }
        record
    };
    let old = [0, 1, 2].map(|minute| record(Micros(days_ago(40).0 + minute * 60_000_000), &json!({})));
    let new = [0, 1].map(|minute| record(Micros(days_ago(2).0 + minute * 60_000_000), &json!({})));
    run(&flush, batch(0, &[old.as_slice(), &new].concat())).await.unwrap();
    seal_all(&mut client).await;
    let chunks = Retention {
        raw: Duration::from_secs(8 * 86_400),
        chunks: Some(Duration::from_secs(15 * 86_400)),
        summaries: None,
    };
    while place.count("select count(*) from chunks").await > 1 {
        drop_aged(&client, chunks, now()).await.unwrap();
    }
    client.batch_execute("alter table probes add constraint no_mars check (error_message <> 'mars')").await.unwrap();
    // At one time, since each minute expects a slot more.
    let as_of = timestamp::now();
    let answers = async || {
        let stats = place.stats();
        let report = stats::run(&stats, &StatsQuery::parse("to=2099-01-01T00:00:00Z").unwrap(), as_of).await.unwrap();
        (json!(report)["stats"].clone(), state(&place).await)
    };
    let before = answers().await;
    assert_eq!(before.0[0]["probes"], 5, "{before:#?}");

    // From before the cutoff, and refused by the schema, with everything that a record may say of its target.
    let more = json!({
        "url": "https://wrong.test", "interval_ms": 1_000, "tags": ["wrong"], "location": "us",
        "certificate_expires_at": "2031-01-01T00:00:00Z"
    });
    let mut refused = record(days_ago(1), &more);
    refused["error"] = json!({"kind": "body", "message": "mars"});
    let too_old = [record(days_ago(40), &more), record(days_ago(400), &more)];
    let good = record(Micros(days_ago(2).0 + 60_000_000), &json!({}));
    for (offset, records) in [
        (100, vec![too_old[0].clone()]),
        (200, vec![refused.clone()]),
        (300, [too_old.as_slice(), &[refused]].concat()),
    ] {
        for flush in [&place.flush(), &flush] {
            let summary = run(flush, batch(offset, &records)).await.unwrap();
            assert_eq!((summary.stored, summary.rejected), (0, records.len()));
            let after = answers().await;
            assert_eq!(before, after);
        }
    }
    // With others that are stored already, at the same place in the topic, neither do these say anything but what they said.
    let mixed = [vec![good.clone()], too_old.to_vec()].concat();
    let event = |records: &[Value]| {
        let mut event = batch(400, records);
        event["records"]["t-0"][0] = batch(4, std::slice::from_ref(&good))["records"]["t-0"][0].clone();
        event
    };
    let summary = run(&flush, event(&mixed)).await.unwrap();
    assert_eq!((summary.stored, summary.duplicates, summary.rejected), (0, 1, 2));
    let after = answers().await;
    assert_eq!(before.0, after.0);
    assert_eq!(place.count("select count(*) from target_urls").await, 1);
}

#[tokio::test]
async fn year_of_history_is_dropped_by_consecutive_invocations() {
    let place = Place::new("retaining_year").await;
    let mut client = place.client().await;
    let days: Vec<_> = (1..365).map(|day| record_at(URL, days_ago(day))).collect();
    run(&place.flush(), batch(0, &days)).await.unwrap();
    seal_all(&mut client).await;
    assert_eq!(place.count("select count(*) from chunks").await, 364);

    // For the first time, by one instance: each invocation goes on, a day at least, and none waits for its time.
    let mut variables = place.variables();
    variables.extend([("WM_RAW_RETENTION", "8d".to_owned()), ("WM_CHUNK_RETENTION", "30d".to_owned())]);
    let flush = Flush::new(FlushConfig::from_env(&lookup(variables)).unwrap());
    let (mut invocations, mut left) = (0, 364);
    while left > 30 {
        run(&flush, batch(1_000 + invocations, &[record_at(URL, now())])).await.unwrap();
        invocations += 1;
        let before = left;
        left = place.count("select count(*) from chunks where hour < now() - interval '2 hours'").await;
        assert!(left < before, "{left} of {before} after {invocations} invocations");
    }
    assert_eq!(left, 30);
    let (probes, from) = count(&client, None, None).await;
    assert_eq!((probes, from), (364 + u64::try_from(invocations).unwrap(), None));
}

/// Asks about parts of days of which only the rollups are left, and of months that were dropped.
async fn refused_where_nothing_is_kept(place: &Place, inside: Micros) {
    let stats = place.stats();
    let instant = |micros: i64| timestamp::format(Micros(inside.0 + micros).timestamp());
    let part = format!("from={}&to={}", instant(0), instant(DAY / 8));
    let two_parts = format!("from={}&to={}", instant(-DAY / 2), instant(DAY / 2));
    let dropped = format!("from={}&to={}", instant(-200 * DAY), instant(-150 * DAY));
    for query in [&part, &two_parts, &dropped, &format!("{part}&bucket=1h"), &format!("{part}&by=status&bucket=1d")] {
        for accept in ["application/json", "text/csv"] {
            let response = request(&stats, "GET", &format!("/stats?{query}"), &[("accept", accept)]).await;
            let body: Value = serde_json::from_str(text(&response)).unwrap();
            assert_eq!(
                (response.status().as_u16(), &body["errors"][0]["parameter"]),
                (400, &json!("window")),
                "{query}"
            );
            let detail = body["errors"][0]["detail"].as_str().unwrap();
            assert!(detail.contains("whole days (UTC)") && detail.contains("T00:00:00.000000Z"), "{detail}");
        }
    }
    // So is a comparison with such a window.
    let kept_from = days_ago(30);
    let [from, to] = [kept_from, Micros(kept_from.0 + DAY / 8)].map(|instant| timestamp::format(instant.timestamp()));
    let (response, body) = send(&stats, "GET", &format!("/stats?from={from}&to={to}&compare=previous")).await;
    assert_eq!((response.status().as_u16(), &body["errors"][0]["parameter"]), (400, &json!("compare")), "{body}");
    let start = inside.0 - inside.0.rem_euclid(DAY);
    let day = |days: i64| timestamp::format(Micros(start + days * DAY).timestamp());
    let half = timestamp::format(Micros(start + DAY / 2).timestamp());
    let (_, body) = send(&stats, "GET", &format!("/stats?from={half}&to={}&compare=previous", day(2))).await;
    assert_eq!(body["stats"], json!([]), "{body}");
    assert_eq!((&body["from"], &body["to"]), (&json!(day(1)), &json!(day(2))));

    // What is kept is answered, with the window that it is of.
    let (_, body) = send(&stats, "GET", &format!("/stats?from={}&to={}", instant(-DAY), instant(2 * DAY))).await;
    assert_eq!(
        (&body["from"], &body["to"], &body["stats"][0]["probes"]),
        (&json!(day(0)), &json!(day(2)), &json!(600))
    );
    let badge = request(&stats, "GET", "/badge.svg?url=https://a.test&window=all", &[]).await;
    let first = Span::Month.start(days_ago(60)).timestamp().strftime("%Y-%m-%d").to_string();
    assert!(text(&badge).contains(&format!("uptime since {first}")), "{}", text(&badge));
    let badge = request(&stats, "GET", "/badge.svg?url=https://a.test&window=90d", &[]).await;
    assert!(text(&badge).contains(&format!("uptime since {first}")), "{}", text(&badge));
    let badge = request(&stats, "GET", "/badge.svg?url=https://a.test&window=7d", &[]).await;
    assert!(text(&badge).contains("uptime 7d"), "{}", text(&badge));
    let metrics = request(&stats, "GET", "/metrics?window=90d", &[]).await;
    let start = Span::Month.start(days_ago(60)).0 / 1_000_000;
    let line = format!(
        "website_monitor_window_start_timestamp_seconds{{url=\"https://a.test\",monitor=\"\",window=\"90d\"}} {start}"
    );
    assert!(text(&metrics).lines().any(|found| found == line), "{line}: {}", text(&metrics));
    let (_, body) = send(&stats, "GET", "/overview").await;
    let from = timestamp::format(Span::Month.start(days_ago(60)).timestamp());
    assert_eq!(body["targets"][0]["windows"][3]["from"], json!(from));
    let (_, body) = send(&stats, "GET", &format!("/failures?{part}")).await;
    assert_eq!((&body["failures"], &body["rows_from"]), (&json!([]), &json!(instant(DAY / 8))));
}
