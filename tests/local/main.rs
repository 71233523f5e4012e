//! `cargo local`: the whole pipeline on this machine.

mod check;
mod counted;
mod endless;
mod lines;

use std::{fmt, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Parser;
use jiff::{SignedDuration, Timestamp};
use local_stack::{
    event_source::{EventSourceConfig, Invoke},
    progress::Progress,
    schedule::rule_event,
    stack::{Stack, StackConfig, What, env_file, stop_behind},
    website::Website,
    workspace,
};
use serde_json::Value;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::interval,
};

/// Partitions of the topic, if it has to be made.
const PARTITIONS: i32 = 4;
/// How often the parts are looked after.
const CHECK: Duration = Duration::from_millis(500);
/// Where our own website is, if it can be: the same in each run, so that its history goes on.
const WEBSITE_PORT: u16 = 8_099;

/// Runs the whole pipeline on this machine: Postgres, Apache Kafka, the three functions under `cargo lambda watch`, the
/// schedule and the Kafka event source. Stops all of it again when it is stopped, in whatever way.
///
/// To use services that are there already, set `WM_STREAM_BOOTSTRAP_SERVER` (with `WM_STREAM_SSL…`) or
/// `WM_DB_CONNECTION_STRING`. `WM_STREAM_TOPIC` and `WM_STREAM_CONSUMER_GROUP_ID` are heeded too.
#[derive(Parser)]
#[command(name = "cargo local", bin_name = "cargo local")]
struct Arguments {
    /// What to probe; without any, `WM_URL`, or else a small website of our own with fast, slow and failing pages.
    urls: Vec<String>,
    /// Probe the monitors of this file, each at its own interval; without it, that of `WM_MONITORS_FILE`.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["urls", "probes"])]
    monitors: Option<PathBuf>,
    /// Only say what is wrong with this file of monitors, each mistake with its line and column, and run nothing.
    #[arg(long, value_name = "FILE", exclusive = true)]
    check: Option<PathBuf>,
    /// Time between two ticks of the schedule, and between two probes of each URL, with its unit: 500ms, 10s, 1m.
    #[arg(long, default_value = "10s", value_parser = parse_interval)]
    interval: Duration,
    /// Probe each URL this often, wait until stats has counted every record, print its answer and stop.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    probes: Option<u32>,
    /// Start empty: throw away the data of earlier runs.
    #[arg(long)]
    fresh: bool,
    /// Where data and logs are kept. [default: target/local]
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

/// What both ways of running need.
struct Run {
    stack: Stack,
    source: EventSourceConfig,
    urls: Vec<String>,
    interval: Duration,
    progress: Progress,
}

/// An error that was printed.
#[derive(Debug)]
struct Reported;

impl fmt::Display for Reported {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a part of the stack ended")
    }
}

impl std::error::Error for Reported {}

impl Run {
    /// Invokes probe, as the schedule does.
    async fn tick(&self) -> Result<Value> {
        let event = rule_event(Timestamp::now());
        let invocation = self.stack.functions.client().invoke("probe", &event);
        self.progress.patiently("waiting for probe", invocation).await
    }

    /// Ends when a part of the stack does, and prints which one with the end of its log: to stop the rest takes seconds.
    async fn failure(&self) -> Reported {
        let mut check = interval(CHECK);
        loop {
            check.tick().await;
            if let Err(error) = self.stack.check() {
                self.progress.line(&format!("error: {error:#}"));
                return Reported;
            }
        }
    }
}

