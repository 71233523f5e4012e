//! Ticks of probe at their worst: twice, into a network without names, and with every target hanging.

use std::time::Duration;

use jiff::SignedDuration;
use local_stack::website::Website;
use probe::{Summary, input::Tick};
use serde_json::json;
use shared::timestamp;

use crate::{
    delivering::{deliver, drained, source_of},
    support::{Place, event},
};

const BUDGET: Duration = Duration::from_secs(60);

/// A tick of the schedule, now.
fn tick() -> Tick {
    Tick { scheduled_at: Some(timestamp::now()), ..Tick::default() }
}

fn without_times(summary: Summary) -> Summary {
    Summary { elapsed_ms: 0, ..summary }
}

#[tokio::test]
async fn a_tick_that_comes_twice_is_probed_once() {
    let place = Place::new("ticking_twice").await;
    let website = Website::start(0).await.unwrap();
    let urls = [website.url("/fast"), website.url("/failing"), website.url("/fast?2")].join(",");
    let probe = place.probe(&[("WM_URL", &urls)]);
    let first = tick();
    let second = Tick { scheduled_at: first.scheduled_at.map(|time| time + SignedDuration::from_secs(1)), ..tick() };

    let once = probe::run(&probe, first.clone(), BUDGET).await.unwrap();
    let again = probe::run(&probe, first, BUDGET).await.unwrap();
    let next = probe::run(&probe, second.clone(), BUDGET).await.unwrap();

    let all = Summary { probed: 3, up: 2, down: 1, published: 3, ..Summary::default() };
    assert_eq!(without_times(once), all);
    assert_eq!(without_times(again), Summary { repeated: 3, ..Summary::default() });
    assert_eq!(without_times(next), all);
    assert_eq!(website.connections(), 6);
    // What an event names itself is none of the schedule's slots.
    let named = Tick { scheduled_at: second.scheduled_at, ..Tick::of_urls(&[website.url("/fast")]) };
    assert_eq!(probe::run(&probe, named, BUDGET).await.unwrap().published, 1);
    // By hand, as often as one likes.
    for _ in 0..2 {
        assert_eq!(without_times(probe::run(&probe, Tick::default(), BUDGET).await.unwrap()), all);
    }

    let functions = place.functions(&[]).await;
    let (source, _deliveries) = deliver(source_of(&place), functions.client());
    drained(&source_of(&place)).await;
    source.abort();
    assert_eq!(place.count("select count(*) from probes").await, 13);
    let doubled = "select count(*) from (select from probes where scheduled_at is not null
                   group by scheduled_at, target_id having count(*) > 1) as slots";
    assert_eq!(place.count(doubled).await, 1, "that of the event");
}

#[tokio::test]
async fn event_with_a_time_that_no_schedule_has_is_probed_now_and_starts_no_schedule() {
    let place = Place::new("ticking_implausible").await;
    let website = Website::start(0).await.unwrap();
    let probe = place.probe(&[("WM_URL", &website.url("/fast"))]);
    // The sample event of the Lambda console.
    let sample = json!({
        "id": "cdc73f9d-aea9-11e3-9d5a-835b769c0d9c", "detail-type": "Scheduled Event", "source": "aws.events",
        "account": "123456789012", "time": "1970-01-01T00:00:00Z", "region": "us-east-1",
        "resources": ["arn:aws:events:us-east-1:123456789012:rule/ExampleRule"], "detail": {}
    });
    let far_ahead = json!({"scheduled_at": timestamp::format(timestamp::now() + SignedDuration::from_hours(1))});
    for event in [sample, event("schedule-rule.json"), event("schedule-scheduler.json"), far_ahead] {
        let summary = probe::run(&probe, Tick::from_event(&event.to_string()).unwrap(), BUDGET).await.unwrap();

        assert!(
            summary.note.as_ref().is_some_and(|note| note.contains("probed now, outside the schedule")),
            "{summary:?}"
        );
        assert_eq!((summary.up, summary.missed, summary.published), (1, 0, 1));
    }
    // One that a schedule may deliver so late is missed, as ever.
    let late = Tick { scheduled_at: Some(timestamp::now() - SignedDuration::from_hours(1)), ..Tick::default() };
    let late = probe::run(&probe, late, BUDGET).await.unwrap();
    assert_eq!((late.note, late.up, late.missed), (None, 0, 1));

    let functions = place.functions(&[]).await;
    let (source, _deliveries) = deliver(source_of(&place), functions.client());
    drained(&source_of(&place)).await;
    source.abort();
    assert_eq!(place.count("select count(*) from probes where scheduled_at is null").await, 4);
    assert_eq!(place.count("select count(*) from probes where scheduled_at is not null").await, 1);
    let before = "select count(*) from target_settings where since < now() - interval '2 hours'";
    assert_eq!(place.count(before).await, 0);
}

