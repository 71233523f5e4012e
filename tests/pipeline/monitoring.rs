//! Monitors over a whole invocation: each slot with its one verdict, whatever happens to it.

use std::{collections::BTreeSet, fs, time::Duration};

use jiff::SignedDuration;
use local_stack::website::Website;
use probe::{
    Probe, ProbeError, Summary,
    input::{Selection, Tick},
    plan::Shard,
    run,
};
use serde_json::json;
use shared::{Record, record::Outcome, timestamp};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    publishing::consume_all,
    support::{Place, directory, free_port},
};

/// Longer than any of these takes; what is awaited ends sooner.
const BUDGET: Duration = Duration::from_secs(120);

/// A probe with a file of monitors, and with these variables more.
fn probe_of(place: &Place, file: &str, more: &[(&'static str, &str)]) -> Probe {
    let directory = directory(&place.name);
    fs::create_dir_all(&directory).unwrap();
    let path = directory.join("monitors.yaml");
    fs::write(&path, file).unwrap();
    let mut variables = vec![("WM_URL", ""), ("WM_MONITORS_FILE", path.to_str().unwrap())];
    variables.extend(more);
    place.probe(&variables)
}

fn scheduled() -> Tick {
    Tick { scheduled_at: Some(timestamp::now()), ..Tick::default() }
}

/// The names of the records' monitors.
fn names(records: &[Record]) -> BTreeSet<&str> {
    records.iter().filter_map(|record| record.monitor.as_deref()).collect()
}

#[tokio::test]
async fn every_attempt_is_a_record_and_the_last_is_the_verdict_of_the_slot() {
    let place = Place::new("monitoring_retries").await;
    let website = Website::start(0).await.unwrap();
    let (flaky, failing) = (website.url("/flaky/2"), website.named_url("/failing"));
    let file = format!(
        "defaults: {{retries: 2}}\nmonitors:\n- {{id: flaky, url: '{flaky}'}}\n- {{id: failing, url: '{failing}', retries: 1}}"
    );

    let summary = run(&probe_of(&place, &file, &[]), scheduled(), BUDGET).await.unwrap();

    let expected = Summary { probed: 5, up: 1, down: 1, retried: 3, published: 5, ..Summary::default() };
    assert_eq!(Summary { elapsed_ms: 0, ..summary }, expected);
    let records = consume_all(&place, 5).await;
    let attempts = |name: &str| -> Vec<_> {
        let of_it = records.iter().filter(|record| record.monitor.as_deref() == Some(name));
        of_it.map(|record| (record.attempt, record.outcome(), record.retried)).collect()
    };
    let (up, down) = (Outcome::Up, Outcome::Down);
    assert_eq!(attempts("flaky"), [(1, down, true), (2, down, true), (3, up, false)]);
    assert_eq!(attempts("failing"), [(1, down, true), (2, down, false)]);
    // It really waits, longer each time.
    let starts: Vec<_> = records.iter().filter(|record| record.url == flaky).map(|record| record.timestamp).collect();
    for (pair, seconds) in starts.windows(2).zip([1, 2]) {
        assert!(pair[1].duration_since(pair[0]) >= SignedDuration::from_secs(seconds), "{starts:?}");
    }
    assert_eq!(records.iter().map(|record| record.scheduled_at).collect::<BTreeSet<_>>().len(), 1);
}

#[tokio::test]
async fn when_time_runs_out_every_slot_is_still_accounted_for() {
    let place = Place::new("monitoring_no_time").await;
    let website = Website::start(0).await.unwrap();
    let probe = place.probe(&[("WM_PROBE_CONCURRENCY", "1")]);
    run(&probe, Tick::of_urls(&[website.url("/fast")]), BUDGET).await.unwrap();

    let urls = [website.url("/hang"), website.url("/hang/2"), website.url("/hang/3")];
    let summary = run(&probe, Tick::of_urls(&urls), Duration::from_secs(10)).await.unwrap();

    assert_eq!((summary.probed, summary.missed, summary.published), (0, 3, 3));
    let records = consume_all(&place, 4).await;
    let mut reasons: Vec<_> = records.iter().filter_map(|record| record.reason.as_deref()).collect();
    reasons.sort_unstable();
    let [begun, waited, _] = reasons.as_slice() else { panic!("{records:?}") };
    assert!(begun.starts_with("given up after") && begun.contains("of 60000 ms"), "{begun}");
    assert!(waited.starts_with("no time left: it waited for others, 1 at a time, 2 of one host"), "{waited}");
}

#[tokio::test]
async fn a_slot_that_comes_after_the_invocation_or_came_long_before_it_is_missed() {
    let place = Place::new("monitoring_missed").await;
    let website = Website::start(0).await.unwrap();
    let file = format!("monitors: [{{id: often, url: '{}', interval: 15s}}]", website.url("/fast"));
    let probe = probe_of(&place, &file, &[("WM_PROBE_TICK", "30s")]);

    let summary = run(&probe, scheduled(), Duration::from_secs(10)).await.unwrap();
    assert_eq!((summary.up, summary.missed, summary.published), (1, 1, 2));

    let stale = Tick { scheduled_at: Some(timestamp::now() - SignedDuration::from_hours(1)), ..Tick::default() };
    for _ in 0..2 {
        let summary = run(&probe, stale.clone(), BUDGET).await.unwrap();
        assert_eq!((summary.up, summary.missed, summary.published), (0, 2, 2));
    }
    assert_eq!(website.connections(), 1);
    let records = consume_all(&place, 6).await;
    let missed: Vec<_> = records.iter().filter(|record| record.outcome() == Outcome::Missed).collect();
    assert!(missed.iter().all(|record| Some(record.timestamp) == record.scheduled_at && record.error.is_none()));
    let says = |words: &str| missed.iter().any(|record| record.reason.as_ref().unwrap().contains(words));
    assert!(says("give the function a longer timeout") && says("its tick came 3600 s late"), "{missed:?}");
    // Told twice, they are the same two.
    assert_eq!(missed.iter().map(|record| record.id).collect::<BTreeSet<_>>().len(), 3);
}

#[tokio::test]
async fn a_monitor_that_is_faster_than_the_tick_is_probed_several_times_in_it() {
    let place = Place::new("monitoring_fast").await;
    let website = Website::start(0).await.unwrap();
    let file = format!("monitors: [{{id: often, url: '{}', interval: 1s, tags: [a, b]}}]", website.url("/fast"));
    let probe = probe_of(&place, &file, &[("WM_PROBE_TICK", "3s")]);

    let tick = scheduled();
    let scheduled_at = tick.scheduled_at.unwrap();
    let summary = run(&probe, tick, BUDGET).await.unwrap();

    assert_eq!((summary.up, summary.published), (3, 3));
    let mut slots = Vec::new();
    for record in consume_all(&place, 3).await {
        let slot = record.scheduled_at.unwrap();
        assert!(record.timestamp >= slot, "{record:?}");
        assert_eq!(
            (record.interval_ms, record.tags.as_slice()),
            (Some(1_000), ["a".to_owned(), "b".to_owned()].as_slice())
        );
        slots.push(slot.duration_since(scheduled_at).as_secs());
    }
    slots.sort_unstable();
    assert_eq!(slots, [0, 1, 2]);
}

#[tokio::test]
async fn requests_are_made_at_the_same_time_but_not_too_many_and_two_of_one_host() {
    let place = Place::new("monitoring_concurrency").await;
    for (concurrency, hosts, peak) in [("200", 1, 2), ("200", 2, 4), ("3", 2, 3)] {
        let website = Website::start(0).await.unwrap();
        let url = |n| if n % hosts == 0 { website.url("/slow/100") } else { website.named_url("/slow/100") };
        let urls: Vec<_> = (0..12).map(url).collect();

        let probe = place.probe(&[("WM_PROBE_CONCURRENCY", concurrency)]);
        let summary = run(&probe, Tick::of_urls(&urls), BUDGET).await.unwrap();

        assert_eq!((summary.up, website.connections()), (12, 12));
        assert!((2..=peak).contains(&website.peak()), "{} of {peak}", website.peak());
    }
}

#[tokio::test]
async fn a_target_that_hangs_keeps_no_other_waiting() {
    let place = Place::new("monitoring_hanging").await;
    let website = Website::start(0).await.unwrap();
    let refused: Vec<_> = (1..40).map(|n| format!("http://127.0.0.{}:{}/", n + 1, free_port())).collect();
    let mut urls = vec![website.url("/hang")];
    urls.extend(refused);

    let probe = place.probe(&[("WM_PROBE_CONCURRENCY", "2"), ("WM_PROBE_TIMEOUT_MS", "3000")]);
    let summary = run(&probe, Tick::of_urls(&urls), BUDGET).await.unwrap();

    assert_eq!((summary.down, summary.missed), (40, 0));
    let records = consume_all(&place, 40).await;
    let hangs = records.iter().find(|record| record.url == urls[0]).unwrap();
    let end = hangs.timestamp + SignedDuration::from_secs(3);
    let before = records.iter().filter(|record| record.timestamp < end).count();
    assert_eq!(before, 40, "the others waited for the one that hangs");
}

#[tokio::test]
async fn an_event_selects_monitors_by_id_tag_and_shard() {
    let place = Place::new("monitoring_selection").await;
    let website = Website::start(0).await.unwrap();
    let mut file = "monitors:\n- {id: off, url: 'http://a.test', enabled: false}\n".to_owned();
    for n in 0..12 {
        let tags = if n < 3 { "[few]" } else { "[many]" };
        let location = if n == 11 { "[elsewhere]" } else { "[]" };
        file += &format!("- {{id: m{n}, url: '{}', tags: {tags}, locations: {location}}}\n", website.url("/fast"));
    }
    let probe = probe_of(&place, &file, &[("WM_LOCATION", "here")]);
    let select = |selection: Selection| Tick { selection, ..Tick::default() };
    let list = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();

    let count = async |tick: Tick| run(&probe, tick, BUDGET).await.map(|summary| summary.up);
    assert_eq!(count(Tick::default()).await.unwrap(), 11);
    assert_eq!(count(select(Selection::Ids(list(&["m1", "m11"])))).await.unwrap(), 2);
    assert_eq!(count(select(Selection::Tags(list(&["few", "other"])))).await.unwrap(), 3);
    for (selection, words) in [
        (Selection::Ids(list(&["m99"])), "there is no monitor \"m99\"; there are [\"m0\""),
        (Selection::Ids(list(&["off"])), "the monitor \"off\" is not enabled"),
        (Selection::Tags(list(&["other"])), "has a tag of [\"other\"]"),
        (Selection::Monitors("{\n \"monitors\": [{\"id\": 1}]}".to_owned()), "monitors:2:"),
    ] {
        let error = count(select(selection)).await.unwrap_err();
        assert!(matches!(error, ProbeError::Input(_)) && error.to_string().contains(words), "{error}");
    }
    let carried =
        format!("monitors: [{{id: carried, url: '{}', expect: {{status: 204}}}}]", website.url("/status/204"));
    assert_eq!(count(select(Selection::Monitors(carried))).await.unwrap(), 1);
    // Whoever sends an event is not given what only the function knows.
    let asking = "monitors: [{id: a, url: 'http://a.test/', body: '${HOME}'}]".to_owned();
    let error = count(select(Selection::Monitors(asking))).await.unwrap_err().to_string();
    assert!(error.contains("${HOME} leads nowhere here"), "{error}");

    consume_all(&place, 17).await;
    for index in 0..3 {
        run(&probe, Tick { shard: Some(Shard { index, count: 3 }), ..Tick::default() }, BUDGET).await.unwrap();
    }
    let records = consume_all(&place, 28).await;
    assert_eq!((names(&records[17..]).len(), records[17..].len()), (11, 11));
}

#[tokio::test]
async fn without_a_monitor_there_is_nothing_to_do_and_the_error_says_what_to_set() {
    let place = Place::new("monitoring_none").await;

    let error = run(&probe_of(&place, "monitors: []", &[]), Tick::default(), BUDGET).await.unwrap_err();

    assert!(matches!(error, ProbeError::NoMonitors) && error.to_string().contains("WM_URL"), "{error}");
}

#[tokio::test]
async fn a_record_says_what_the_prober_did_meanwhile() {
    let place = Place::new("monitoring_prober").await;
    let website = Website::start(0).await.unwrap();
    let urls = [website.url("/slow/300"), website.named_url("/slow/300")];
    let probe = place.probe(&[]);

    run(&probe, Tick { scheduled_at: Some(timestamp::now()), ..Tick::of_urls(&urls) }, BUDGET).await.unwrap();
    run(&probe, Tick::of_urls(&urls[..1]), BUDGET).await.unwrap();

    let probers: Vec<_> = consume_all(&place, 3).await.into_iter().map(|record| record.prober.unwrap()).collect();
    assert_eq!(probers.iter().map(|prober| prober.cold_start).collect::<Vec<_>>(), [true, true, false]);
    let mut in_flight: Vec<_> = probers.iter().map(|prober| prober.in_flight).collect();
    in_flight.sort_unstable();
    assert_eq!(in_flight, [1, 1, 2]);
    assert!(probers[0].late_ms.is_some() && probers[2].late_ms.is_none(), "{probers:?}");
}

/// An extension for secrets that says what it was asked, one head after the other, and answers as the path says.
async fn extension() -> (u16, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (asked, receiver) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                connection.read_buf(&mut head).await.unwrap();
            }
            let head = String::from_utf8(head).unwrap();
            let (status, body) = match head.split(' ').nth(1).unwrap() {
                "/secretsmanager/get?secretId=api" => {
                    (200, json!({"SecretString": "{\"token\": \"s3cret-token\"}"}).to_string())
                }
                "/systemsmanager/parameters/get?name=%2Fshop%2Fkey&withDecryption=true" => {
                    (200, json!({"Parameter": {"Value": "s3cret/key"}}).to_string())
                }
                _ => (400, "an unexpected error occurred while executing request".to_owned()),
            };
            let answer = format!("HTTP/1.1 {status} OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            connection.write_all(answer.as_bytes()).await.unwrap();
            asked.send(head).unwrap();
        }
    });
    (port, receiver)
}

