//! The records of a storm into the topic, by what probe publishes with, and a note of what was acknowledged.

use std::time::Duration;

use anyhow::Result;
use futures::future::join_all;
use probe::stream::Publisher;
use tokio::time::sleep;

use super::{
    faults::Faults,
    ledger::Sent,
    records::{Records, has_id},
};
use crate::kafka::Stream;

/// Records under way at once.
const AT_ONCE: u64 = 250;
/// Before a record is sent again, or the rest goes on.
const PAUSE: Duration = Duration::from_millis(50);
/// Records with an id that are sent twice, whatever comes of them: one of so many.
const TWICE: u64 = 100;

/// Sends all of it, never more than `ahead` records before what `delivered` says. A record with an id is sent until it is
/// acknowledged, since it may come twice. One without is sent once: if that is not acknowledged, nobody knows.
///
/// # Errors
/// Kafka's client refuses its settings, or a record does not encode.
pub async fn produce(
    stream: &Stream,
    topic: &str,
    records: &Records,
    ahead: u64,
    delivered: impl Fn() -> u64,
    faults: &Faults,
) -> Result<Sent> {
    let mut publisher = Publisher::new(stream.connection(), topic)?;
    let mut acknowledged = Vec::with_capacity(usize::try_from(records.count)?);
    while (acknowledged.len() as u64) < records.count {
        let first = acknowledged.len() as u64;
        if first > delivered() + ahead {
            sleep(PAUSE).await;
            continue;
        }
        let numbers = first..(first + AT_ONCE).min(records.count);
        let sent = join_all(numbers.clone().map(|number| send(&publisher, records, number, faults))).await;
        acknowledged.extend(sent.into_iter().collect::<Result<Vec<_>>>()?);
        renew(&mut publisher, stream, topic)?;
        // What may come twice is sent until it is known to be there.
        for number in numbers.filter(|number| has_id(*number)) {
            let known = &mut acknowledged[usize::try_from(number)?];
            while !*known {
                faults.hit("records sent again, since Kafka had not acknowledged them");
                sleep(PAUSE).await;
                renew(&mut publisher, stream, topic)?;
                *known = send(&publisher, records, number, faults).await?;
            }
        }
    }
    Ok(Sent { acknowledged })
}

/// Another producer in the place of one that is of no more use, as probe does it.
fn renew(publisher: &mut Publisher, stream: &Stream, topic: &str) -> Result<()> {
    if publisher.is_broken() {
        let broken = std::mem::replace(publisher, Publisher::new(stream.connection(), topic)?);
        Publisher::retire(broken);
    }
    Ok(())
}

/// Whether Kafka acknowledged it.
async fn send(publisher: &Publisher, records: &Records, number: u64, faults: &Faults) -> Result<bool> {
    let record = records.record(number)?;
    let is_acknowledged = publisher.publish(&record).await.is_ok();
    if is_acknowledged && has_id(number) && number.is_multiple_of(TWICE) {
        faults.hits("records that a producer sent twice", publisher.publish(&record).await.is_ok().into());
    }
    Ok(is_acknowledged)
}
