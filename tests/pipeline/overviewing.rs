//! The overview: what state targets are in, and how much of the time.

use serde_json::{Value, json};
use shared::{Micros, timestamp};
use stats::{
    Stats,
    history::{HistoryQuery, read},
};

use crate::{
    serving::{header, request, send, text},
    support::{Place, batch, record_at, seal_step, until},
};

const MINUTE: i64 = 60_000_000;

/// The last full minute as a test began, which may go on into the next.
#[derive(Clone, Copy)]
pub(crate) struct Clock(pub(crate) Micros);

impl Clock {
    pub(crate) fn new() -> Self {
        let now = Micros::from(timestamp::now()).0;
        Self(Micros(now - now.rem_euclid(MINUTE)))
    }

    pub(crate) fn ago(self, minutes: i64) -> Micros {
        Micros(self.0.0 - minutes * MINUTE)
    }

    /// As answers have it.
    pub(crate) fn minute(self, minutes: i64) -> Value {
        json!(timestamp::format(self.ago(minutes).timestamp()))
    }

    /// A record of a probe so many minutes ago, of a monitor that is probed each minute.
    pub(crate) fn record(self, minutes: i64, monitor: &str, more: &Value) -> Value {
        let mut record = record_at(&format!("https://{monitor}.test/"), self.ago(minutes));
        let always = json!({"monitor": monitor, "location": "eu", "interval_ms": 60_000, "outcome": "up"});
        for more in [&always, more] {
            record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        }
        record
    }
}

pub(crate) fn down(message: &str) -> Value {
    json!({"outcome": "down", "http_status_code": 503, "error": {"kind": "assertion", "message": message}})
}

pub(crate) async fn store(place: &Place, first_offset: i64, records: &[Value]) {
    flush::run(&place.flush(), batch(first_offset, records)).await.unwrap();
}

pub(crate) async fn get(stats: &Stats, path: &str) -> Value {
    let (response, body) = send(stats, "GET", path).await;
    assert_eq!(response.status(), 200, "{path}: {body:#}");
    body
}

fn target<'answer>(overview: &'answer Value, monitor: &str) -> &'answer Value {
    let targets = overview["targets"].as_array().unwrap();
    targets.iter().find(|target| target["monitor"] == monitor).unwrap_or(&Value::Null)
}

/// Six hours of four monitors.
async fn seen(place: &Place, clock: Clock) {
    let mut records = Vec::new();
    for ago in (0..360).rev() {
        // Down for 40 minutes, in the last one with another reason; from elsewhere it is up.
        let api = match ago {
            40.. => json!({}),
            0 => down("HTTP status 503: the last one"),
            _ => down("HTTP status 503"),
        };
        records.push(clock.record(ago, "api", &api));
        records.push(clock.record(ago, "api", &json!({"location": "us"})));
        let slow = json!({"outcome": "degraded", "response_time_ms": 2_000});
        let checkout = if ago < 10 { slow } else { json!({}) };
        records.push(clock.record(ago, "checkout", &checkout));
        let expires = json!({"certificate_expires_at": "2031-01-01T00:00:00Z", "tags": ["public"]});
        records.push(clock.record(ago, "docs", &expires));
        if ago > 200 {
            records.push(clock.record(ago, "legacy", &json!({"tags": ["old"]})));
        }
    }
    // A slot that was missed is no verdict.
    records.push(clock.record(
        100,
        "legacy",
        &json!({
            "outcome": "missed", "http_status_code": null, "response_time_ms": null, "reason": "no time left"
        }),
    ));
    for (part, records) in records.chunks(1_000).enumerate() {
        store(place, i64::try_from(part).unwrap() * 1_000, records).await;
    }
}

