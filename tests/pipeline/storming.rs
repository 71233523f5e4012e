//! Everything at once: a short storm. `cargo storm` is the same for as long as one likes.

use local_stack::{
    functions,
    storm::{self, StormConfig, lambda},
};

use crate::support::directory;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_in_a_storm() {
    tokio::task::spawn_blocking(functions::build).await.unwrap().unwrap();
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let config = StormConfig { seed, records: 24_000, targets: 40, batch: 150, directory: directory("storm") };

    let report = storm::run(&config, |_| {}).await.unwrap();

    println!("{report}");
    assert!(report.is_exact(), "{report}");
    assert!(report.acknowledged > 12_000 && report.rows.found >= report.acknowledged, "{report}");
    // It was one.
    assert!(report.faults[lambda::KILLS] >= 10 && report.faults[lambda::OVERLAPS] >= 3, "{report}");
    assert!(report.faults.len() >= 10, "{report}");
}
