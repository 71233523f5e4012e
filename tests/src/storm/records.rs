//! The records of a storm: each follows from its number, so that whatever arrives can be told without having been kept.

use std::io;

use serde_json::json;
use shared::{Micros, Record, timestamp};
use uuid::Uuid;

/// All of them.
#[derive(Debug, Clone, Copy)]
pub struct Records {
    /// How many.
    pub count: u64,
    /// Over how many targets they are spread.
    pub targets: u64,
    /// When the first was probed.
    pub start: Micros,
    /// From one to the next, in microseconds.
    pub step: i64,
}

/// What of a record can be found again, in a row and in a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// Its number.
    pub number: u64,
    /// Its status.
    pub status: Option<u16>,
    /// Its response time, in microseconds.
    pub response_time_us: Option<i32>,
}

impl Records {
    /// A record as it goes to the topic. Every other one has an id; the place of the rest in the topic is their identity.
    ///
    /// # Errors
    /// It does not decode, which would be a mistake here.
    pub fn record(&self, number: u64) -> io::Result<Record> {
        let Found { status, response_time_us, .. } = self.expected(number);
        let record = json!({
            "url": self.url(number),
            "timestamp": timestamp::format(self.instant(number).timestamp()),
            "http_status_code": status,
            "response_time_ms": response_time_us.map(|micros| f64::from(micros) / 1_000.0),
            "id": has_id(number).then(|| Uuid::from_u64_pair(0x0193_6a2c_5b7a_7c3e, 0x9f21_0000_0000_0000 | number)),
            "location": if number.is_multiple_of(3) { "here" } else { "there" },
            "error": status.is_none().then(|| json!({"kind": "timeout", "message": format!("record {number}")})),
        });
        Record::decode(record.to_string().as_bytes()).map_err(io::Error::other)
    }

    /// What a row or a chunk has to say of a record.
    #[must_use]
    pub fn expected(&self, number: u64) -> Found {
        let random = fastrand::Rng::with_seed(number).u64(..);
        let status = [Some(200), Some(200), Some(204), Some(301), Some(404), Some(503), None];
        Found {
            number,
            status: status.get(usize::try_from(random % 7).unwrap_or_default()).copied().flatten(),
            // Up to two seconds.
            response_time_us: i32::try_from(random >> 43).ok(),
        }
    }

    /// The number of the record of a target at an instant.
    #[must_use]
    pub fn number(&self, url: &str, instant: Micros) -> Option<u64> {
        let passed = instant.0 - self.start.0;
        let number = u64::try_from(passed / self.step).ok()?;
        (passed % self.step == 0 && number < self.count && url == self.url(number)).then_some(number)
    }

    fn url(&self, number: u64) -> String {
        // By blocks, so that neighbours are of different targets, but not in turns.
        format!("https://{}.storm.test/", number / 7 % self.targets)
    }

    fn instant(&self, number: u64) -> Micros {
        Micros(self.start.0 + self.step * number.cast_signed())
    }
}

/// Whether a record has an id of its own.
#[must_use]
pub fn has_id(number: u64) -> bool {
    number.is_multiple_of(2)
}
