//! An observation as a row of `probes`, for both ways in. The columns are those of `copy_probes.sql`, in its order.

use shared::{Micros, Millis, history::rows::LATE, record::Record};
use tokio_postgres::types::{ToSql, Type};

use crate::batch::Observation;

/// The primary key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) probed_at: Micros,
    pub(crate) target_id: i32,
    pub(crate) record_id: i64,
}

/// A row of `probes`, and where it comes from. Its values are made when they are sent, while the server is at work on
/// those before.
pub(crate) struct Row<'record> {
    pub(crate) key: Key,
    pub(crate) location_id: i16,
    pub(crate) observation: &'record Observation,
}

/// The values of a row that are not in its key.
pub(crate) struct Values<'record> {
    pub(crate) scheduled_at: Option<Micros>,
    pub(crate) response_time_us: Option<i32>,
    pub(crate) dns_us: Option<i32>,
    pub(crate) connect_us: Option<i32>,
    pub(crate) tls_us: Option<i32>,
    pub(crate) first_byte_us: Option<i32>,
    pub(crate) download_us: Option<i32>,
    pub(crate) http_status_code: Option<i16>,
    pub(crate) attempt: i16,
    pub(crate) outcome: i16,
    pub(crate) error_kind: i16,
    pub(crate) error_message: &'record str,
}

/// The values of a column, of whatever type it has.
type Column<'rows> = (Box<dyn ToSql + Sync + 'rows>, Type);

impl<'record> Row<'record> {
    /// The row of an observation of a target from a location.
    pub(crate) fn new(target_id: i32, location_id: i16, observation: &'record Observation) -> Self {
        let probed_at = observation.record.timestamp.into();
        Self { key: Key { probed_at, target_id, record_id: observation.record_id }, location_id, observation }
    }

    /// The values of the columns that are not the key's or the location's.
    pub(crate) fn values(&self) -> Values<'record> {
        let record = &self.observation.record;
        let phases = record.phases.unwrap_or_default();
        let micros = |phase: Option<Millis>| phase.map(Millis::as_micros);
        Values {
            scheduled_at: record.scheduled_at.map(Micros::from),
            response_time_us: micros(record.response_time_ms),
            dns_us: micros(phases.dns),
            connect_us: micros(phases.connect),
            tls_us: micros(phases.tls),
            first_byte_us: micros(phases.first_byte),
            download_us: micros(phases.download),
            // Both fit: Record::decode refuses what does not.
            http_status_code: record.http_status_code.map(u16::cast_signed),
            attempt: attempt(record),
            outcome: record.outcome().code().into(),
            error_kind: record.error.as_ref().map_or(-1, |error| error.kind.code().into()),
            error_message: match &record.error {
                Some(error) => &error.message,
                None => record.reason.as_deref().unwrap_or_default(),
            },
        }
    }
}

/// The number of the attempt, with what else there is to say about its slot: see the comment on the column.
fn attempt(record: &Record) -> i16 {
    let late = if record.is_late() { LATE } else { 0 };
    let attempt = (record.attempt | late).cast_signed();
    if record.retried { -attempt } else { attempt }
}

/// The rows turned on their side: one array per column.
pub(crate) fn columns<'rows>(rows: &'rows [Row<'_>]) -> Vec<Column<'rows>> {
    fn column<Item, T: ToSql + Sync + 'static>(
        items: &[Item],
        type_: Type,
        value: impl Fn(&Item) -> T,
    ) -> Column<'static> {
        (Box::new(items.iter().map(value).collect::<Vec<T>>()), type_)
    }
    let values: Vec<_> = rows.iter().map(Row::values).collect();
    let messages: Vec<_> = values.iter().map(|row| row.error_message).collect();
    vec![
        column(rows, Type::TIMESTAMPTZ_ARRAY, |row| row.key.probed_at),
        column(rows, Type::INT8_ARRAY, |row| row.key.record_id),
        column(&values, Type::TIMESTAMPTZ_ARRAY, |row| row.scheduled_at),
        column(rows, Type::INT4_ARRAY, |row| row.key.target_id),
        column(&values, Type::INT4_ARRAY, |row| row.response_time_us),
        column(&values, Type::INT4_ARRAY, |row| row.dns_us),
        column(&values, Type::INT4_ARRAY, |row| row.connect_us),
        column(&values, Type::INT4_ARRAY, |row| row.tls_us),
        column(&values, Type::INT4_ARRAY, |row| row.first_byte_us),
        column(&values, Type::INT4_ARRAY, |row| row.download_us),
        column(&values, Type::INT2_ARRAY, |row| row.http_status_code),
        column(&values, Type::INT2_ARRAY, |row| row.attempt),
        column(&values, Type::INT2_ARRAY, |row| row.outcome),
        column(&values, Type::INT2_ARRAY, |row| row.error_kind),
        column(rows, Type::INT2_ARRAY, |row| row.location_id),
        (Box::new(messages), Type::TEXT_ARRAY),
    ]
}
