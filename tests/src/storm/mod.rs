//! A storm: records that are known, and the real probe, through the real pipeline, while its parts are killed, frozen, cut
//! off and started again at random; and a count when it is over.
//!
//! `cargo storm` runs one for people, as long as they like; the tests run a short one.

pub mod faults;
pub mod lambda;
pub mod ledger;
pub mod producer;
pub mod records;
pub mod services;
pub mod ticks;

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    fmt,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::{Result, bail};
use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use fastrand::Rng;
use flush::{Flush, FlushConfig};
use shared::{Micros, Span, timestamp};
use stats::history::{self, HistoryQuery};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

use self::{
    faults::Faults,
    lambda::Lambda,
    ledger::{Count, count_chunks, count_rows},
    records::Records,
    services::Services,
    ticks::{Prober, Slots, Ticks, count_slots},
};
use crate::{
    event_source::{self, Delivery, EventSourceConfig, is_drained},
    instance::program,
    kafka::create_topic,
    website::Website,
};

const TOPIC: &str = "storm";
const PARTITIONS: i32 = 4;
/// Pages that probe asks for in each tick.
const PAGES: u64 = 8;
/// Over how many hours, which have ended, the records are spread: they are sealed while more comes into them.
const HOURS: i64 = 8;
/// Of a hundred invocations of flush, how many meet a fault.
const SEVERITY: u8 = 60;
/// How long a poller lives, in milliseconds.
const POLLER_LIVES: std::ops::Range<u64> = 1_500..5_000;
/// How long the calm after the storm may take.
const CALM: Duration = Duration::from_secs(600);

/// What kind of storm.
#[derive(Debug, Clone)]
pub struct StormConfig {
    /// What its choices follow from.
    pub seed: u64,
    /// Records to send.
    pub records: u64,
    /// Targets they are of.
    pub targets: u64,
    /// Records in a batch, at most.
    pub batch: usize,
    /// For data and logs.
    pub directory: PathBuf,
}

/// How it ended.
#[derive(Debug, Clone)]
pub struct Report {
    /// What its choices followed from.
    pub seed: u64,
    /// Records that Kafka acknowledged.
    pub acknowledged: u64,
    /// What is in the rows.
    pub rows: Count,
    /// What is in the chunks, when all is sealed.
    pub chunks: Count,
    /// What became of the slots of the real probe.
    pub slots: Slots,
    /// Probes that stats counts.
    pub answered: u64,
    /// Rows that there are.
    pub stored: u64,
    /// What was done, and how often.
    pub faults: BTreeMap<&'static str, u64>,
    /// What was said by batches that failed for another reason than those.
    pub others: BTreeSet<String>,
    /// How long it took, with the calm.
    pub took: Duration,
}

/// How far a storm is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Records in batches that came to their end.
    pub delivered: u64,
    /// Of how many.
    pub records: u64,
    /// Kills so far.
    pub kills: u64,
}