impl Invoke for Run {
    async fn invoke(&self, event: &Value) -> Result<Value> {
        let invocation = self.stack.functions.client().invoke("flush", event);
        self.progress.patiently("waiting for flush", invocation).await
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(file) = &arguments.check {
        return check::run(file);
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let counted = arguments.probes.is_some();
    let result = runtime.block_on(async {
        tokio::select! {
            result = run(arguments) => result,
            // Everything is a child that stops when it is dropped, or at the latest when we are gone.
            why = stopped() => {
                eprintln!("stopping: {why}");
                // Without its answer, a counted run has not done what it was asked for.
                if counted { Err(anyhow!("stopped before every record was counted")) } else { Ok(()) }
            }
        }
    });
    // What is still starting is not waited for.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.is::<Reported>() {
                eprintln!("error: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<()> {
    let progress = Progress::default();
    let website = Website::start(WEBSITE_PORT).await?;
    // What is named on the command line counts before what the environment names.
    let from_env =
        || shared::env::process("WM_MONITORS_FILE").filter(|file| !file.trim().is_empty()).map(PathBuf::from);
    let monitors = arguments.monitors.or_else(|| if arguments.urls.is_empty() { from_env() } else { None });
    // The functions run elsewhere.
    let monitors = monitors.map(std::path::absolute).transpose()?;
    let urls = if monitors.is_some() { Vec::new() } else { urls(arguments.urls, &website)? };
    if monitors.is_some() && arguments.probes.is_some() {
        bail!("--probes counts probes of URLs, not of monitors with intervals of their own: unset WM_MONITORS_FILE");
    }
    let directory = arguments.directory.unwrap_or_else(|| workspace().join("target/local"));
    let directory = std::path::absolute(directory)?;
    let what = What { urls, monitors, interval: arguments.interval };
    let config = StackConfig::from_env(&shared::env::process, directory, arguments.fresh, what)?;

    let given = progress.patiently("the services that variables name", Stack::reach_given(&config, PARTITIONS)).await?;
    let (stack, config) = {
        let progress = progress.clone();
        tokio::task::spawn_blocking(move || Stack::start(&config, given, &progress).map(|stack| (stack, config)))
            .await??
    };
    stack.prepare(&config, PARTITIONS).await?;
    lines::endpoints(&progress, &stack, &config, &env_file(&config.directory));

    let source = EventSourceConfig::new(stack.stream.clone(), &config.topic, &config.group);
    let urls = config.urls.clone();
    let run = Run { stack, source, urls, interval: arguments.interval, progress };
    let result = match arguments.probes {
        Some(probes) => counted::run(&run, probes).await,
        None => endless::run(&run).await,
    };
    if result.is_err() {
        stop_behind(run);
    }
    result
}

/// What to probe: the arguments, `WM_URL`, or the demonstration.
fn urls(arguments: Vec<String>, website: &Website) -> Result<Vec<String>> {
    let from_env =
        || shared::env::process("WM_URL").map(|list| list.split(',').map(|url| url.trim().to_owned()).collect());
    let mut urls: Vec<String> = match arguments {
        arguments if !arguments.is_empty() => arguments,
        _ => from_env().unwrap_or_default(),
    };
    urls.retain(|url| !url.is_empty());
    if urls.is_empty() {
        urls = ["/fast", "/slow", "/failing", "/close"].iter().map(|path| website.url(path)).collect();
    }
    urls.sort();
    urls.dedup();
    for url in &urls {
        probe::config::check_url(url).map_err(anyhow::Error::msg)?;
        if url.contains(',') {
            bail!("{url:?} has a comma, which separates URLs in WM_URL: write it as %2C");
        }
    }
    Ok(urls)
}

fn parse_interval(text: &str) -> Result<Duration> {
    let interval: SignedDuration = text.parse().context("expected a number and a unit, as in 500ms, 10s or 1m")?;
    match Duration::try_from(interval) {
        Ok(interval) if !interval.is_zero() => Ok(interval),
        _ => bail!("expected more than nothing"),
    }
}

/// Waits for a signal that means the end: Ctrl-C, `kill`, or a terminal that closes.
async fn stopped() -> &'static str {
    let wait = async |kind: SignalKind, name: &'static str| {
        match signal(kind) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        };
        name
    };
    tokio::select! {
        name = wait(SignalKind::interrupt(), "interrupted") => name,
        name = wait(SignalKind::terminate(), "terminated") => name,
        name = wait(SignalKind::hangup(), "the terminal closed") => name,
    }
}