#[tokio::test]
async fn the_state_of_a_target_is_the_worst_that_is_seen_and_stale_when_nobody_looks() {
    let clock = Clock::new();
    let place = Place::new("overviewing_states").await;
    seen(&place, clock).await;
    // Some from chunks, some from fragments: it makes no difference.
    let before = get(&place.stats(), "/overview").await;
    let client = place.client().await;
    while seal_step(&client).await.unwrap().is_some() {}
    assert!(place.count("select count(*) from chunks").await > 10);
    let overview = get(&place.stats(), "/overview").await;
    for monitor in ["api", "checkout", "docs", "legacy"] {
        for name in ["state", "since", "locations", "last_probe_at", "latency"] {
            assert_eq!(target(&before, monitor)[name], target(&overview, monitor)[name], "{name} of {monitor}");
        }
    }

    let state = |monitor: &str| {
        let target = target(&overview, monitor);
        (target["state"].as_str().unwrap().to_owned(), target["since"].clone())
    };
    assert_eq!(state("api"), ("down".to_owned(), clock.minute(39)));
    assert_eq!(state("checkout"), ("degraded".to_owned(), clock.minute(9)));
    // It was never seen otherwise, and not seen before.
    assert_eq!(state("docs"), ("up".to_owned(), clock.minute(359)));
    assert_eq!(state("legacy"), ("stale".to_owned(), Value::Null));

    let api = target(&overview, "api");
    let places = &api["locations"];
    assert_eq!((&places[0]["location"], &places[1]["location"]), (&json!("eu"), &json!("us")));
    assert_eq!((&places[0]["state"], &places[1]["state"]), (&json!("down"), &json!("up")));
    assert_eq!(
        (&places[0]["status"], &places[0]["error"], &places[0]["reason"], &places[0]["last_probe_at"]),
        (&json!(503), &json!("assertion"), &json!("HTTP status 503: the last one"), &clock.minute(0))
    );
    assert_eq!((&places[1]["error"], &places[1]["reason"]), (&Value::Null, &Value::Null));
    assert_eq!(target(&overview, "docs")["certificate_expires_at"], "2031-01-01T00:00:00.000000Z");
    assert_eq!(target(&overview, "docs")["tags"], json!(["public"]));
    assert_eq!(target(&overview, "legacy")["last_probe_at"], clock.minute(100));
}

#[tokio::test]
async fn what_is_probed_once_a_day_is_known_for_two_of_them() {
    let clock = Clock::new();
    let place = Place::new("overviewing_daily").await;
    let daily = |hours: i64, monitor: &str, more: &Value| {
        let mut record = clock.record(hours * 60, monitor, more);
        record["interval_ms"] = json!(86_400_000);
        record
    };
    let records = [
        daily(47, "daily", &json!({})),
        daily(25, "daily", &down("HTTP status 503")),
        daily(49, "gone", &json!({})),
        clock.record(1, "usual", &json!({})),
    ];
    store(&place, 0, &records).await;

    let overview = get(&place.stats(), "/overview").await;

    let state =
        |monitor: &str| (target(&overview, monitor)["state"].clone(), target(&overview, monitor)["since"].clone());
    assert_eq!(state("daily"), (json!("down"), clock.minute(25 * 60)));
    assert_eq!(target(&overview, "daily")["locations"][0]["reason"], "HTTP status 503");
    assert_eq!(target(&overview, "daily")["hours"], json!([]));
    assert_eq!(target(&overview, "daily")["windows"][0]["uptime"], Value::Null);
    assert_eq!((state("gone"), state("usual").0), ((json!("stale"), Value::Null), json!("up")));
}