/// Runs a storm to its end, and counts. Tells `observe` how far it is.
///
/// # Errors
/// Something does not start or does not come back, or what is left in the topic is not taken within ten minutes of calm.
pub async fn run(config: &StormConfig, observe: impl Fn(Progress)) -> Result<Report> {
    let began = Instant::now();
    let mut random = Rng::with_seed(config.seed);
    let mut services = Services::start(config.directory.clone()).await?;
    let stream = services.stream.clone();
    create_topic(&stream, TOPIC, PARTITIONS).await?;
    let website = Website::start(0).await?;
    let faults = Arc::new(Faults::default());

    let span = HOURS * 3_600_000_000;
    let records = Records {
        count: config.records,
        targets: config.targets,
        start: Micros(Span::Hour.start(timestamp::now().into()).0 - span),
        step: (span / config.records.cast_signed()).max(1),
    };
    let of_flush =
        vec![("WM_DB_CONNECTION_STRING", services.connection_string()), ("WM_RAW_RETENTION", "36500d".to_owned())];
    let log = config.directory.join("flush.log");
    let flush = program("flush")?;
    let lambda = |random: Rng, severity| {
        let (flush, of_flush, log) = (flush.clone(), of_flush.clone(), log.clone());
        Arc::new(Lambda::new(flush, of_flush, log, Arc::clone(&faults), random, severity))
    };
    let (lambda, other) = (lambda(random.fork(), SEVERITY), lambda(random.fork(), 0));
    let pages: Vec<_> = (0..PAGES).map(|page| website.url(&format!("/fast?page={page}"))).collect();
    let prober = Prober {
        program: program("probe")?,
        variables: vec![
            ("WM_URL", pages.join(",")),
            ("WM_STREAM_BOOTSTRAP_SERVER", stream.bootstrap_server.clone()),
            ("WM_STREAM_TOPIC", TOPIC.to_owned()),
            ("WM_ALLOW_PRIVATE_TARGETS", "true".to_owned()),
            ("WM_PROBE_TICK", "1s".to_owned()),
            ("WM_PROBE_SPREAD", "200ms".to_owned()),
        ],
        log: config.directory.join("probe.log"),
    };

    let source = EventSourceConfig {
        batch_size: config.batch,
        batching_window: Duration::from_millis(50),
        retry_delay: (Duration::from_millis(20), Duration::from_millis(500)),
        ..EventSourceConfig::new(stream.clone(), TOPIC, "flush")
    };
    // Who thinks that the partitions are his as well, and has offsets of his own, at first: what is lost later is lost.
    let zombie = spawn(EventSourceConfig { group: "zombie".to_owned(), ..source.clone() }, Arc::clone(&other));
    let mut ticks = Ticks::new();
    let (mut of_services, mut of_ticks, mut of_poller) = (random.fork(), random.fork(), random.fork());
    let sent = {
        let delivered = || {
            let delivered = lambda.delivered();
            observe(Progress { delivered, records: config.records, kills: faults.count(lambda::KILLS) });
            delivered
        };
        let ahead = config.batch as u64 * 8;
        let produced = producer::produce(&stream, TOPIC, &records, ahead, delivered, &faults);
        tokio::select! {
            sent = produced => sent?,
            error = services.harm(&mut of_services, &faults) => match error? {},
            error = poll(&source, &lambda, &mut of_poller, &faults) => match error? {},
            never = end_early(&lambda, config.records / 4, &zombie) => match never {},
            error = prober.run(&mut of_ticks, &faults, &mut ticks) => match error? {},
        }
    };

    services.calm_down().await?;
    lambda.calm_down();
    faults.hits("records that another consumer of the partitions delivered as well", other.delivered());
    let deliveries = spawn(source.clone(), Arc::clone(&lambda));
    let calm = Instant::now();
    while !drained(&source).await? {
        if calm.elapsed() > CALM || deliveries.is_finished() {
            bail!("the topic was not taken to its end; what flush says is in {}", log.display());
        }
        sleep(Duration::from_millis(200)).await;
    }
    deliveries.abort();

    let client = services.client().await?;
    let rows = count_rows(&client, &records, &sent).await?;
    let slots = count_slots(&client, &ticks, PAGES).await?;
    let string = services.connection_string();
    let lookup = |name: &str| match name {
        "WM_DB_CONNECTION_STRING" => Some(string.clone()),
        "WM_RAW_RETENTION" => Some("36500d".to_owned()),
        _ => None,
    };
    flush::seal_all(&Flush::new(FlushConfig::from_env(&lookup)?), |_| {}).await?;
    let chunks = count_chunks(&client, &records, &sent).await?;
    let stored: i64 = client.query_one("select count(*) from probes", &[]).await?.try_get(0)?;
    let history = history::read(&client, &HistoryQuery { exact_probes: i64::MAX, ..HistoryQuery::default() }).await?;
    Ok(Report {
        seed: config.seed,
        acknowledged: sent.acknowledged.iter().filter(|acknowledged| **acknowledged).count() as u64,
        rows,
        chunks,
        slots,
        answered: history.targets.iter().map(|target| target.total.counts.all()).sum(),
        stored: stored.unsigned_abs(),
        faults: faults.counts(),
        others: faults.others(),
        took: began.elapsed(),
    })
}