#[tokio::test]
async fn secrets_are_fetched_sent_and_never_told() {
    let place = Place::new("monitoring_secrets").await;
    let website = Website::start(0).await.unwrap();
    let (port, mut asked) = extension().await;
    let port = port.to_string();
    let variables = [
        ("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", port.as_str()),
        ("AWS_SESSION_TOKEN", "session"),
        ("API_NAME", "s3cret-name"),
    ];
    let file = format!(
        "monitors: [{{id: a, url: '{}/${{ssm:/shop/key}}', \
         headers: {{authorization: '${{API_NAME}} ${{secretsmanager:api#token}}'}}, \
         expect: {{headers: {{x-echo: something}}}}}}]",
        website.url("/echo")
    );

    let probe = probe_of(&place, &file, &variables);
    for _ in 0..2 {
        let summary = run(&probe, Tick::default(), BUDGET).await.unwrap();
        assert_eq!((summary.down, summary.published), (1, 1));
    }

    // Once for both invocations.
    let mut heads = Vec::new();
    while let Ok(head) = asked.try_recv() {
        assert!(head.contains("x-aws-parameters-secrets-token: session"), "{head}");
        heads.push(head);
    }
    assert_eq!(heads.len(), 2, "{heads:?}");
    for record in consume_all(&place, 2).await {
        let told = String::from_utf8(record.encode().unwrap()).unwrap();
        assert!(!told.contains("s3cret"), "{told}");
        assert!(record.url.ends_with("/echo/${ssm:/shop/key}"), "{}", record.url);
        let message = record.error.unwrap().message;
        let expected = "the header x-echo is \"${API_NAME} ${secretsmanager:api#token}\": expected \"something\"";
        assert_eq!(message, expected);
    }

    // The extension is on this machine, where a target may not be.
    let mut guarded = variables.to_vec();
    guarded.push(("WM_ALLOW_PRIVATE_TARGETS", "false"));
    let summary = run(&probe_of(&place, &file, &guarded), Tick::default(), BUDGET).await.unwrap();
    assert_eq!((summary.down, summary.published), (1, 1));
    let blocked = consume_all(&place, 3).await.pop().unwrap().error.unwrap();
    assert!(blocked.message.contains("a loopback address"), "{}", blocked.message);

    // What leads nowhere is told, all of it.
    let file = "monitors:\n- {id: a, url: 'http://a.test/', body: '${ssm:none} ${secretsmanager:api#no}'}\n\
                - {id: b, url: 'http://b.test/', body: '${secretsmanager:api#no}'}";
    let error = run(&probe_of(&place, file, &variables), Tick::default(), BUDGET).await.unwrap_err().to_string();
    for words in [
        ": ${ssm:none} leads nowhere: the extension answers 400",
        ": ${secretsmanager:api#no} leads",
        "no text under the key \"no\"",
    ] {
        assert!(error.contains(words), "{words} is not in {error}");
    }
    let nobody = free_port().to_string();
    let without = [("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", nobody.as_str())];
    let error = run(&probe_of(&place, file, &without), Tick::default(), BUDGET).await.unwrap_err().to_string();
    assert!(error.contains("is it among the layers of this function?"), "{error}");
}
