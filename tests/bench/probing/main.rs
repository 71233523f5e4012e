//! `cargo bench --bench probing`: how truthful and how cheap a probe is, beside `prometheus-blackbox-exporter` on the same
//! websites at the same concurrency, in one run.
//!
//! The functions are the released programs, run as Lambda runs them; Kafka is real. Prints one table of figures.

mod blackbox;
mod fleet;
#[path = "../report.rs"]
mod report;
mod usage;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use futures::future::join_all;
use local_stack::{
    authority::Authority,
    functions,
    instance::Instance,
    kafka::{Kafka, Stream, create_topic},
    workspace,
};
use probe::stream::Publisher;
use rdkafka::{
    Message as _,
    consumer::{Consumer as _, StreamConsumer},
};
use serde_json::json;
use shared::{Millis, Record, record::Outcome};

use crate::{
    blackbox::Blackbox,
    fleet::Fleet,
    report::{Report, median},
    usage::{Usage, usage},
};

/// Compares probe with prometheus-blackbox-exporter, side by side.
#[derive(Parser)]
#[command(name = "cargo bench --bench probing --", bin_name = "cargo bench --bench probing --")]
struct Arguments {
    /// Websites, each of which is probed once a round.
    #[arg(long, default_value_t = 1_000)]
    targets: u16,
    /// Rounds of each.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// What cargo itself adds.
    #[arg(long, hide = true)]
    bench: bool,
}

const CONCURRENCY: usize = 200;
const DELAY: Duration = Duration::from_millis(100);
const TOPIC: &str = "probing";
/// How long an invocation may take.
const PATIENCE: Duration = Duration::from_secs(300);

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let directory = workspace().join("target/bench/probing");
    let programs = build()?;
    let kafka = Kafka::start(&directory.join("kafka"), true)?;
    create_topic(&kafka.stream(), TOPIC, 4).await?;
    let authority = Authority::new()?;
    let ca_file = directory.join("ca.pem");
    authority.write(&ca_file)?;
    let variables = [
        ("WM_URL", "http://127.0.0.1:1/".to_owned()),
        ("WM_STREAM_BOOTSTRAP_SERVER", kafka.stream().bootstrap_server),
        ("WM_STREAM_TOPIC", TOPIC.to_owned()),
        ("WM_ALLOW_PRIVATE_TARGETS", "true".to_owned()),
        ("WM_PROBE_CONCURRENCY", CONCURRENCY.to_string()),
        ("WM_PROBE_CA_FILE", ca_file.display().to_string()),
        ("WM_DB_CONNECTION_STRING", "host=127.0.0.1 port=1".to_owned()),
    ];

    let mut report = Report::default();
    starts(&programs, &variables, &mut report).await?;
    for authority in [None, Some(&authority)] {
        compare(&arguments, &programs, &variables, &kafka.stream(), authority, &ca_file, &mut report).await?;
    }
    publishing(&kafka.stream(), &mut report).await?;
    println!("{report}");
    Ok(())
}

/// Builds the functions as they are released; returns where they are.
fn build() -> Result<PathBuf> {
    eprintln!("building the functions as they are released");
    functions::build_released()?;
    let target = std::env::current_exe()?;
    // target/release/deps/probing-…
    Ok(target.parent().and_then(Path::parent).context("not in a target directory")?.to_owned())
}

/// From the start of a process to its first question for an event.
async fn starts(programs: &Path, variables: &[(&str, String)], report: &mut Report) -> Result<()> {
    for function in ["probe", "flush", "stats"] {
        let mut starts = Vec::new();
        for _ in 0..21 {
            starts.push(Instance::start(&programs.join(function), variables, None).await?.start.as_secs_f64());
        }
        let median = median(&mut starts);
        let slowest = starts.last().copied().unwrap_or_default() * 1e3;
        let detail = format!("of 21, the slowest {slowest:.1} ms");
        report.row(
            &format!("{function}: start to first event asked for"),
            format!("{:.1} ms", median * 1e3),
            &detail,
            "≤ 15 ms",
        );
    }
    Ok(())
}

