//! `cargo bench --bench history`: what history costs to write and to read, beside the Python CLI's one table, in one run
//! on one server.
//!
//! Starts a Postgres of its own and prints one table of figures and ratios. Ratios count: absolute times are those of
//! the machine. `--help` behind a `--` says more.

mod answers;
mod ingest;
mod reads;
#[path = "../report.rs"]
mod report;
mod seed;
mod store;
mod traffic;

use std::collections::BTreeSet;

use anyhow::Result;
use clap::Parser;
use local_stack::{postgres::Postgres, workspace};

use crate::report::Report;

/// Compares the store with the table of the Python CLI `wm`, side by side.
#[derive(Parser)]
#[command(name = "cargo bench --bench history --", bin_name = "cargo bench --bench history --")]
struct Arguments {
    /// Probes in the store whose reads are compared, in millions.
    #[arg(long, default_value_t = 10)]
    millions: u64,
    /// A larger store, in millions, to see how the answers grow; it is filled at some millions a minute.
    #[arg(long)]
    scale: Option<u64>,
    /// Batches timed of each kind.
    #[arg(long, default_value_t = 20)]
    batches: usize,
    /// Leave out the answers through the function, which take wrk.
    #[arg(long)]
    no_answers: bool,
    /// Leave out what is measured of writing, and of smaller and larger stores.
    #[arg(long)]
    only_answers: bool,
    /// What cargo itself adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// As a server of some size would have them; the same for both sides.
const SETTINGS: [&str; 5] = [
    "shared_buffers=2GB",
    "max_wal_size=16GB",
    "checkpoint_timeout=15min",
    "effective_cache_size=12GB",
    // Nothing is to run beside what is measured.
    "autovacuum=off",
];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if !arguments.no_answers {
        answers::check()?;
    }
    let directory = workspace().join("target/bench");
    let postgres = Postgres::start(&directory.join("postgres"), true, &SETTINGS)?;
    let mut report = Report::default();

    for targets in [100, 10_000].into_iter().filter(|_| !arguments.only_answers) {
        eprintln!("batches of 10,000 records, {targets} targets");
        ingest::compare(&postgres, targets, arguments.batches, &mut report).await?;
    }
    let others = [Some(1), arguments.scale].into_iter().flatten().filter(|_| !arguments.only_answers);
    let sizes: BTreeSet<_> = others.chain([arguments.millions]).collect();
    let mut all_time = None;
    for millions in sizes {
        eprintln!("a store of {millions} million probes");
        let is_compared = millions == arguments.millions;
        let store = store::load(&postgres, millions, is_compared, &mut report).await?;
        if is_compared && !arguments.no_answers {
            answers::measure(&postgres, &store, &mut report).await?;
        }
        let median = match is_compared && !arguments.only_answers {
            true => reads::compare(&store, &mut report).await?,
            false => reads::all_time(&store).await?,
        };
        if let Some((smaller, before)) = all_time.replace((millions, median)) {
            let what = format!("all targets, all time: {smaller} M → {millions} M probes");
            report.ratio(
                &what,
                median,
                before,
                &format!("{:.1} → {:.1} ms", before * 1e3, median * 1e3),
                "< 4 for 10 × the probes",
            );
        }
    }
    println!("{report}");
    Ok(())
}

impl Report {
    /// How much faster one time is than another, both in seconds.
    pub(crate) fn speedup(&mut self, what: &str, seed: f64, ours: f64, bar: &str) {
        let ratio = seed / ours;
        let digits = if ratio < 10.0 { 1 } else { 0 };
        self.row(what, format!("{ratio:.digits$} ×"), &format!("{:.1} → {:.1} ms", seed * 1e3, ours * 1e3), bar);
    }
}
