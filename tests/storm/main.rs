//! `cargo storm`: whether anything is lost or doubled when everything breaks.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use local_stack::{
    functions,
    storm::{self, Progress, Report, StormConfig},
    workspace,
};

/// Sends records that are known through the real pipeline while its parts are killed, frozen, cut off and started again at
/// random, and counts what the database has in the end. Starts a Kafka and a Postgres of its own.
///
/// Ends with an error if a record that Kafka had acknowledged is not there exactly once, as a row and in the sealed history,
/// if stats counts others than there are, if a slot of probe has more than one verdict, or if with a million records or more
/// flush was killed less than 500 times, or less than 200 batches were in two invocations at once.
#[derive(Parser)]
#[command(name = "cargo storm", bin_name = "cargo storm")]
struct Arguments {
    /// Records to send. A million took nine to twenty minutes on two cores.
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1_000..))]
    records: u64,
    /// Records in a batch, at most: the smaller, the more invocations there are to kill.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    batch: u16,
    /// What the choices follow from; by default one that no run before had. It does not repeat a run to the instant, since
    /// processes and networks have their own time.
    #[arg(long)]
    seed: Option<u64>,
    /// Where data and logs are kept. [default: target/storm]
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(report) if !report.is_exact() => {
            eprintln!("error: records were lost, doubled or altered, or slots have more than one verdict");
            ExitCode::FAILURE
        }
        Ok(report) if !report.is_a_storm() => {
            eprintln!("error: too little was broken for this to show anything: expected a smaller --batch");
            ExitCode::FAILURE
        }
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<Report> {
    functions::build()?;
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("seed {seed}");
    let config = StormConfig {
        seed,
        records: arguments.records,
        targets: 40,
        batch: arguments.batch.into(),
        directory: arguments.directory.unwrap_or_else(|| workspace().join("target/storm")),
    };
    let style = ProgressStyle::with_template("{bar:30} {pos} of {len} records, {eta} left, {msg}")?;
    let bar = ProgressBar::new(config.records).with_style(style);
    let report = storm::run(&config, |Progress { delivered, kills, .. }| {
        bar.set_position(delivered);
        bar.set_message(format!("flush killed {kills} times"));
    })
    .await?;
    bar.finish_and_clear();
    println!("{report}");
    Ok(report)
}
