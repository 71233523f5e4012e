//! What a batch brings into each hour, once more as fragments: stats reads them and sealing makes chunks of them, without
//! going through the rows.

use std::collections::BTreeMap;

use shared::{
    Micros, Millis,
    history::{Sample, Verdict, fragment::Fragment},
};
use tokio_postgres::{
    Client, Error,
    types::{ToSql, Type},
};

use crate::{
    row::Row,
    unsealed::{BlockHour, block_hour},
};

/// Leaves the fragments of rows that were just written, which are in the order of the key.
pub(crate) async fn insert<'rows, 'record: 'rows>(
    client: &Client,
    rows: impl Iterator<Item = &'rows Row<'record>>,
) -> Result<(), Error> {
    let mut parts: BTreeMap<BlockHour, (Vec<_>, Vec<_>)> = BTreeMap::new();
    for row in rows {
        let (owners, samples) = parts.entry(block_hour(row)).or_default();
        owners.push((row.key.target_id, row.location_id));
        samples.push(sample(row));
    }
    let (mut hours, mut blocks): (Vec<Micros>, Vec<i32>) = Default::default();
    let [mut keys, mut instants, mut samples, mut phases]: [Vec<Vec<u8>>; 4] = Default::default();
    for ((hour, block), (owners, of_hour)) in parts {
        let fragment = Fragment::encode(hour, &owners, &of_hour);
        hours.push(hour);
        blocks.push(block.0);
        keys.push(fragment.keys);
        instants.push(fragment.samples.instants);
        samples.push(fragment.samples.samples);
        phases.push(fragment.samples.phases);
    }
    let parameters: [(&(dyn ToSql + Sync), Type); 6] = [
        (&hours, Type::TIMESTAMPTZ_ARRAY),
        (&blocks, Type::INT4_ARRAY),
        (&keys, Type::BYTEA_ARRAY),
        (&instants, Type::BYTEA_ARRAY),
        (&samples, Type::BYTEA_ARRAY),
        (&phases, Type::BYTEA_ARRAY),
    ];
    client.execute_typed(include_str!("insert_fragments.sql"), &parameters).await.map(drop)
}

/// What history keeps of a row.
fn sample(row: &Row<'_>) -> Sample {
    let record = &row.observation.record;
    let phases = record.phases.unwrap_or_default();
    let phases = [phases.dns, phases.connect, phases.tls, phases.first_byte, phases.download];
    Sample {
        probed_at: row.key.probed_at,
        verdict: Verdict {
            status: record.http_status_code,
            outcome: record.outcome(),
            error: record.error.as_ref().map(|error| error.kind),
            is_retried: record.retried,
            is_late: record.is_late(),
        },
        response_time_us: record.response_time_ms.map(Millis::as_micros),
        phases_us: phases.map(|phase| phase.map(Millis::as_micros)),
    }
}
