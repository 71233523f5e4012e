//! flush under a load that does not end, from eight partitions: until it goes no faster and no slower.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use bytes::Bytes;
use futures::{SinkExt as _, TryStreamExt as _, future::join_all};
use local_stack::event_source::EventSourceConfig;
use probe::stream::Publisher;
use shared::{Micros, Record, timestamp};
use tokio::{task::JoinHandle, time::sleep};

use crate::{Scene, ask, deliver, known, report::Report};

const TARGETS: u64 = 100;
/// Records under way to Kafka at a time.
const AT_ONCE: u64 = 5_000;
/// Records that wait for flush: so many that no batch is short.
const AHEAD: u64 = 80_000;
/// Two rounds are alike if their rates are within this share of each other.
const ALIKE: f64 = 0.1;
const ROUNDS: std::ops::RangeInclusive<usize> = 5..=9;
/// The last round may hold so much more at its peak than the second; the first is for warming up.
const GROWTH: f64 = 1.15;

/// How the trigger cuts batches.
pub(crate) struct Cut {
    /// What it is called.
    pub(crate) what: &'static str,
    /// The name of its topic and of its database.
    pub(crate) name: &'static str,
    /// Bytes of an event, at most.
    pub(crate) bytes: usize,
}

/// A part of the load, of equal size.
struct Round {
    /// Records a second.
    rate: f64,
    /// Megabytes that flush held at most.
    peak: f64,
}

/// What was stored when, in seconds since the beginning, and how many batches there were.
#[derive(Default)]
struct Progress(Mutex<Vec<(f64, u64)>>);

impl Progress {
    fn add(&self, at: f64, records: u64) {
        let stored = self.stored();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((at, stored + records));
    }

    fn stored(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).last().map_or(0, |(_, stored)| *stored)
    }

    /// Records a second from so many stored to so many.
    fn rate(&self, from: u64, to: u64) -> f64 {
        let progress = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = |records| progress.iter().find(|(_, stored)| *stored >= records).copied().unwrap_or_default();
        let ((start, before), (end, after)) = (at(from), at(to));
        (after - before) as f64 / (end - start)
    }

    fn records_a_batch(&self) -> f64 {
        let batches = self.0.lock().unwrap_or_else(PoisonError::into_inner).len();
        self.stored() as f64 / batches as f64
    }
}

/// Rounds of so many records, from the first that is produced to the last that stats knows of.
pub(crate) async fn run(scene: &Scene, cut: &Cut, round: u64, report: &mut Report) -> Result<()> {
    eprintln!("rounds of {round} records through the pipeline, in batches {}", cut.what);
    let variables = scene.place(cut.name).await?;
    let flush = scene.function("flush", &variables).await?;
    let (began, progress) = (Instant::now(), Arc::new(Progress::default()));
    let noted = Arc::clone(&progress);
    let source = EventSourceConfig { batch_bytes: cut.bytes, ..scene.source(cut.name) };
    let trigger = deliver(source, flush.clone(), move |answer| {
        // One whose answer was lost comes again.
        let records = ["stored", "duplicates"].map(|count| answer[count].as_u64().unwrap_or_default());
        noted.add(began.elapsed().as_secs_f64(), records.iter().sum());
    });

    let publisher = Publisher::new(scene.kafka.stream().connection(), cut.name)?;
    let fixture = Record::decode(include_bytes!("../../../shared/fixtures/record.json"))?;
    let most = round * *ROUNDS.end() as u64 + AHEAD + AT_ONCE;
    let start = timestamp::now().as_microsecond() - (most / TARGETS).cast_signed() * 1_000_000;
    let mut rounds: Vec<Round> = Vec::new();
    let mut produced = 0;
    while rounds.len() < *ROUNDS.end() && !is_flat(&rounds) {
        let publishing = (produced..produced + AT_ONCE).map(async |number| {
            // A second apart within a target.
            let instant = Micros(start + (number / TARGETS).cast_signed() * 1_000_000);
            let url = format!("https://{}.example.com/", number % TARGETS);
            let record = Record { url, timestamp: instant.timestamp(), id: None, ..fixture.clone() };
            publisher.publish(&record).await
        });
        join_all(publishing).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        produced += AT_ONCE;
        wait(&progress, produced.saturating_sub(AHEAD), &trigger).await?;
        let done = rounds.len() as u64;
        if progress.stored() >= (done + 1) * round {
            let rate = progress.rate(done * round, (done + 1) * round);
            rounds.push(Round { rate, peak: flush.peak()? });
            eprintln!("  {rate:.0} records/s");
        }
    }
    wait(&progress, produced, &trigger).await?;
    trigger.abort();
    let stats = scene.function("stats", &variables).await?;
    let answered = known(&ask(&stats, "limit=1000").await?);
    ensure!(answered == produced, "stats knows of {answered} probes, and {produced} were produced");
    tell(scene, cut, &rounds, &progress, report).await
}

/// Waits until so many are stored.
async fn wait(progress: &Progress, records: u64, trigger: &JoinHandle<Result<()>>) -> Result<()> {
    while progress.stored() < records {
        ensure!(!trigger.is_finished(), "the trigger has ended");
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// Whether the last of enough rounds was as fast as the one before.
fn is_flat(rounds: &[Round]) -> bool {
    match rounds {
        [.., before, last] if rounds.len() >= *ROUNDS.start() => (last.rate / before.rate - 1.0).abs() <= ALIKE,
        _ => false,
    }
}

async fn tell(scene: &Scene, cut: &Cut, rounds: &[Round], progress: &Progress, report: &mut Report) -> Result<()> {
    let list = |figure: fn(&Round) -> f64| {
        rounds.iter().map(|round| format!("{:.0}", figure(round))).collect::<Vec<_>>().join(", ")
    };
    let (Some(last), Some(second)) = (rounds.last(), rounds.get(1)) else { return Ok(()) };
    let detail = format!("{:.0} a batch; round by round {}", progress.records_a_batch(), list(|round| round.rate));
    report.row(
        &format!("produced to stored, batches {}", cut.what),
        format!("{:.0} records/s", last.rate),
        &detail,
        "–",
    );
    let bare = bare_copy(scene, cut.name).await?;
    let detail = format!("{bare:.0} rows/s, into a table with nothing but the columns");
    report.ratio("  beside a bare binary COPY of the rows", 1.0 / bare, 1.0 / last.rate, &detail, "–");
    let detail = format!("round by round {}", list(|round| round.peak));
    report.row("  flush's memory at its peak, in the last round", format!("{:.0} MB", last.peak), &detail, "flat");
    ensure!(last.peak <= second.peak * GROWTH, "flush's memory has grown:\n{report}");
    ensure!(is_flat(rounds), "the rate is not flat:\n{report}");
    Ok(())
}

/// Rows a second that COPY takes into a table without anything but its columns.
async fn bare_copy(scene: &Scene, database: &str) -> Result<f64> {
    let client = scene.client(database).await?;
    client.batch_execute("create table bare (like probes)").await?;
    let rows = client.copy_out("copy (select * from probes limit 10000) to stdout (format binary)").await?;
    let rows: Vec<Bytes> = rows.try_collect().await?;
    let mut times = Vec::new();
    for _ in 0..20 {
        let began = Instant::now();
        let mut sink = std::pin::pin!(client.copy_in("copy bare from stdin (format binary)").await?);
        for piece in &rows {
            sink.feed(piece.clone()).await?;
        }
        sink.finish().await?;
        times.push(began.elapsed().as_secs_f64());
    }
    Ok(10_000.0 / crate::report::median(&mut times))
}