#[tokio::test]
async fn each_event_file_for_probe_gives_records_of_what_it_names() {
    let place = Place::new("ticking_events").await;
    let website = Website::start(0).await.unwrap();
    let probe = place.probe(&[("WM_URL", &website.url("/fast")), ("WM_PROBE_TIMEOUT_MS", "20000")]);
    let files = std::fs::read_dir(local_stack::workspace().join("events")).unwrap();
    let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.starts_with("probe-") || name.starts_with("schedule-"));
    names.sort();

    for name in names {
        let summary = probe::run(&probe, Tick::from_event(&event(&name).to_string()).unwrap(), BUDGET).await.unwrap();

        let slots = if ["probe-monitors.json", "probe-urls.json"].contains(&name.as_str()) { 2 } else { 1 };
        let Summary { up, degraded, down, missed, .. } = summary;
        assert_eq!((up + degraded + down, missed), (slots, 0), "{name}: {summary:?}");
    }
}

#[tokio::test]
async fn without_names_each_target_has_its_verdict_and_those_with_addresses_are_up() {
    let place = Place::new("ticking_names").await;
    let website = Website::start(0).await.unwrap();
    let urls: Vec<_> = (0..20)
        .map(|number| match number % 2 {
            0 => website.url(&format!("/fast?{number}")),
            _ => format!("http://name-{number}.invalid/"),
        })
        .collect();
    let probe = place.probe(&[("WM_URL", &urls.join(",")), ("WM_PROBE_TIMEOUT_MS", "20000")]);

    let summary = probe::run(&probe, tick(), BUDGET).await.unwrap();

    assert_eq!((summary.up, summary.down, summary.missed, summary.published), (10, 10, 0, 20));
    let functions = place.functions(&[]).await;
    let (source, _deliveries) = deliver(source_of(&place), functions.client());
    drained(&source_of(&place)).await;
    source.abort();
    assert_eq!(place.count("select count(*) from probes where outcome = 2 and error_kind in (0, 3)").await, 10);
}

#[tokio::test]
async fn when_every_target_hangs_each_is_a_timeout_and_none_is_missed() {
    let place = Place::new("ticking_hanging").await;
    let website = Website::start(0).await.unwrap();
    let urls: Vec<_> = (0..60).map(|number| website.url(&format!("/hang?{number}"))).collect();
    // Two of one host at a time.
    let probe = place.probe(&[("WM_URL", &urls.join(",")), ("WM_PROBE_TIMEOUT_MS", "100")]);

    let summary = probe::run(&probe, tick(), BUDGET).await.unwrap();

    assert_eq!((summary.down, summary.missed, summary.published), (60, 0, 60));
    let functions = place.functions(&[]).await;
    let (source, _deliveries) = deliver(source_of(&place), functions.client());
    drained(&source_of(&place)).await;
    source.abort();
    assert_eq!(place.count("select count(*) from probes where error_kind = 3").await, 60);
}
