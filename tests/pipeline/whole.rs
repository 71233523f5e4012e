//! The whole way of a record, through the real functions under the local emulator.

use local_stack::{functions::Functions, schedule::rule_event, website::Website, workspace};
use serde_json::json;
use shared::timestamp;
use stats::report::TargetStats;

use crate::{
    delivering::{deliver, source_of},
    support::{Place, event, free_port, until},
};

async fn stats_of(functions: &Functions, url: &str) -> Option<TargetStats> {
    functions.client().stats_of(&[url.to_owned()]).await.unwrap().stats.into_iter().next()
}

#[tokio::test]
async fn a_tick_becomes_statistics() {
    let place = Place::new("whole_tick").await;
    let website = Website::start(0).await.unwrap();
    let refused = format!("http://127.0.0.1:{}/", free_port());
    let urls = [website.url("/fast"), website.url("/failing"), refused];
    let functions = place.functions(&[("WM_URL", urls.join(","))]).await;
    let (source, _deliveries) = deliver(source_of(&place), functions.client());

    let now = timestamp::now();
    for second in 0..2 {
        let tick = rule_event(now + jiff::SignedDuration::from_secs(second));
        let summary = functions.client().invoke("probe", &tick).await.unwrap();
        assert_eq!((&summary["probed"], &summary["published"], &summary["up"]), (&json!(3), &json!(3), &json!(1)));
    }
    until("all six records are counted", async || {
        let stats = functions.client().stats_of(&urls).await.unwrap().stats;
        stats.iter().map(|stats| stats.figures.probes).sum::<i64>() == 6
    })
    .await;

    let [fast, failing, refused] = [0, 1, 2].map(|index| stats_of(&functions, &urls[index]));
    let (fast, failing, refused) = (fast.await.unwrap(), failing.await.unwrap(), refused.await.unwrap());
    assert_eq!((fast.figures.probes, fast.figures.responses, fast.figures.failures, fast.figures.down), (2, 2, 0, 0));
    assert_eq!(
        (failing.figures.probes, failing.figures.responses, failing.figures.failures, failing.figures.down),
        (2, 2, 0, 2)
    );
    assert_eq!(
        (refused.figures.probes, refused.figures.responses, refused.figures.failures, refused.figures.down),
        (2, 0, 2, 2)
    );
    assert!(fast.figures.p50_ms.is_some() && refused.figures.p50_ms.is_none());
    assert_eq!(place.count(&format!("select count(*) from probes where scheduled_at = '{now:.3}'")).await, 3);
    source.abort();
}

#[tokio::test]
async fn every_file_in_events_is_taken_by_its_function() {
    let place = Place::new("whole_events").await;
    let website = Website::start(0).await.unwrap();
    let functions = place.functions(&[("WM_URL", website.url("/fast"))]).await;

    for file in std::fs::read_dir(workspace().join("events")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let function = match name.split('-').next().unwrap() {
            "schedule" | "probe" => "probe",
            "kafka" => "flush",
            "stats" => "stats",
            other => panic!("{other}: whose event is it?"),
        };
        // The machine that runs the tests may have no way out.
        let text = event(&name).to_string();
        let text =
            text.replace("https://example.com", &website.url("")).replace("https://example.org", &website.url("/o"));
        // Nor is its tick to be one of long ago.
        let text = text.replace("2026-11-23T12:00:00Z", &format!("{:.0}", timestamp::now()));
        let payload = if function == "probe" { serde_json::from_str(&text).unwrap() } else { event(&name) };

        let answer = functions.client().invoke(function, &payload).await.unwrap();

        match function {
            "probe" => assert_eq!(answer["up"], answer["published"], "{name}: {answer}"),
            "flush" => assert!(answer["stored"].as_u64().unwrap() > 0, "{name}: {answer}"),
            _ => assert_eq!(answer["statusCode"], 200, "{name}: {answer}"),
        }
    }
    let error = functions.client().invoke("probe", &json!({"targets": []})).await.unwrap_err().to_string();
    assert!(error.contains("{\"urls\": [\"https://…\", …]}"), "{error}");
    let response = functions.client().stats("/stats?window=soon").await.unwrap();
    assert_eq!(response.status().as_u16(), 400);
}

#[tokio::test]
async fn what_the_database_missed_while_it_was_down_is_delivered_when_it_is_back() {
    let place = Place::new("whole_down").await;
    let website = Website::start(0).await.unwrap();
    let urls = [website.url("/fast")];
    let later = place.connection_string.replace("whole_down", "whole_down_later");
    let functions = place.functions(&[("WM_URL", urls[0].clone()), ("WM_DB_CONNECTION_STRING", later)]).await;
    let (source, mut deliveries) = deliver(source_of(&place), functions.client());

    functions.client().invoke("probe", &json!({})).await.unwrap();
    let failed = deliveries.recv().await.unwrap().unwrap_err();
    assert!(failed.contains("cannot connect to the database"), "{failed}");
    place.client().await.batch_execute("create database whole_down_later").await.unwrap();

    let stored = loop {
        if let Ok(answer) = deliveries.recv().await.unwrap() {
            break answer;
        }
    };
    assert_eq!((&stored["received"], &stored["stored"]), (&json!(1), &json!(1)));
    assert_eq!(stats_of(&functions, &urls[0]).await.unwrap().figures.probes, 1);
    source.abort();
}

#[tokio::test]
async fn functions_that_start_together_share_one_schema() {
    let place = Place::new("whole_schema").await;
    let (one, other) = (place.functions(&[]).await, place.functions(&[]).await);

    let batch = event("kafka-msk.json");
    let answers = tokio::join!(one.client().invoke("flush", &batch), other.client().invoke("flush", &batch));

    let (one_answer, other_answer) = (answers.0.unwrap(), answers.1.unwrap());
    assert_eq!(one_answer["batchItemFailures"], json!([]));
    assert_eq!(one_answer["stored"].as_u64().unwrap() + other_answer["stored"].as_u64().unwrap(), 3);
    assert_eq!(stats_of(&other, "https://example.com").await.unwrap().figures.probes, 2);
}
