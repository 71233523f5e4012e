//! Rows in the binary form of COPY (<https://www.postgresql.org/docs/current/sql-copy.html>): a header; for each row the
//! number of its columns, and for each column its length, or −1 for null, and its value, the highest byte first; an end.
//!
//! Spelt out, since this is what most of an invocation goes into: the driver's own writer looks up the type of every
//! value and sends every thirty rows by themselves.

use bytes::{BufMut as _, Bytes, BytesMut};
use shared::Micros;

use crate::row::Row;

/// The number of columns in `copy_probes.sql`.
const COLUMNS: i16 = 16;

/// What is to be sent.
pub(crate) struct CopyData {
    bytes: BytesMut,
}

impl Default for CopyData {
    fn default() -> Self {
        let mut bytes = BytesMut::new();
        bytes.put_slice(b"PGCOPY\n\xff\r\n\0");
        // No flags, and no extension of the header.
        bytes.put_u64(0);
        Self { bytes }
    }
}

impl CopyData {
    /// Appends a row, its columns in the order of `copy_probes.sql`.
    pub(crate) fn push(&mut self, row: &Row<'_>) {
        let values = row.values();
        self.bytes.put_i16(COLUMNS);
        self.instant(Some(row.key.probed_at));
        self.bigint(row.key.record_id);
        self.instant(values.scheduled_at);
        self.integer(Some(row.key.target_id));
        self.integer(values.response_time_us);
        self.integer(values.dns_us);
        self.integer(values.connect_us);
        self.integer(values.tls_us);
        self.integer(values.first_byte_us);
        self.integer(values.download_us);
        self.smallint(values.http_status_code);
        self.smallint(Some(values.attempt));
        self.smallint(Some(values.outcome));
        self.smallint(Some(values.error_kind));
        self.smallint(Some(row.location_id));
        let message = values.error_message.as_bytes();
        self.bytes.put_i32(i32::try_from(message.len()).unwrap_or(i32::MAX));
        self.bytes.put_slice(message);
    }

    /// How many bytes there are.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Takes the bytes so far.
    pub(crate) fn take(&mut self) -> Bytes {
        self.bytes.split().freeze()
    }

    /// Takes the rest, with the end.
    pub(crate) fn finish(mut self) -> Bytes {
        self.bytes.put_i16(-1);
        self.take()
    }

    fn instant(&mut self, instant: Option<Micros>) {
        match instant {
            Some(instant) => self.bigint(instant.to_postgres()),
            None => self.bytes.put_i32(-1),
        }
    }

    fn bigint(&mut self, value: i64) {
        self.bytes.put_i32(8);
        self.bytes.put_i64(value);
    }

    fn integer(&mut self, value: Option<i32>) {
        match value {
            Some(value) => {
                self.bytes.put_i32(4);
                self.bytes.put_i32(value);
            }
            None => self.bytes.put_i32(-1),
        }
    }

    fn smallint(&mut self, value: Option<i16>) {
        match value {
            Some(value) => {
                self.bytes.put_i32(2);
                self.bytes.put_i16(value);
            }
            None => self.bytes.put_i32(-1),
        }
    }
}
