//! How soon an answer knows: from the start of a tick to an answer of stats that has all of its probes.

use std::time::{Duration, Instant};

use anyhow::Result;
use local_stack::{event_source::Invoke as _, schedule::rule_event, website::Website};
use shared::timestamp;
use tokio::time::sleep;

use crate::{Scene, ask, deliver, known, report::Report};

/// Ticks that are timed.
const TICKS: usize = 101;

/// One tick after the other.
pub(crate) async fn run(scene: &Scene, targets: u64, report: &mut Report) -> Result<()> {
    eprintln!("how soon an answer knows of {targets} targets");
    let website = Website::start(0).await?;
    let name = format!("fresh_{targets}");
    let mut variables = scene.place(&name).await?;
    let urls: Vec<_> = (0..targets).map(|page| website.url(&format!("/fast?{page}"))).collect();
    variables.push(("WM_URL", urls.join(",")));
    variables.push(("WM_PROBE_SPREAD", "0s".to_owned()));
    let (probe, flush, stats) = (
        scene.function("probe", &variables).await?,
        scene.function("flush", &variables).await?,
        scene.function("stats", &variables).await?,
    );
    let trigger = deliver(scene.source(&name), flush, |_| {});
    let mut times = Vec::new();
    for tick in 1..=TICKS as u64 {
        let began = Instant::now();
        probe.invoke(&rule_event(timestamp::now())).await?;
        while known(&ask(&stats, "limit=1000").await?) < tick * targets {
            sleep(Duration::from_millis(2)).await;
        }
        // The first one has to make the schema.
        if tick > 1 {
            times.push(began.elapsed().as_secs_f64());
        }
    }
    trigger.abort();
    times.sort_by(f64::total_cmp);
    let [p50, p99] = [0.5, 0.99].map(|fraction| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
        let index = (fraction * (times.len() - 1) as f64).round() as usize;
        times.get(index).copied().unwrap_or(f64::NAN) * 1e3
    });
    let what = if targets == 1 { "1 target".to_owned() } else { format!("{targets} targets") };
    let detail = format!("of {}, p99 {p99:.0} ms; 500 ms of it the trigger gathers a batch", times.len());
    report.row(&format!("start of a tick to an answer with it, {what}: p50"), format!("{p50:.0} ms"), &detail, "–");
    Ok(())
}