/// What a round showed.
#[derive(Default)]
struct Rounds {
    walls: Vec<f64>,
    /// Reported less true, in seconds.
    errors: Vec<f64>,
    failures: usize,
    cpu: f64,
    peak: f64,
}

impl Rounds {
    fn error(&self, fraction: f64) -> f64 {
        let mut errors = self.errors.clone();
        errors.sort_by(f64::total_cmp);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
        let rank = (fraction * (errors.len() - 1) as f64).round() as usize;
        errors.get(rank).copied().unwrap_or(f64::NAN) * 1e3
    }

    fn use_up(&mut self, before: Usage, after: Usage) {
        self.cpu += after.cpu - before.cpu;
        self.peak = self.peak.max(after.peak);
    }

    fn cpu_a_probe(&self) -> f64 {
        self.cpu / (self.errors.len() + self.failures) as f64 * 1e3
    }
}

/// Both probers in turns on the same websites.
async fn compare(
    arguments: &Arguments,
    programs: &Path,
    variables: &[(&str, String)],
    stream: &Stream,
    authority: Option<&Authority>,
    ca_file: &Path,
    report: &mut Report,
) -> Result<()> {
    let what = if authority.is_some() { "HTTPS" } else { "HTTP" };
    eprintln!("{} websites over {what}", arguments.targets);
    let fleet = Fleet::start(arguments.targets, DELAY, authority)?;
    let mut function = Instance::start(&programs.join("probe"), variables, None).await?;
    let blackbox = Blackbox::start(&workspace().join("target/bench/probing"), ca_file).await?;
    let mut records = Records::of(stream)?;
    let (mut ours, mut theirs) = (Rounds::default(), Rounds::default());
    // The first round is not counted: it fills the caches of both.
    for round in 0..=arguments.rounds {
        let before = usage(function.pid().as_raw().cast_unsigned())?;
        let (summary, wall) = function.invoke(&json!({ "urls": fleet.urls }), PATIENCE).await?;
        let after = usage(function.pid().as_raw().cast_unsigned())?;
        ensure!(summary["published"] == fleet.urls.len(), "not everything was published: {summary}");
        let found = records.next(fleet.urls.len()).await?;
        if round > 0 {
            ours.walls.push(wall.as_secs_f64());
            ours.use_up(before, after);
            for record in found {
                ours.take(&fleet, &record.url, duration(&record))?;
            }
        }

        let before = blackbox.usage()?;
        let (found, wall) = blackbox.probe(&fleet.urls, CONCURRENCY).await?;
        let after = blackbox.usage()?;
        if round > 0 {
            theirs.walls.push(wall.as_secs_f64());
            theirs.use_up(before, after);
            for (url, duration) in fleet.urls.iter().zip(found) {
                theirs.take(&fleet, url, duration)?;
            }
        }
    }

    let ideal = DELAY.as_secs_f64() * fleet.urls.len().div_ceil(CONCURRENCY) as f64;
    let (our_wall, their_wall) = (median(&mut ours.walls), median(&mut theirs.walls));
    let is_plain = authority.is_none();
    let bar = |bar: &'static str| if is_plain { bar } else { "–" };
    let targets = fleet.urls.len();
    let detail = format!(
        "{:.0} ms of an ideal {:.0} ms; blackbox_exporter {:.2} ×",
        our_wall * 1e3,
        ideal * 1e3,
        their_wall / ideal
    );
    report.ratio(
        &format!("{what}: {targets} targets of 100 ms, {CONCURRENCY} at a time"),
        our_wall,
        ideal,
        &detail,
        bar("≤ 1.25"),
    );
    for (name, fraction, limit) in [("p50", 0.5, "≤ 2 ms"), ("p99", 0.99, "≤ 8 ms")] {
        let detail = format!("blackbox_exporter {:.2} ms", theirs.error(fraction));
        report.row(
            &format!("{what}: reported less true delay, {name}"),
            format!("{:.2} ms", ours.error(fraction)),
            &detail,
            bar(limit),
        );
    }
    let detail = format!("of {}; blackbox_exporter {}", ours.errors.len() + ours.failures, theirs.failures);
    report.row(&format!("{what}: false failures"), ours.failures.to_string(), &detail, "0");
    let detail = format!("{:.3} ms beside {:.3} ms", ours.cpu_a_probe(), theirs.cpu_a_probe());
    report.ratio(
        &format!("{what}: CPU a probe, beside blackbox_exporter"),
        ours.cpu_a_probe(),
        theirs.cpu_a_probe(),
        &detail,
        "≤ 0.4",
    );
    let detail = format!("blackbox_exporter {:.0} MB", theirs.peak / 1e6);
    report.row(&format!("{what}: peak resident memory"), format!("{:.0} MB", ours.peak / 1e6), &detail, "≤ 100 MB");
    Ok(())
}

