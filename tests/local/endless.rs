//! `cargo local`: ticks until it is stopped, and a table that refreshes.

use std::time::Duration;

use anyhow::Result;
use local_stack::{event_source, progress::is_terminal};
use tokio::time::{MissedTickBehavior, interval};

use crate::{Run, lines};

/// How often the table is refreshed, on a terminal and elsewhere.
const REFRESH: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Runs until a part fails; whoever awaits this may drop it at any point.
pub(crate) async fn run(run: &Run) -> Result<()> {
    let ticks = async {
        let mut schedule = interval(run.interval);
        // A tick that comes while the one before still runs is left out, as with one reserved instance of probe.
        schedule.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            schedule.tick().await;
            let result = run.tick().await;
            run.progress.line(&lines::tick(&result));
        }
    };
    let batches = event_source::run(&run.source, run, |delivery| run.progress.line(&lines::batch(&delivery)));
    tokio::select! {
        () = ticks => Ok(()),
        result = batches => result,
        reported = run.failure() => Err(reported.into()),
        () = board(run) => Ok(()),
    }
}

/// Keeps the table up to date: in place on a terminal, else now and then as lines.
async fn board(run: &Run) {
    let board = run.progress.board();
    let mut refresh = interval(if is_terminal() { REFRESH.0 } else { REFRESH.1 });
    // The first tick of an interval comes at once, when there is nothing to show yet.
    refresh.tick().await;
    loop {
        refresh.tick().await;
        let text = match run.stack.functions.client().stats_of(&run.urls).await {
            Ok(report) => lines::table(&report),
            Err(error) => format!("no statistics: {error:#}"),
        };
        if is_terminal() { board.set_message(format!("\n{text}")) } else { run.progress.line(&text) }
    }
}
