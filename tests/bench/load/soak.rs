//! Ticks, batches and questions for as long as one likes: what the functions hold must not grow.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use local_stack::{event_source::Invoke as _, schedule::rule_event, website::Website};
use shared::timestamp;
use tokio::time::interval;

use crate::{Scene, ask, deliver, held::Held, report::Report};

const NAME: &str = "soak";
const TARGETS: usize = 100;
/// How often it is looked at.
const SAMPLE: Duration = Duration::from_secs(5);
/// The last quarter may hold so much more than the second; the first is for warming up.
const GROWTH: f64 = 1.10;

/// A tick and two questions a second.
pub(crate) async fn run(scene: &Scene, minutes: u64, report: &mut Report) -> Result<()> {
    eprintln!("{minutes} minutes");
    let website = Website::start(0).await?;
    let mut variables = scene.place(NAME).await?;
    let urls: Vec<_> = (0..TARGETS).map(|page| website.url(&format!("/fast?{page}"))).collect();
    variables.push(("WM_URL", urls.join(",")));
    variables.push(("WM_PROBE_TICK", "1s".to_owned()));
    variables.push(("WM_PROBE_SPREAD", "200ms".to_owned()));
    let names = ["probe", "flush", "stats"];
    let mut functions = Vec::new();
    for name in names {
        functions.push(scene.function(name, &variables).await?);
    }
    let [probe, flush, stats] = [0, 1, 2].map(|index: usize| functions.get(index).cloned());
    let (Some(probe), Some(flush), Some(stats)) = (probe, flush, stats) else { return Ok(()) };
    let trigger = deliver(scene.source(NAME), flush, |_| {});
    let client = scene.client(NAME).await?;
    let (mut held, mut connections) = ([(); 3].map(|()| Vec::new()), Vec::new());
    let (began, mut looked, mut second) = (Instant::now(), Instant::now(), interval(Duration::from_secs(1)));
    let mut ticks = 0_u64;
    while began.elapsed() < Duration::from_secs(minutes * 60) {
        second.tick().await;
        probe.invoke(&rule_event(timestamp::now())).await?;
        ticks += 1;
        for query in [format!("window=1h&percentiles=50,9{}", ticks % 10), "limit=10&by=outcome".to_owned()] {
            ask(&stats, &query).await?;
        }
        if looked.elapsed() >= SAMPLE {
            looked = Instant::now();
            for (held, function) in held.iter_mut().zip(&functions) {
                held.push(function.held()?);
            }
            let open = "select count(*) from pg_stat_activity where application_name = 'website-monitor'";
            connections.push(client.query_one(open, &[]).await?.get::<_, i64>(0) as f64);
        }
    }
    trigger.abort();
    let mut is_flat = true;
    for (name, held) in names.iter().zip(&held) {
        let of = |value: fn(&Held) -> f64| held.iter().map(value).collect::<Vec<_>>();
        is_flat &= row(report, &format!("{name}: memory"), " MB", &of(|held| held.memory));
        is_flat &= row(report, &format!("{name}: threads"), "", &of(|held| held.threads));
        is_flat &= row(report, &format!("{name}: files and connections"), "", &of(|held| held.files));
    }
    is_flat &= row(report, "connections to Postgres", "", &connections);
    report.row("ticks of 100 targets", ticks.to_string(), &format!("in {minutes} minutes"), "–");
    ensure!(is_flat, "something grew by more than a tenth:\n{report}");
    Ok(())
}

/// The means of the second and of the last quarter; whether they are about the same.
fn row(report: &mut Report, what: &str, unit: &str, values: &[f64]) -> bool {
    let quarter = values.len() / 4;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let early = mean(values.get(quarter..2 * quarter).unwrap_or_default());
    let late = mean(values.get(3 * quarter..).unwrap_or_default());
    let detail = format!("{early:.1}{unit} in the second quarter");
    report.row(what, format!("{late:.1}{unit}"), &detail, "flat");
    late <= early * GROWTH + 0.5
}
