//! The past of some monitors, each with something of its own to see: a minute apart for two days, and ten before.

use anyhow::Result;
use fastrand::Rng;
use jiff::Timestamp;
use serde_json::{Value, json};
use shared::record::Record;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// How far back it goes, and since when there is a probe a minute; in seconds.
const LENGTH: i64 = 90 * DAY;
const DENSE: i64 = 2 * DAY;
/// And from one to the next before.
const WIDE: i64 = 10 * MINUTE;

/// A monitor, seen from one location.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Series {
    monitor: &'static str,
    location: &'static str,
    tags: &'static [&'static str],
    /// The median of its response times, in milliseconds.
    median: f64,
}

/// A location that sees nothing any more, and a monitor that is never probed more than every ten minutes.
const SILENT: &str = "ap-south-1";
const SLOWLY: &str = "slowly";

/// What is to be seen, by the monitor.
pub(crate) const ALL: [Series; 10] = [
    Series { monitor: "shop", location: "eu-central-1", tags: &["shop", "public"], median: 84.0 },
    Series { monitor: "shop", location: "us-east-1", tags: &["shop", "public"], median: 148.0 },
    Series { monitor: "shop", location: SILENT, tags: &["shop", "public"], median: 201.0 },
    Series { monitor: "api", location: "eu-central-1", tags: &["shop"], median: 41.0 },
    Series { monitor: "checkout", location: "eu-central-1", tags: &["shop"], median: 230.0 },
    Series { monitor: "docs", location: "eu-central-1", tags: &["public"], median: 26.0 },
    Series { monitor: "legacy", location: "eu-central-1", tags: &["old"], median: 510.0 },
    Series { monitor: "gone", location: "eu-central-1", tags: &["old"], median: 97.0 },
    Series { monitor: SLOWLY, location: "eu-central-1", tags: &["public"], median: 120.0 },
    Series { monitor: "fresh", location: "eu-central-1", tags: &["public"], median: 62.0 },
];

impl Series {
    /// Its slots of the past, in seconds before now, the oldest first.
    pub(crate) fn slots(self) -> Vec<i64> {
        let slots = (0..DENSE).filter(|ago| ago % MINUTE == 0).chain((DENSE..LENGTH).filter(|ago| ago % WIDE == 0));
        let mut slots: Vec<_> = slots.filter(|ago| self.is_probed(*ago)).collect();
        slots.reverse();
        slots
    }

    /// Whether there is a probe so long before now; after it, with negative times. Nobody looked at the docs for six hours, at legacy not for five, at gone for more than a
    /// day; fresh is new.
    pub(crate) fn is_probed(self, ago: i64) -> bool {
        match self.monitor {
            "docs" => !(8 * HOUR..14 * HOUR).contains(&ago),
            "legacy" => ago >= 5 * HOUR,
            "gone" => ago >= 26 * HOUR,
            SLOWLY => ago % WIDE == 0,
            _ if self.location == SILENT => ago >= 3 * HOUR,
            "fresh" => ago < 12 * MINUTE,
            _ => true,
        }
    }

    /// The record of a slot so long before `now`. Goes on into the future, with negative times.
    ///
    /// # Errors
    /// None that is not a mistake here.
    pub(crate) fn record(self, ago: i64, now: i64, random: &mut Rng) -> Result<Record> {
        let started = Timestamp::from_microsecond((now - ago) * 1_000_000 + random.i64(0..40_000))?;
        let expires = Timestamp::from_second(now + if self.monitor == "docs" { 9 * DAY + HOUR } else { 61 * DAY })?;
        // By day it is slower than by night; few requests take much longer than the others.
        #[expect(clippy::cast_precision_loss, reason = "seconds of months")]
        let hour = ((now - ago) % DAY) as f64 / 3_600.0;
        let of_day = 1.0 + 0.25 * ((hour - 15.0) / 12.0 * std::f64::consts::PI).cos();
        let spread = (0.12 * (0..6).map(|_| random.f64() - 0.5).sum::<f64>()).exp();
        let tail = if random.u8(..) < 4 { 1.0 + 3.0 * random.f64() } else { 1.0 };
        let (slow, failure) = self.fate(ago, random);
        let total = self.median * of_day * spread * tail * slow;
        let mut record = json!({
            "url": format!("https://{}.example.com/", self.monitor), "monitor": self.monitor, "location": self.location,
            "tags": self.tags, "interval_ms": if ago < DENSE && self.monitor != SLOWLY { 60_000 } else { 600_000 },
            "timestamp": shared::timestamp::format(started), "http_status_code": 200, "response_time_ms": total,
            "outcome": if slow > 4.0 { "degraded" } else { "up" },
            "certificate_expires_at": shared::timestamp::format(expires),
            "phases": {
                "dns": total * 0.06, "connect": total * 0.16, "tls": total * 0.24, "first_byte": total * 0.48,
                "download": total * 0.06
            }
        });
        if let (Some(failure), Some(record)) = (failure.as_object(), record.as_object_mut()) {
            record.insert("outcome".to_owned(), json!("down"));
            record.extend(failure.clone());
        }
        Ok(serde_json::from_value(record)?)
    }

    /// How many times slower it is then, and what goes wrong, if anything does.
    fn fate(self, ago: i64, random: &mut Rng) -> (f64, Value) {
        let refused = json!({
            "http_status_code": 503, "error": {"kind": "assertion", "message": "status 503 is not 200 to 299"}
        });
        let timeout = json!({
            "http_status_code": null, "response_time_ms": 10_000, "phases": {},
            "error": {"kind": "timeout", "message": "no response within 10 s"}
        });
        let seldom = random.u16(..) < 12;
        match self.monitor {
            "shop" if (20 * DAY..20 * DAY + 5 * HOUR).contains(&ago) => (1.0, timeout),
            "api" if ago < 40 * MINUTE => (1.0, refused),
            "api" if (9 * DAY..9 * DAY + 2 * HOUR).contains(&ago) => (1.0, refused),
            "checkout" if ago < 30 * MINUTE => (8.0, Value::Null),
            "checkout" if seldom => (1.0, timeout),
            "legacy" if seldom => (1.0, refused),
            _ => (1.0, Value::Null),
        }
    }
}
