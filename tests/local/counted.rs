//! `cargo local --probes N`: N probes of each URL, all of them counted, the answer of stats and nothing else on
//! standard output.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use local_stack::{event_source, schedule::rule_event};
use stats::response::StatsReport;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::{Run, lines};

/// How long stats may take to count the last record.
const COUNT_TIMEOUT: Duration = Duration::from_secs(60);
/// How often stats is asked.
const POLL: Duration = Duration::from_millis(200);

/// Probes, waits and prints.
pub(crate) async fn run(run: &Run, probes: u32) -> Result<()> {
    let mut last_failure = None;
    let batches = event_source::run(&run.source, run.stack.functions.client(), |delivery| {
        run.progress.line(&lines::batch(&delivery));
        if let event_source::Delivery::Failed(error) = delivery {
            last_failure = Some(format!("{error:#}"));
        }
    });
    let result = tokio::select! {
        result = batches => Err(result.err().unwrap_or_else(|| anyhow::anyhow!("the event source ended"))),
        result = probe_and_count(run, probes) => result,
    };
    let report = match (result, last_failure) {
        (Err(error), Some(failure)) => Err(error.context(format!("the last batch that failed: {failure}"))),
        (result, _) => result,
    }?;
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(())
}

/// The answer of stats once it counts every record.
async fn probe_and_count(run: &Run, probes: u32) -> Result<StatsReport> {
    let functions = run.stack.functions.client();
    let report_before = functions.stats_of(&run.urls).await?;
    let before = counts(&report_before);
    let mut schedule = interval(run.interval);
    schedule.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..probes {
        schedule.tick().await;
        let result = functions.invoke("probe", &rule_event(Timestamp::now())).await;
        run.progress.line(&lines::tick(&result));
        result?;
    }
    let deadline = Instant::now() + COUNT_TIMEOUT;
    loop {
        let report = functions.stats_of(&run.urls).await.context("stats does not answer")?;
        let now = counts(&report);
        let count = |counts: &HashMap<&str, i64>, url: &String| counts.get(url.as_str()).copied().unwrap_or(0);
        let counted: i64 = run.urls.iter().map(|url| count(&now, url) - count(&before, url)).sum();
        let missing = i64::from(probes) * i64::try_from(run.urls.len())? - counted;
        if missing <= 0 {
            return Ok(report);
        }
        if Instant::now() > deadline {
            bail!(
                "{missing} records are not counted after {} s; logs of the functions: {}",
                COUNT_TIMEOUT.as_secs(),
                run.stack.functions.log_tail()
            );
        }
        sleep(POLL).await;
    }
}

/// Probes per URL.
fn counts(report: &StatsReport) -> HashMap<&str, i64> {
    report.stats.iter().map(|entry| (entry.url.as_str(), entry.probes)).collect()
}
