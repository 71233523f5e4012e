//! What `cargo local` says: where things are, each tick, each batch, and the table of statistics.

use std::path::Path;

use anyhow::Error;
use comfy_table::{CellAlignment, Table, presets::NOTHING};
use jiff::Timestamp;
use local_stack::{
    event_source::Delivery,
    progress::Progress,
    stack::{Stack, StackConfig},
};
use serde_json::Value;
use stats::report::StatsReport;

/// Where everything is.
pub(crate) fn endpoints(progress: &Progress, stack: &Stack, config: &StackConfig, env_file: &Path) {
    let functions = stack.functions.client();
    progress.line(&format!("  page      {}", stack.page_url));
    progress.line(&format!("  stats     {}", stack.stats_url()));
    progress.line(&format!("  functions http://{} (cargo lambda invoke)", functions.address()));
    progress.line(&format!("  Kafka     {} topic {}", stack.stream.bootstrap_server, config.topic));
    // A connection string of our own holds no password; another's may.
    let postgres =
        if config.connection_string.is_some() { "as in WM_DB_CONNECTION_STRING" } else { &stack.connection_string };
    progress.line(&format!("  Postgres  {postgres}"));
    progress.line(&format!("  all of it in {}; logs beside it", env_file.display()));
}

/// A tick of the schedule and what probe made of it.
pub(crate) fn tick(result: &Result<Value, Error>) -> String {
    let now = format!("{:.0}", Timestamp::now()).replace(['T', 'Z'], " ");
    match result {
        Ok(summary) => {
            let rare = ["degraded", "retried", "missed"].map(|name| match summary[name].as_u64() {
                None | Some(0) => String::new(),
                Some(count) => format!("{count} {name}, "),
            });
            format!(
                "{now}tick   {} probed, {} up, {} down, {}{} published in {} ms",
                summary["probed"],
                summary["up"],
                summary["down"],
                rare.concat(),
                summary["published"],
                summary["elapsed_ms"]
            )
        }
        Err(error) => format!("{now}tick   failed: {error:#}"),
    }
}

/// A batch and what flush made of it.
pub(crate) fn batch(delivery: &Delivery<'_>) -> String {
    let now = format!("{:.0}", Timestamp::now()).replace(['T', 'Z'], " ");
    match delivery {
        Delivery::Done(summary) => format!(
            "{now}batch  {} received, {} stored, {} duplicates, {} rejected",
            summary["received"], summary["stored"], summary["duplicates"], summary["rejected"]
        ),
        Delivery::Failed(error) => format!("{now}batch  failed and comes again: {error:#}"),
        Delivery::Trouble(error) => format!("{now}Kafka  {error}"),
    }
}

/// The statistics as a table.
pub(crate) fn table(report: &StatsReport) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(["URL", "probes", "failures", "down", "p50 ms", "p95 ms", "p99 ms"]);
    let millis = |millis: Option<f64>| millis.map_or_else(|| "–".to_owned(), |millis| format!("{millis:.1}"));
    for entry in &report.stats {
        table.add_row([
            entry.url.clone(),
            entry.figures.probes.to_string(),
            entry.figures.failures.to_string(),
            entry.figures.down.to_string(),
            millis(entry.figures.p50_ms),
            millis(entry.figures.p95_ms),
            millis(entry.figures.p99_ms),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}
