//! Bytes that nobody meant: whatever comes in from outside is taken or refused, and never ends the function.
//!
//! `cargo test` runs a bounded number of random inputs, and of random changes to inputs that are good. They are targets of
//! bolero (<https://camshaft.github.io/bolero/>), whose command (`cargo install cargo-bolero`) runs them under libFuzzer for as long as
//! one likes:
//!
//! ```text
//! cargo bolero test -p fuzzing --rustc-bootstrap --sanitizer NONE -T 10m query_string
//! ```

#![cfg(test)]

mod events;
mod json;

use std::{fs, time::Duration};

use bolero::check;
use flush::{batch::Batch, event::KafkaEvent};
use probe::{
    input::Tick,
    monitors::{Defaults, Monitors, secrets::Secrets},
};
use shared::{
    Micros, Record,
    history::{
        Histogram, Sample, Summary, Verdict,
        chunk::{self, Columns},
        fragment::{self, Fragment},
        summary::{merge_phase, read_summary},
    },
    record::{FailureKind, Outcome},
};
use stats::query::StatsQuery;

/// Random inputs of each kind in a run of `cargo test`.
const INPUTS: usize = 20_000;

/// The files of a folder, as what good inputs look like.
fn good(folder: &str) -> Vec<Vec<u8>> {
    let mut files: Vec<_> = fs::read_dir(format!("{}/../../{folder}", env!("CARGO_MANIFEST_DIR")))
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// A good input with some changes, which `input` chooses.
fn changed(good: &[Vec<u8>], input: &[u8]) -> Option<Vec<u8>> {
    let (&which, mut input) = input.split_first()?;
    let mut bytes = good.get(usize::from(which) % good.len().max(1))?.clone();
    while let [what, high, low, value, rest @ ..] = input {
        let at = usize::from(u16::from_be_bytes([*high, *low])) % bytes.len().max(1);
        match what % 5 {
            0 => bytes.truncate(at),
            1 => bytes.splice(at..at, [*value]).for_each(drop),
            2 => bytes.splice(at..bytes.len().min(at + usize::from(*value)), []).for_each(drop),
            // A part of it once more, elsewhere.
            3 => {
                let part = bytes.get(at..bytes.len().min(at + usize::from(*value))).unwrap_or_default().to_vec();
                let end = bytes.len() / 2;
                bytes.splice(end..end, part).for_each(drop);
            }
            _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= value),
        }
        input = rest;
    }
    Some(bytes)
}

/// Each random input to a closure, and each good one that it changes. A macro, since a target is named after the function that it
/// is in.
macro_rules! each {
    ($good:expr, $target:expr) => {{
        let (good, target): (&[Vec<u8>], fn(&[u8])) = ($good, $target);
        check!().with_iterations(INPUTS).with_max_len(512).for_each(|input: &[u8]| {
            target(input);
            if let Some(changed) = changed(good, input) {
                target(&changed);
            }
        });
    }};
}

#[test]
fn kafka_event() {
    each!(&[good("events"), good("functions/flush/fixtures")].concat(), |bytes| {
        let Ok(event) = str::from_utf8(bytes) else { return };
        let Ok(event) = KafkaEvent::read(event) else { return };
        let records = event.records.len();
        let batch = Batch::decode(event);
        assert_eq!(batch.observations.len() + batch.rejects.len(), records);
        assert!(batch.rejects.iter().all(|reject| !reject.reason.is_empty() && !reject.reason.contains('\n')));
    });
}

#[test]
fn record() {
    each!(&good("shared/fixtures"), |bytes| {
        if let Ok(record) = Record::decode(bytes) {
            assert_eq!(Record::decode(&record.encode().unwrap()).unwrap(), record);
        }
    });
}

#[test]
fn event_of_probe() {
    each!(&good("events"), |bytes| {
        if let Ok(event) = str::from_utf8(bytes) {
            drop(Tick::from_event(event));
        }
    });
}

