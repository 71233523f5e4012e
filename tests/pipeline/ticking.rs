//! Ticks of probe at their worst: twice, into a network without names, and with every target hanging.

use std::time::Duration;

use jiff::SignedDuration;
use local_stack::website::Website;
use probe::{Summary, input::Tick};
use shared::timestamp;

use crate::{
    delivering::{deliver, drained, source_of},
    support::Place,
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