#[tokio::test]
async fn the_figures_of_an_overview_are_those_of_stats() {
    let clock = Clock::new();
    let place = Place::new("overviewing_figures").await;
    seen(&place, clock).await;
    // And some months before: in a day that is sealed, and too long ago.
    let old: Vec<_> = [30, 33, 24 * 6, 24 * 20, 24 * 80, 24 * 95]
        .iter()
        .flat_map(|hours| (0..3).map(move |minute| clock.record(hours * 60 + minute, "api", &down("then"))))
        .collect();
    store(&place, 10_000, &old).await;
    let client = place.client().await;
    while seal_step(&client).await.unwrap().is_some() {}
    let stats = place.stats();

    // All in one minute.
    let (overview, answers) = loop {
        let overview = get(&stats, "/overview?monitor=api").await;
        let mut answers = Vec::new();
        for window in target(&overview, "api")["windows"].as_array().unwrap() {
            let (from, to) = (window["from"].as_str().unwrap(), window["to"].as_str().unwrap());
            let path = format!("/stats?monitor=api&from={from}&to={to}&percentiles=50,95,99&compare=previous");
            answers.push(get(&stats, &path).await["stats"][0].clone());
        }
        if get(&stats, "/overview?monitor=api").await["as_of"] == overview["as_of"] {
            break (overview, answers);
        }
    };
    assert_eq!(overview["targets"].as_array().unwrap().len(), 1);
    let api = target(&overview, "api");
    for (window, same) in api["windows"].as_array().unwrap().iter().zip(&answers) {
        for name in ["probes", "up", "degraded", "down", "missed", "coverage", "first_probe_at"] {
            assert_eq!(window[name], same[name], "{name} of {}", window["window"]);
        }
        assert_eq!(window["uptime"]["by_probes"], same["uptime"]["by_probes"]);
        if window["window"] == "24h" {
            assert_eq!(window["uptime"], same["uptime"]);
            for (latency, figures) in [(&api["latency"], same), (&api["previous"], &same["previous"])] {
                for name in ["population_size", "exact", "percentiles"] {
                    assert_eq!(latency[name], figures[name], "{name}");
                }
            }
        }
    }
    let downs: Vec<_> = answers.iter().map(|answer| answer["down"].as_i64().unwrap()).collect();
    assert_eq!(downs, [40, 49, 52, 55]);

    let hours = api["hours"].as_array().unwrap();
    assert!((24..=25).contains(&hours.len()), "{}", hours.len());
    assert_eq!(hours.iter().map(|hour| hour["probes"].as_i64().unwrap()).sum::<i64>(), 720);
    assert!(hours[0]["probes"] == 0 && hours[0]["p50_ms"].is_null());
    assert!(hours.iter().all(|hour| hour["probes"] == 0 || hour["p50_ms"] == json!(12.5)));
    let days = api["days"].as_array().unwrap();
    assert!((90..=91).contains(&days.len()), "{}", days.len());
    assert_eq!(days.iter().map(|day| day["down"].as_i64().unwrap()).sum::<i64>(), 55);
    let expected: i64 = days.iter().map(|day| day["expected"].as_i64().unwrap_or(0)).sum();
    assert_eq!(Some(expected), api["windows"][3]["coverage"]["expected"].as_i64());
}

#[tokio::test]
async fn windows_end_when_the_answer_is_made() {
    let place = Place::new("overviewing_now").await;
    let first = Micros(Micros::from(timestamp::now()).0 - 5_000_000);
    let mut record = record_at("https://a.test/", first);
    record["outcome"] = json!("down");
    record["interval_ms"] = json!(60_000);
    store(&place, 0, &[record]).await;
    let stats = place.stats();
    let now = || json!(timestamp::format(timestamp::now()));
    let is_between = |value: &Value, from: &Value, to: &Value| {
        let [value, from, to] = [value, from, to].map(|instant| instant.as_str().unwrap().to_owned());
        from <= value && value <= to
    };

    let before = now();
    let overview = get(&stats, "/overview").await;
    let failures = get(&stats, "/failures").await;
    for window in overview["targets"][0]["windows"].as_array().unwrap() {
        assert_eq!((&window["probes"], is_between(&window["to"], &before, &now())), (&json!(1), true), "{window}");
    }
    let page = request(&stats, "GET", "/", &[]).await;
    let seconds = |text: &str| text.rsplit('>').next().and_then(|text| text.strip_suffix(" s")?.parse::<i64>().ok());
    let shown = text(&page).split("<span class=\"off-screen\"> of history").next().and_then(seconds);
    let most = (Micros::from(timestamp::now()).0 - first.0) / 1_000_000 + 1;
    assert!(shown.is_none_or(|shown| (5..=most).contains(&shown)), "{shown:?}: {}", text(&page));
    assert!(most > 90 || shown.is_some(), "{}", text(&page));
    assert_eq!(failures["failures"].as_array().unwrap().len(), 1);
    assert!(is_between(&failures["to"], &before, &now()), "{failures}");

    // Within a minute it is the same answer still, and its tag is weak, since another instance makes another one.
    until("both are of one minute", async || {
        let first = request(&stats, "GET", "/overview", &[]).await;
        let tag = header(&first, "etag");
        assert!(tag.starts_with("W/\""), "{tag}");
        let again = request(&stats, "GET", "/overview", &[("if-none-match", tag)]).await;
        again.status() == 304 && header(&again, "etag") == tag
    })
    .await;
}