#[test]
fn monitors_file() {
    let good = [fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../functions/probe/monitors.yaml")).unwrap()];
    each!(&good, |bytes| {
        let Ok(text) = str::from_utf8(bytes) else { return };
        let second = Duration::from_secs(1);
        let defaults = Defaults { timeout: second, connect_timeout: second, tick: second * 60 };
        match Monitors::read(text, &defaults, Secrets::default()) {
            Ok(monitors) => assert!(monitors.enabled.iter().all(|monitor| !monitor.name().is_empty())),
            Err(mistakes) => assert!(!mistakes.is_empty()),
        }
    });
}

#[test]
fn query_string() {
    let good = [
        "window=24h&by=status,outcome&bucket=1h&percentiles=50,99.9",
        "from=2026-11-23T12:00:00Z&tag=a&sort=-p95_ms&limit=5",
    ];
    each!(&good.map(|query| query.as_bytes().to_vec()), |bytes| {
        match StatsQuery::parse(&String::from_utf8_lossy(bytes)) {
            Ok(_) => {}
            Err(mistakes) => assert!(!mistakes.is_empty()),
        }
    });
}

/// What history may have in a row: keys, instants, samples or counts, and phases, cut where the first bytes say.
fn columns(bytes: &[u8]) -> [&[u8]; 4] {
    let (cuts, mut rest) = bytes.split_at_checked(6).unwrap_or_default();
    let mut parts = cuts.chunks(2).map(|cut| {
        let at = cut.iter().fold(0, |at, byte| at << 8 | usize::from(*byte)).min(rest.len());
        let (part, after) = rest.split_at(at);
        rest = after;
        part
    });
    let [keys, instants, samples] = [(); 3].map(|()| parts.next().unwrap_or_default());
    drop(parts);
    [keys, instants, samples, rest]
}

/// The bytes that are taken apart into these columns.
fn row(columns: [&[u8]; 4]) -> Vec<u8> {
    let cuts = columns.iter().take(3).flat_map(|column| u16::try_from(column.len()).unwrap().to_be_bytes());
    let row: Vec<u8> = cuts.chain(columns.concat()).collect();
    assert_eq!(self::columns(&row), columns);
    row
}

/// A row of each form.
fn good_rows() -> Vec<Vec<u8>> {
    let hour = Micros(0);
    let of = |number: i64| {
        let failed = number % 5 == 0;
        Sample {
            probed_at: Micros(number * 1_000_003),
            verdict: Verdict {
                status: (!failed).then_some(200),
                outcome: if failed { Outcome::Down } else { Outcome::Up },
                error: failed.then_some(FailureKind::Timeout),
                is_retried: number % 10 == 0,
                is_late: number % 7 == 0,
            },
            response_time_us: Some(i32::try_from(number).unwrap() * 317),
            phases_us: [Some(3), None, Some(1), Some(4), (!failed).then_some(1_500)],
        }
    };
    let samples: Vec<_> = (0..20).map(of).collect();
    let owners: Vec<_> = (0..20).map(|number| (number % 3, i16::from(number > 9))).collect();
    let fragment = Fragment::encode(hour, &owners, &samples);
    let Columns { instants, samples, phases } = fragment.samples.columns();
    let mut summary = Summary::default();
    summary.add_chunk(hour, fragment.samples.columns()).unwrap();
    let summary = summary.encode(hour);
    vec![row([&fragment.keys, instants, samples, phases.unwrap()]), row([&[], &[], &summary.summary, &summary.phases])]
}

#[test]
fn history_in_the_database() {
    each!(&good_rows(), |bytes| {
        let hour = Micros(0);
        let [keys, instants, samples, phases] = columns(bytes);
        let columns = Columns { instants, samples, phases: Some(phases) };
        let of_chunk = chunk::decode(hour, columns).map(|samples| samples.len());
        let of_fragment = fragment::decode(hour, keys, columns).map(Iterator::count);
        // A fragment is a chunk, if it is anything.
        assert!(of_fragment.is_err() || of_fragment == of_chunk);
        let (mut response_times, mut timeouts) = (Histogram::default(), Histogram::default());
        drop(read_summary(hour, samples, [Some(&mut response_times), Some(&mut timeouts)]));
        for phase in 0..5 {
            drop(merge_phase(phases, phase, &mut response_times));
        }
        drop(Summary::default().merge_encoded(hour, samples, phases));
    });
}

#[test]
fn good_rows_are_good() {
    let rows = good_rows();
    let [keys, instants, samples, phases] = columns(&rows[0]);
    let read = fragment::decode(Micros(0), keys, Columns { instants, samples, phases: Some(phases) });
    assert_eq!(read.unwrap().count(), 20);
    let [.., summary, phases] = columns(&rows[1]);
    Summary::default().merge_encoded(Micros(0), summary, phases).unwrap();
}
