//! `cargo local --probes N`: N probes of each URL, all of them counted, the answer of stats and nothing else on
//! standard output.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context as _, Result, bail};
use local_stack::event_source;
use stats::report::StatsReport;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::{Run, lines};

/// How long stats may take to count the last record.
const COUNT_TIMEOUT: Duration = Duration::from_secs(60);
/// How often stats is asked.
const POLL: Duration = Duration::from_millis(200);

/// Probes, waits and prints.
pub(crate) async fn run(run: &Run, probes: u32) -> Result<()> {
    let mut last_failure = None;
    let batches = event_source::run(&run.source, run, |delivery| {
        run.progress.line(&lines::batch(&delivery));
        if let event_source::Delivery::Failed(error) = delivery {
            last_failure = Some(format!("{error:#}"));
        }
    });
    let result = tokio::select! {
        result = batches => Err(result.err().unwrap_or_else(|| anyhow::anyhow!("the event source ended"))),
        result = probe_and_count(run, probes) => result,
        reported = run.failure() => return Err(reported.into()),
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
    run.progress.patiently("waiting until flush has the records of earlier runs", drain(run)).await?;
    let report = functions.stats_of(&run.urls).await?;
    let before = counts(&report);
    let mut schedule = interval(run.interval);
    schedule.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..probes {
        schedule.tick().await;
        let result = run.tick().await;
        run.progress.line(&lines::tick(&result));
        result?;
    }
    run.progress.patiently("waiting until stats counts every record", count(run, probes, &before)).await
}

/// Waits until stats counts every record.
async fn count(run: &Run, probes: u32, before: &HashMap<&str, i64>) -> Result<StatsReport> {
    let functions = run.stack.functions.client();
    let deadline = Instant::now() + COUNT_TIMEOUT;
    let mut last_error = String::new();
    loop {
        let answer = functions.stats_of(&run.urls).await;
        let missing: i64 = match &answer {
            Ok(report) => {
                let now = counts(report);
                let count = |counts: &HashMap<&str, i64>, url: &str| counts.get(url).copied().unwrap_or(0);
                let missing = |url: &String| i64::from(probes) - (count(&now, url) - count(before, url));
                run.urls.iter().map(|url| missing(url).max(0)).sum()
            }
            Err(error) => {
                let error = format!("{error:#}");
                if error != last_error {
                    run.progress.line(&format!("stats failed and is asked again: {error}"));
                    last_error = error;
                }
                i64::MAX
            }
        };
        if missing == 0 {
            return answer;
        }
        if Instant::now() > deadline {
            let seconds = COUNT_TIMEOUT.as_secs();
            answer.with_context(|| format!("stats does not answer after {seconds} s"))?;
            bail!("{missing} records are not counted after {seconds} s; {}", run.stack.functions.log_tail());
        }
        sleep(POLL).await;
    }
}

/// Waits until flush has all that earlier runs left in the topic: it is not to be taken for ours.
async fn drain(run: &Run) -> Result<()> {
    let deadline = Instant::now() + COUNT_TIMEOUT;
    loop {
        let source = run.source.clone();
        // A group that is only being made has no coordinator yet: a failure may pass.
        let drained = tokio::task::spawn_blocking(move || event_source::is_drained(&source)).await?;
        if let Ok(true) = drained {
            return Ok(());
        }
        if Instant::now() > deadline {
            drained?;
            bail!("records of an earlier run are still in the topic after {} s", COUNT_TIMEOUT.as_secs());
        }
        sleep(POLL).await;
    }
}

/// Probes per URL.
fn counts(report: &StatsReport) -> HashMap<&str, i64> {
    report.stats.iter().map(|entry| (entry.url.as_str(), entry.figures.probes)).collect()
}