impl Rounds {
    fn take(&mut self, fleet: &Fleet, url: &str, duration: Option<Duration>) -> Result<()> {
        match duration {
            Some(duration) => {
                let delay = fleet.delay(url).context("a site answered that was not asked")?;
                self.errors.push(duration.as_secs_f64() - delay.as_secs_f64());
            }
            None => self.failures += 1,
        }
        Ok(())
    }
}

/// How long a probe that was up took.
fn duration(record: &Record) -> Option<Duration> {
    let micros = record.response_time_ms.map(Millis::as_micros)?;
    (record.outcome() == Outcome::Up).then(|| Duration::from_micros(micros.unsigned_abs().into()))
}

/// The records of the topic, as they come.
struct Records(StreamConsumer);

impl Records {
    fn of(stream: &Stream) -> Result<Self> {
        let consumer: StreamConsumer = stream
            .client_config()
            .set("group.id", uuid::Uuid::now_v7().to_string())
            .set("auto.offset.reset", "latest")
            .create()?;
        let mut partitions = rdkafka::TopicPartitionList::new();
        for partition in 0..4 {
            let (_, end) = consumer.fetch_watermarks(TOPIC, partition, Duration::from_secs(20))?;
            partitions.add_partition_offset(TOPIC, partition, rdkafka::Offset::Offset(end))?;
        }
        consumer.assign(&partitions)?;
        Ok(Self(consumer))
    }

    async fn next(&mut self, count: usize) -> Result<Vec<Record>> {
        let mut records = HashMap::new();
        while records.len() < count {
            let message = tokio::time::timeout(Duration::from_secs(60), self.0.recv()).await??;
            let record = Record::decode(message.payload().unwrap_or_default())?;
            records.insert(record.url.clone(), record);
        }
        Ok(records.into_values().collect())
    }
}

/// Ten thousand records at once, each acknowledged.
async fn publishing(stream: &Stream, report: &mut Report) -> Result<()> {
    let publisher = Publisher::new(stream.connection(), TOPIC)?;
    let fixture = include_bytes!("../../../shared/fixtures/record.json");
    let records: Vec<_> = (0..10_000)
        .map(|number| Ok(Record { url: format!("https://example.com/{number}"), ..Record::decode(fixture)? }))
        .collect::<Result<_>>()?;
    let mut times = Vec::new();
    for _ in 0..6 {
        let started = Instant::now();
        for acknowledged in join_all(records.iter().map(|record| publisher.publish(record))).await {
            acknowledged?;
        }
        times.push(started.elapsed().as_secs_f64());
    }
    // The first has to connect.
    let seconds = median(times.get_mut(1..).unwrap_or_default());
    let rate = records.len() as f64 / seconds;
    let detail = format!(
        "10,000 records of {} bytes in {:.0} ms",
        records.first().map_or(Ok(0), |r| r.encode().map(|b| b.len()))?,
        seconds * 1e3
    );
    report.row("publishing, acknowledged", format!("{rate:.0} records/s"), &detail, "≥ 50,000");
    Ok(())
}
