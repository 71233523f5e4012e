//! flush under a load that does not end: batches of 10,000 records from eight partitions.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use anyhow::Result;
use bytes::Bytes;
use futures::{SinkExt as _, TryStreamExt as _, future::join_all};
use probe::stream::Publisher;
use shared::{Micros, Record, timestamp};
use tokio::time::sleep;

use crate::{Scene, deliver, report::Report};

const NAME: &str = "sustained";
const TARGETS: u64 = 100;
/// Records under way to Kafka at a time.
const AT_ONCE: u64 = 5_000;

/// From the first record that is produced to the last that is in the database.
pub(crate) async fn run(scene: &Scene, records: u64, report: &mut Report) -> Result<()> {
    eprintln!("{records} records through the pipeline");
    let variables = scene.place(NAME).await?;
    let flush = scene.function("flush", &variables).await?;
    let began = Instant::now();
    // When so many records were in the database.
    let progress = Arc::new(Mutex::new(vec![(0.0, 0)]));
    let noted = Arc::clone(&progress);
    let trigger = deliver(scene.source(NAME), flush.clone(), move |answer| {
        let mut progress = noted.lock().unwrap_or_else(PoisonError::into_inner);
        let stored = progress.last().map_or(0, |(_, stored)| *stored) + answer["stored"].as_u64().unwrap_or_default();
        progress.push((began.elapsed().as_secs_f64(), stored));
    });
    let stored = || progress.lock().unwrap_or_else(PoisonError::into_inner).last().map_or(0, |(_, stored)| *stored);

    let publisher = Publisher::new(scene.kafka.stream().connection(), NAME)?;
    let fixture = Record::decode(include_bytes!("../../../shared/fixtures/record.json"))?;
    let now = Micros::from(timestamp::now());
    let mut peaks = Vec::new();
    for first in (0..records).step_by(usize::try_from(AT_ONCE)?) {
        let publishing = (first..(first + AT_ONCE).min(records)).map(async |number| {
            // A second apart within a target, up to now.
            let instant = Micros(now.0 - (records - number).cast_signed() / TARGETS.cast_signed() * 1_000_000);
            let url = format!("https://{}.example.com/", number % TARGETS);
            let record = Record { url, timestamp: instant.timestamp(), id: None, ..fixture.clone() };
            publisher.publish(&record).await
        });
        join_all(publishing).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        // So far ahead that no batch is short, and no further.
        while stored() + 60_000 < first {
            sleep(std::time::Duration::from_millis(5)).await;
        }
        if stored() > (peaks.len() as u64 + 1) * records / 4 {
            peaks.push(flush.peak()?);
        }
    }
    while stored() < records {
        sleep(std::time::Duration::from_millis(5)).await;
    }
    trigger.abort();
    let last_peak = flush.peak()?;

    let progress = progress.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let rate = |from: u64, to: u64| {
        let at = |records| progress.iter().find(|(_, stored)| *stored >= records).copied().unwrap_or_default();
        let ((start, before), (end, after)) = (at(from), at(to));
        (after - before) as f64 / (end - start)
    };
    let quarters = [1, 2, 3].map(|quarter| rate(quarter * records / 4, (quarter + 1) * records / 4));
    let steady = quarters[2];
    let detail =
        format!("{:.0}, {:.0} and {:.0} in the second, third and last quarter", quarters[0], quarters[1], quarters[2]);
    report.row("produced to stored, 10,000 a batch, one flush", format!("{steady:.0} records/s"), &detail, "–");
    let bare = bare_copy(scene).await?;
    report.ratio(
        "the same beside a bare binary COPY of its rows",
        1.0 / bare,
        1.0 / steady,
        &format!("{bare:.0} rows/s"),
        "–",
    );
    let detail = peaks.iter().map(|peak| format!("{peak:.0}")).collect::<Vec<_>>().join(", ");
    let detail = format!("{detail} MB in the quarters before");
    report.row("flush's memory at its peak in the last quarter", format!("{last_peak:.0} MB"), &detail, "flat");
    Ok(())
}

/// Rows a second that COPY takes into a table without anything but its columns.
async fn bare_copy(scene: &Scene) -> Result<f64> {
    let client = scene.client(NAME).await?;
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
