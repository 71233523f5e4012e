//! An observation as a row of `probes`, for both ways in. The columns are those of `copy_probes.sql`, in its order.

use shared::{Micros, Millis};
use tokio_postgres::types::{ToSql, Type};

use crate::batch::Observation;

/// How many columns there are.
const COLUMNS: usize = 16;

/// The types of the columns.
pub(crate) const TYPES: [Type; COLUMNS] = [
    Type::TIMESTAMPTZ,
    Type::INT8,
    Type::TIMESTAMPTZ,
    Type::INT4,
    Type::INT4,
    Type::INT4,
    Type::INT4,
    Type::INT4,
    Type::INT4,
    Type::INT4,
    Type::INT2,
    Type::INT2,
    Type::INT2,
    Type::INT2,
    Type::INT2,
    Type::TEXT,
];

/// The primary key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    probed_at: Micros,
    target_id: i32,
    record_id: i64,
}

impl Key {
    /// The key of an observation of a target.
    pub(crate) fn new(target_id: i32, observation: &Observation) -> Self {
        Self { probed_at: observation.record.timestamp.into(), target_id, record_id: observation.record_id }
    }
}

/// A row of `probes`.
pub(crate) struct Row<'record> {
    pub(crate) probed_at: Micros,
    record_id: i64,
    scheduled_at: Option<Micros>,
    pub(crate) target_id: i32,
    response_time_us: Option<i32>,
    dns_us: Option<i32>,
    connect_us: Option<i32>,
    tls_us: Option<i32>,
    first_byte_us: Option<i32>,
    download_us: Option<i32>,
    http_status_code: Option<i16>,
    attempt: i16,
    outcome: i16,
    error_kind: i16,
    location_id: i16,
    error_message: &'record str,
    /// Where the row comes from; not a column.
    pub(crate) observation: &'record Observation,
}

/// The values of a column, of whatever type it has.
type Column<'rows> = (Box<dyn ToSql + Sync + 'rows>, Type);

impl<'record> Row<'record> {
    /// The row of an observation, with its key and the id of its location.
    pub(crate) fn new(key: Key, location_id: i16, observation: &'record Observation) -> Self {
        let Key { probed_at, target_id, record_id } = key;
        let record = &observation.record;
        let phases = record.phases.unwrap_or_default();
        let micros = |phase: Option<Millis>| phase.map(Millis::as_micros);
        Self {
            probed_at,
            record_id,
            scheduled_at: record.scheduled_at.map(Micros::from),
            target_id,
            response_time_us: micros(record.response_time_ms),
            dns_us: micros(phases.dns),
            connect_us: micros(phases.connect),
            tls_us: micros(phases.tls),
            first_byte_us: micros(phases.first_byte),
            download_us: micros(phases.download),
            // Both fit: Record::decode refuses what does not.
            http_status_code: record.http_status_code.map(u16::cast_signed),
            attempt: record.attempt.cast_signed(),
            outcome: record.outcome().code().into(),
            error_kind: record.error.as_ref().map_or(-1, |error| error.kind.code().into()),
            location_id,
            error_message: record.error.as_ref().map_or("", |error| &error.message),
            observation,
        }
    }

    /// The values, one per column.
    pub(crate) fn values(&self) -> [&(dyn ToSql + Sync); COLUMNS] {
        [
            &self.probed_at,
            &self.record_id,
            &self.scheduled_at,
            &self.target_id,
            &self.response_time_us,
            &self.dns_us,
            &self.connect_us,
            &self.tls_us,
            &self.first_byte_us,
            &self.download_us,
            &self.http_status_code,
            &self.attempt,
            &self.outcome,
            &self.error_kind,
            &self.location_id,
            &self.error_message,
        ]
    }
}

/// The rows turned on their side: one array per column.
pub(crate) fn columns<'rows>(rows: &'rows [Row<'_>]) -> Vec<Column<'rows>> {
    fn column<'rows, T: ToSql + Sync + 'rows>(
        rows: &'rows [Row<'_>],
        type_: Type,
        value: impl Fn(&'rows Row<'_>) -> T,
    ) -> Column<'rows> {
        (Box::new(rows.iter().map(value).collect::<Vec<T>>()), type_)
    }
    vec![
        column(rows, Type::TIMESTAMPTZ_ARRAY, |row| row.probed_at),
        column(rows, Type::INT8_ARRAY, |row| row.record_id),
        column(rows, Type::TIMESTAMPTZ_ARRAY, |row| row.scheduled_at),
        column(rows, Type::INT4_ARRAY, |row| row.target_id),
        column(rows, Type::INT4_ARRAY, |row| row.response_time_us),
        column(rows, Type::INT4_ARRAY, |row| row.dns_us),
        column(rows, Type::INT4_ARRAY, |row| row.connect_us),
        column(rows, Type::INT4_ARRAY, |row| row.tls_us),
        column(rows, Type::INT4_ARRAY, |row| row.first_byte_us),
        column(rows, Type::INT4_ARRAY, |row| row.download_us),
        column(rows, Type::INT2_ARRAY, |row| row.http_status_code),
        column(rows, Type::INT2_ARRAY, |row| row.attempt),
        column(rows, Type::INT2_ARRAY, |row| row.outcome),
        column(rows, Type::INT2_ARRAY, |row| row.error_kind),
        column(rows, Type::INT2_ARRAY, |row| row.location_id),
        column(rows, Type::TEXT_ARRAY, |row| row.error_message),
    ]
}