#[tokio::test]
async fn targets_come_in_pages_and_to_whom_they_are_for() {
    let clock = Clock::new();
    let place = Place::new("overviewing_pages").await;
    let records: Vec<_> = (0..7)
        .map(|number| {
            clock.record(1, &format!("m{number}"), &json!({"tags": [if number % 2 == 0 { "even" } else { "odd" }]}))
        })
        .collect();
    store(&place, 0, &records).await;
    store(
        &place,
        10,
        &[1, 2].map(|number| {
            let tag = if number % 2 == 0 { "even" } else { "odd" };
            let mut more = down("down");
            more["tags"] = json!([tag]);
            clock.record(2, &format!("m{number}"), &more)
        }),
    )
    .await;
    let monitors = |overview: &Value| {
        let targets = overview["targets"].as_array().unwrap();
        targets.iter().map(|target| target["monitor"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let stats = place.stats();

    let (mut found, mut path, mut pages) = (Vec::new(), "/overview?limit=3".to_owned(), 0);
    loop {
        let overview = get(&stats, &path).await;
        found.extend(monitors(&overview));
        pages += 1;
        let Some(next) = overview["next"].as_str() else { break };
        path = format!("/overview?limit=3&cursor={next}");
    }
    assert_eq!((found, pages), (["m0", "m1", "m2", "m3", "m4", "m5", "m6"].map(str::to_owned).to_vec(), 3));
    assert_eq!(monitors(&get(&stats, "/overview?tag=odd&monitor=m1&monitor=m2").await), ["m1"]);
    let (refused, body) = send(&stats, "GET", "/overview?limit=51").await;
    assert_eq!((refused.status().as_u16(), &body["errors"][0]["parameter"]), (400, &json!("limit")));

    let token = "token-for-what-is-odd";
    let stats = place.stats_with(&[("WM_STATS_PUBLIC", "false"), ("WM_STATS_TOKENS", &format!("{token}:odd"))]);
    let bearer = format!("Bearer {token}");
    for path in ["/overview", "/failures", "/"] {
        let response = request(&stats, "GET", path, &[("authorization", &bearer)]).await;
        assert_eq!(response.status(), 200);
        assert!(!text(&response).contains("m2") && text(&response).contains("m1"), "{path}");
    }
    for path in ["/overview", "/failures"] {
        assert_eq!(request(&stats, "GET", path, &[]).await.status(), 401);
    }
}

#[tokio::test]
async fn beyond_so_many_durations_there_are_histograms() {
    let clock = Clock::new();
    let place = Place::new("overviewing_coarse").await;
    let records: Vec<_> = (0..600)
        .map(|ago| clock.record(ago, "a", &json!({"response_time_ms": 100.0 + f64::from(ago as i32)})))
        .collect();
    store(&place, 0, &records).await;
    let client = place.client().await;
    // From fragments, then from chunks; without and with both.
    for _ in 0..2 {
        for (exact_durations, is_exact) in [(600, true), (599, false)] {
            let query = HistoryQuery { exact_durations, ..HistoryQuery::default() };
            let mut history = read(&client, &query).await.unwrap();
            let total = &mut history.targets[0].total;
            assert_eq!((total.counts.probes(), total.durations(), total.is_exact()), (600, 600, is_exact));
            let [median] = total.quantiles([0.5]).unwrap();
            assert!((median - 399_500.0).abs() <= if is_exact { 0.0 } else { 399_500.0 / 128.0 }, "{median}");
        }
        while seal_step(&client).await.unwrap().is_some() {}
    }
}