/// Ends a task when so many records were delivered, and waits for ever.
async fn end_early(lambda: &Lambda, records: u64, task: &JoinHandle<Result<()>>) -> Infallible {
    while lambda.delivered() < records {
        sleep(Duration::from_millis(50)).await;
    }
    task.abort();
    std::future::pending().await
}

/// The trigger's own poller, which dies now and then with a batch under way, and starts again where it had committed.
async fn poll(
    source: &EventSourceConfig,
    lambda: &Arc<Lambda>,
    random: &mut Rng,
    faults: &Faults,
) -> Result<Infallible> {
    loop {
        let poller = Aborted(spawn(source.clone(), Arc::clone(lambda)));
        sleep(Duration::from_millis(random.u64(POLLER_LIVES))).await;
        faults.hit("the poller killed");
        drop(poller);
    }
}

/// A task that ends when this is dropped.
struct Aborted(JoinHandle<Result<()>>);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn spawn(source: EventSourceConfig, lambda: Arc<Lambda>) -> JoinHandle<Result<()>> {
    // What goes wrong is meant to, or is counted by whoever did it.
    tokio::spawn(async move { event_source::run(&source, &lambda, |_: Delivery<'_>| {}).await })
}

async fn drained(source: &EventSourceConfig) -> Result<bool> {
    let source = source.clone();
    tokio::task::spawn_blocking(move || is_drained(&source)).await?
}

impl Report {
    /// Whether nothing was lost, doubled or altered, and no function ended by itself.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        let by_itself = self.faults.get(lambda::ENDED).copied().unwrap_or_default();
        let slots = (self.slots.lost, self.slots.doubled, self.slots.stray);
        let parts = self.rows.is_exact() && self.chunks.is_exact() && self.answered == self.stored;
        parts && slots == (0, 0, 0) && by_itself == 0
    }

    /// Whether enough was broken for that to mean something: of a million records or more, 500 kills of flush and 200 batches
    /// that were in two invocations at once.
    #[must_use]
    pub fn is_a_storm(&self) -> bool {
        let count = |fault: &str| self.faults.get(fault).copied().unwrap_or_default();
        self.acknowledged < 1_000_000 || (count(lambda::KILLS) >= 500 && count(lambda::OVERLAPS) >= 200)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = |rows: Vec<(&str, u64)>, what: &str| {
            let mut table = Table::new();
            table.load_style(ASCII_MARKDOWN);
            table.set_header([what, "count"]);
            for (name, count) in rows {
                table.add_row([name.to_owned(), count.to_string()]);
            }
            if let Some(column) = table.column_mut(1) {
                column.set_cell_alignment(CellAlignment::Right);
            }
            table
        };
        let faults = self.faults.iter().map(|(fault, count)| (*fault, *count)).collect();
        let counts = vec![
            ("records acknowledged by Kafka", self.acknowledged),
            ("of these in no row", self.rows.lost),
            ("in more than one row", self.rows.doubled),
            ("rows that no record accounts for", self.rows.altered),
            ("rows of records that were not acknowledged", self.rows.unacknowledged),
            ("acknowledged, and in no chunk", self.chunks.lost),
            ("in chunks more than once", self.chunks.doubled),
            ("in chunks, and no record accounts for it", self.chunks.altered),
            ("slots of the real probe", self.slots.slots),
            ("with one verdict", self.slots.one),
            ("with none, of ticks that were killed or failed", self.slots.none),
            ("with none, of ticks that went well", self.slots.lost),
            ("with more than one", self.slots.doubled),
            ("verdicts of slots that no tick had", self.slots.stray),
            ("rows, with those of the real probe", self.stored),
            ("probes that stats counts", self.answered),
        ];
        writeln!(formatter, "{}\n\n{}\n", table(faults, "fault"), table(counts, "outcome"))?;
        for other in &self.others {
            writeln!(formatter, "a batch failed because {other}")?;
        }
        write!(formatter, "seed {}, {} s", self.seed, self.took.as_secs())
    }
}
