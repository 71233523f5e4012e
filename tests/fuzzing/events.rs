//! The events of all three functions as complete documents. Whatever is in one, the function answers or refuses it.

use std::{fs, sync::LazyLock, time::Duration};

use bolero::check;
use flush::{batch::Batch, event::KafkaEvent};
use lambda_runtime::{Context, LambdaEvent};
use probe::{
    input::{Selection, Tick},
    monitors::{Defaults, Monitors, secrets::Secrets},
    plan::{Pace, slots},
};
use serde_json::{Value, json, value::RawValue};
use stats::{Stats, StatsConfig, handle};
use tokio::runtime::{Builder, Runtime};

use crate::json::Node;

/// Changed documents of each kind in a run of `cargo test`.
const DOCUMENTS: usize = 5_000;
/// The same where each is answered as a request.
const REQUESTS: usize = 1_500;

/// The JSON files of some folders.
fn documents(folders: &[&str]) -> Vec<Node> {
    let path = |folder: &&str| format!("{}/../../{folder}", env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<_> = folders
        .iter()
        .flat_map(|folder| fs::read_dir(path(folder)).unwrap())
        .map(|file| file.unwrap().path())
        .collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files.iter().map(|file| Node::read(&fs::read_to_string(file).unwrap())).collect()
}

/// Each document with random changes to a closure. A macro, since a target is named after the function that it is in.
macro_rules! each {
    ($documents:expr, $count:expr, $target:expr) => {{
        static DOCUMENTS_OF_TARGET: LazyLock<Vec<Node>> = LazyLock::new(|| $documents);
        let target: fn(&str) = $target;
        DOCUMENTS_OF_TARGET.iter().for_each(|document| target(&document.changed(&[])));
        check!().with_iterations($count).with_max_len(40).for_each(|input: &[u8]| {
            let Some((&which, changes)) = input.split_first() else { return };
            let document = &DOCUMENTS_OF_TARGET[usize::from(which) % DOCUMENTS_OF_TARGET.len()];
            target(&document.changed(changes));
        });
    }};
}

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Builder::new_current_thread().enable_all().build().unwrap());

/// stats without a database.
static STATS: LazyLock<Stats> = LazyLock::new(|| {
    let variable = |name: &str| match name {
        "WM_DB_CONNECTION_STRING" => Some("postgres://127.0.0.1:1/nowhere".to_owned()),
        "WM_STATS_PREFIX" => Some("/monitor".to_owned()),
        "WM_STATS_CORS_ORIGINS" => Some("https://a.test".to_owned()),
        _ => None,
    };
    Stats::new(StatsConfig::from_env(&variable).unwrap())
});

#[test]
fn http_event() {
    each!(documents(&["events", "functions/stats/fixtures"]), REQUESTS, |text| {
        // Lambda sends no event that is not JSON.
        let Ok(event) = serde_json::from_str::<Box<RawValue>>(text) else { return };
        let answer = RUNTIME.block_on(handle(&STATS, LambdaEvent::new(event, Context::default()))).unwrap();
        let answer = json!(answer);

        // 503 is for those who may ask the database, which is not there.
        let status = answer["statusCode"].as_u64().unwrap();
        assert!((200..500).contains(&status) || status == 503, "{answer}");
        let is_text =
            |value: &Value| value.as_str().is_some_and(|text| text.bytes().all(|byte| (b' '..0x7f).contains(&byte)));
        let headers = answer["headers"].as_object().or(answer["multiValueHeaders"].as_object()).unwrap();
        let values =
            headers.values().flat_map(|value| value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]));
        assert!(values.collect::<Vec<_>>().iter().all(is_text), "{answer}");
        assert!(answer["body"].is_string() && answer["isBase64Encoded"].is_boolean(), "{answer}");
        if status == 400 {
            let problem: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
            assert!(problem["detail"].is_string() || problem["errors"][0]["detail"].is_string(), "{problem}");
        }
    });
}

#[test]
fn kafka_event_with_changes() {
    each!(documents(&["events", "functions/flush/fixtures"]), DOCUMENTS, |text| {
        match KafkaEvent::read(text) {
            Ok(event) => {
                let records = event.records.len();
                let batch = Batch::decode(event);
                assert_eq!(batch.observations.len() + batch.rejects.len(), records);
                assert!(batch.rejects.iter().all(|reject| !reject.reason.is_empty() && !reject.reason.contains('\n')));
            }
            Err(error) => assert!(error.to_string().contains("expected"), "{error}"),
        }
    });
}

#[test]
fn schedule_event() {
    each!(documents(&["events", "tests/fuzzing/schedules"]), DOCUMENTS, |text| {
        let second = Duration::from_secs(1);
        let defaults = Defaults { timeout: second, connect_timeout: second, tick: second * 60 };
        match Tick::from_event(text) {
            Ok(tick) => {
                let configured = include_str!("../../functions/probe/monitors.yaml");
                let text = if let Selection::Monitors(text) = &tick.selection { text } else { configured };
                let Ok(monitors) = Monitors::read(text, &defaults, Secrets::default()) else { return };
                let selected: Vec<_> = monitors.enabled.iter().collect();
                let pace = Pace { tick: second * 60, spread: second * 10 };
                let slots = slots(&selected, tick.scheduled_at, "2026-11-23T12:00:00Z".parse().unwrap(), pace);
                assert!(slots.iter().all(|slot| slot.over_at.is_none_or(|over_at| over_at >= slot.starts_at)));
            }
            Err(error) => assert!(error.to_string().contains("Accepted are"), "{error}"),
        }
    });
}

#[test]
fn events_of_the_repository_are_what_their_names_promise() {
    let event = |name: &str| {
        let path = format!("{}/../../events/{name}.json", env!("CARGO_MANIFEST_DIR"));
        fs::read_to_string(path).unwrap()
    };
    let tick = |name: &str| Tick::from_event(&event(name)).unwrap();
    let urls = |urls: &[&str]| Selection::Urls(urls.iter().map(|&url| url.to_owned()).collect());

    assert_eq!(tick("probe-default"), Tick::default());
    assert_eq!(tick("probe-url").selection, urls(&["https://example.com"]));
    assert_eq!(tick("probe-urls").selection, urls(&["https://example.com", "https://example.org"]));
    let shard = tick("probe-shard").shard.unwrap();
    assert_eq!((shard.index, shard.count), (0, 1));
    let Selection::Monitors(text) = tick("probe-monitors").selection else { panic!("monitors are not carried") };
    let second = Duration::from_secs(1);
    let defaults = Defaults { timeout: second * 10, connect_timeout: second * 5, tick: second * 60 };
    let monitors = Monitors::read(&text, &defaults, Secrets::default()).unwrap();
    assert_eq!(monitors.enabled.iter().map(probe::monitors::Monitor::name).collect::<Vec<_>>(), ["homepage", "gone"]);
    for (name, observations, rejects) in
        [("kafka-msk", true, false), ("kafka-self-managed", true, false), ("kafka-bad-records", true, true)]
    {
        let batch = Batch::decode(KafkaEvent::read(&event(name)).unwrap());
        assert_eq!((!batch.observations.is_empty(), !batch.rejects.is_empty()), (observations, rejects), "{name}");
    }
    // IAM lets it in; without a database there is no more of an answer.
    let request = LambdaEvent::new(RawValue::from_string(event("stats-request")).unwrap(), Context::default());
    assert_eq!(json!(RUNTIME.block_on(handle(&STATS, request)).unwrap())["statusCode"], 503);
}
