//! What must hold for every input: round trips, the laws of merging, the bound of the error, and no panic on any bytes.

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::{
    Counts, Histogram, Measure, Sample, Summary, Verdict,
    chunk::{self, Chunk, Columns, Samples},
    durations,
    fragment::{self, Fragment},
    histogram::RELATIVE_ERROR,
    percentile::quantiles,
    sample::union,
    summary::{merge_phase, read_summary},
};
use crate::{
    micros::Micros,
    record::{FailureKind, Outcome},
};

const HOUR: Micros = Micros(1_763_989_200_000_000);
const HOUR_MICROS: i64 = 3_600_000_000;

const SAMPLE: Sample = Sample {
    probed_at: HOUR,
    verdict: Verdict { status: Some(200), outcome: Outcome::Up, error: None, is_retried: false, is_late: false },
    response_time_us: Some(300),
    phases_us: [None; 5],
};

/// Durations with a liking for the edges of their range.
fn duration() -> impl Strategy<Value = i32> {
    prop_oneof![4 => 1..5_000_000, 1 => 0..200, 1 => select(vec![0, 1, 127, 128, i32::MAX - 1, i32::MAX])]
}

fn verdict() -> impl Strategy<Value = Verdict> {
    let status = option::of(prop_oneof![3 => select(vec![200_u16, 503]), 1 => 100..1_000_u16]);
    let error = option::weighted(0.2, select(FailureKind::ALL.as_slice()));
    (status, select(Outcome::ALL.as_slice()), error, any::<bool>(), any::<bool>()).prop_map(
        |(status, outcome, error, is_retried, is_late)| Verdict { status, outcome, error, is_retried, is_late },
    )
}

/// A sorted hour: equal instants, jumps, the very ends, nulls, and samples that are there twice.
fn hour() -> impl Strategy<Value = Vec<Sample>> {
    let offset = prop_oneof![3 => 0..HOUR_MICROS, 1 => select(vec![0, 1, 5, HOUR_MICROS - 1])];
    let phases = proptest::array::uniform5(option::of(duration()));
    let sample = (offset, verdict(), option::of(duration()), option::of(phases), 1..3_usize).prop_map(
        |(offset, verdict, response_time_us, phases, times)| {
            let probed_at = Micros(HOUR.0 + offset);
            vec![Sample { probed_at, verdict, response_time_us, phases_us: phases.unwrap_or_default() }; times]
        },
    );
    vec(sample, 1..80).prop_map(|samples| {
        let mut samples = samples.concat();
        samples.sort();
        samples
    })
}

fn histogram(values: &[i32]) -> Histogram {
    let mut histogram = Histogram::default();
    values.iter().for_each(|&value| histogram.add(value));
    histogram
}

fn merged(one: &Histogram, other: &Histogram) -> Histogram {
    let mut merged = one.clone();
    merged.merge(other);
    merged
}

/// Populations as they occur, and as they hurt.
fn population() -> impl Strategy<Value = Vec<i32>> {
    // The exponential of a sum of twelve uniform numbers is close to log-normal.
    #[expect(clippy::cast_possible_truncation, reason = "float to integer saturates")]
    let log_normal = proptest::array::uniform12(0.0..1.0_f64)
        .prop_map(|parts| (9.0 + 1.2 * (parts.iter().sum::<f64>() - 6.0)).exp() as i32);
    prop_oneof![
        vec(log_normal, 1..400),
        vec(prop_oneof![20_000..22_000, 900_000..30_000_000], 1..400),
        (duration(), 1..400_usize).prop_map(|(value, times)| vec![value; times]),
        duration().prop_map(|value| vec![value]),
        vec(duration(), 1..400),
    ]
}

proptest! {
    #[test]
    fn a_chunk_holds_every_sample_exactly(samples in hour()) {
        let chunk = Chunk::encode(HOUR, &samples);

        prop_assert_eq!(chunk::decode(HOUR, chunk.columns()), Ok(samples.clone()));
        let head = Samples::read(HOUR, &chunk.samples).unwrap();
        prop_assert_eq!((head.count, head.first), (samples.len(), samples[0].probed_at));
        prop_assert_eq!(Some(head.last), samples.last().map(|sample| sample.probed_at));
        for phase in 0..5 {
            let durations = chunk::decode_phase(&chunk.phases, phase, samples.len()).unwrap();
            prop_assert!(samples.iter().map(|sample| sample.phases_us[phase]).eq(durations.into_iter().map(durations::duration)));
        }
    }

    #[test]
    fn a_fragment_holds_every_sample_and_whose_it_is(samples in hour(), owners in vec((any::<i32>(), select(vec![1, 2, i16::MIN, i16::MAX])), 160)) {
        let mut by_instant = samples;
        by_instant.reverse();
        by_instant.sort_by_key(|sample| sample.probed_at);
        let owners = &owners[..by_instant.len()];
        let fragment = Fragment::encode(HOUR, owners, &by_instant);

        let columns = fragment.samples.columns();
        let decoded = fragment::decode(HOUR, &fragment.keys, columns).unwrap();
        prop_assert!(decoded.eq(owners.iter().copied().zip(by_instant.iter().copied())));
        let decoded = fragment::decode(HOUR, &fragment.keys, Columns { phases: None, ..columns }).unwrap();
        let without = by_instant.iter().map(|sample| Sample { phases_us: [None; 5], ..*sample });
        let is_equal = decoded.eq(owners.iter().copied().zip(without));
        prop_assert!(is_equal);
    }

    #[test]
    fn sealing_again_changes_nothing(one in hour(), other in hour()) {
        let all = union(&one, &other);

        prop_assert!(all.is_sorted());
        prop_assert_eq!(&union(&other, &one), &all);
        // Whatever part of it is delivered again.
        prop_assert_eq!(&union(&all, &one), &all);
        prop_assert_eq!(&union(&all, &all), &all);
        prop_assert_eq!(union(&one, &[]), one);
    }

    #[test]
    fn histograms_merge_in_any_order_and_grouping(a in vec(duration(), 0..99), b in vec(duration(), 0..99), c in vec(duration(), 0..99)) {
        let (ha, hb, hc) = (histogram(&a), histogram(&b), histogram(&c));

        prop_assert_eq!(merged(&ha, &hb), merged(&hb, &ha));
        prop_assert_eq!(merged(&merged(&ha, &hb), &hc), merged(&ha, &merged(&hb, &hc)));
        prop_assert_eq!(merged(&merged(&ha, &hb), &hc), histogram(&[a, b, c].concat()));
    }

    #[test]
    fn quantiles_are_within_the_bound(mut values in population(), fraction in 0.0..=1.0_f64) {
        let approximate = histogram(&values);
        for fraction in [fraction, 0.0, 0.5, 0.95, 0.99, 1.0] {
            let [exact] = quantiles(&mut values, [fraction]).unwrap();
            let off = (approximate.quantile(fraction).unwrap() - exact).abs();
            prop_assert!(off <= exact * RELATIVE_ERROR + 1e-9, "{fraction}: {exact}, off by {off}");
        }
    }

    #[test]
    fn exact_quantiles_are_those_of_the_sorted_values(mut values in population()) {
        let mut sorted = values.clone();
        sorted.sort_unstable();
        let at = |fraction: f64| {
            let position = fraction * (sorted.len() - 1) as f64;
            let (lower, upper) = (sorted[position.floor() as usize], sorted[position.ceil() as usize]);
            f64::from(lower) + f64::from(upper - lower) * position.fract()
        };

        let found = quantiles(&mut values, [0.5, 0.95, 0.99]).unwrap();
        prop_assert!(found.iter().zip([0.5, 0.95, 0.99].map(at)).all(|(found, expected)| (found - expected).abs() < 1e-6));
    }

    #[test]
    fn summaries_of_parts_merge_into_the_summary_of_all(one in hour(), other in hour()) {
        let mut together = Summary::default();
        for part in [&one, &other] {
            let encoded = summary(part).encode(HOUR);
            together.merge_encoded(HOUR, &encoded.summary, &encoded.phases).unwrap();
        }
        let mut from_chunks = summary(&one);
        from_chunks.add_chunk(HOUR, Chunk::encode(HOUR, &other).columns()).unwrap();
        prop_assert_eq!(&from_chunks, &together);

        // And it says what the samples do.
        let all = [one, other].concat();
        let mut counts = Counts::default();
        all.iter().for_each(|sample| counts.add(sample.verdict, 1));
        prop_assert_eq!(together.counts, counts);
        let durations = |of: &dyn Fn(&Sample) -> Option<i32>| histogram(&all.iter().filter_map(of).collect::<Vec<_>>());
        prop_assert_eq!(&together.response_times, &durations(&|sample| Measure::ResponseTime.of(sample)));
        let is_timeout = |sample: &Sample| sample.verdict.status.is_none() && sample.verdict.error == Some(FailureKind::Timeout);
        prop_assert_eq!(&together.timeouts, &durations(&|sample| sample.response_time_us.filter(|_| is_timeout(sample))));
        for (phase, found) in together.phases.iter().enumerate() {
            prop_assert_eq!(found, &durations(&|sample| sample.phases_us[phase]));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(mut bytes in vec(any::<u8>(), 0..300), version in 0..4_u8) {
        if let Some(first) = bytes.first_mut() {
            *first = version;
        }
        read_everything(&bytes, &bytes, &bytes);
    }

    #[test]
    fn damaged_bytes_never_panic(samples in hour(), place in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let chunk = Chunk::encode(HOUR, &samples);
        let summary = summary(&samples).encode(HOUR);
        let damage = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            let place = place.index(bytes.len());
            bytes[place] = byte;
            bytes.truncate(if cut { place } else { bytes.len() });
            bytes
        };
        read_everything(&damage(&chunk.instants), &damage(&chunk.samples), &damage(&chunk.phases));
        let owners = vec![(7, 1); samples.len()];
        let keys = Fragment::encode(HOUR, &owners, &samples).keys;
        let _ = fragment::decode(HOUR, &damage(&keys), chunk.columns()).map(Iterator::count);
        read_everything(&[1], &damage(&summary.summary), &damage(&summary.phases));
    }
}

fn summary(samples: &[Sample]) -> Summary {
    let mut summary = Summary::default();
    summary.add_chunk(HOUR, Chunk::encode(HOUR, samples).columns()).unwrap();
    summary
}

/// Every way to read bytes, whatever they are; also of samples whose phases have another count.
fn read_everything(instants: &[u8], bytes: &[u8], phases: &[u8]) {
    let columns = Columns { instants, samples: bytes, phases: Some(phases) };
    let _ = chunk::decode(HOUR, columns);
    let chunk = Chunk::encode(HOUR, &[SAMPLE; 3]);
    for columns in
        [chunk.columns(), Columns { instants, ..chunk.columns() }, Columns { phases: Some(phases), ..chunk.columns() }]
    {
        let _ = fragment::decode(HOUR, bytes, columns).map(Iterator::count);
    }
    let _ = Summary::default().add_chunk(HOUR, columns);
    let _ = chunk::decode_phase(phases, 4, 7);
    let _ = read_summary(HOUR, bytes, [Some(&mut Histogram::default()), Some(&mut Histogram::default())]);
    let _ = merge_phase(phases, 4, &mut Histogram::default());
}

#[test]
fn the_stored_forms_never_change() {
    let up = Verdict { status: Some(200), outcome: Outcome::Up, error: None, is_retried: false, is_late: false };
    let down = Verdict {
        status: None,
        outcome: Outcome::Down,
        error: Some(FailureKind::Timeout),
        is_retried: false,
        is_late: false,
    };
    let sample = |offset, verdict, response_time_us, dns| Sample {
        probed_at: Micros(HOUR.0 + offset),
        verdict,
        response_time_us,
        phases_us: [dns, None, None, None, None],
    };
    let samples = [sample(5, up, Some(300), Some(7)), sample(105, up, Some(128), None), sample(205, down, None, None)];

    let chunk = Chunk::encode(HOUR, &samples);
    // The distance 100 (zigzag 200), then no change.
    assert_eq!(chunk.instants, [1, 200, 1, 0]);
    // Three response times: two bytes, one, one. Runs: 2 × 200 up; 1 × none, down (2) with timeout (3).
    assert_eq!(chunk.samples, [1, 3, 5, 205, 1, 5, 1, 45, 1, 129, 0, 2, 200, 1, 0, 1, 0, 18]);
    assert_eq!(chunk.phases, [1, 4, 0, 8, 0, 0, 0, 0, 0, 0]);
    let fragment = Fragment::encode(HOUR, &[(70, 1), (69, 1), (69, 2)], &samples);
    assert_eq!(fragment.samples, chunk);
    // Target 70, one less, the same; runs: 2 × location 1, 1 × location 2.
    assert_eq!(fragment.keys, [1, 140, 1, 1, 0, 2, 2, 1, 4]);

    let summary = summary(&samples);
    let encoded = summary.encode(HOUR);
    let head = [3, 5, 205, 1, 2, 0, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
    // From 5 to 205, the last is down; twice less than a millisecond after one that was up; nothing after the others.
    let course = [1, 8, 5, 205, 1, 0, 2, 0, 2, 0];
    // 128 µs is bucket 128; 300 µs is bucket 2 · 64 + 300 / 4 = 203, 74 further on. No timeout took any time.
    assert_eq!(encoded.summary, [head.as_slice(), &course, &[0, 128, 1, 1, 74, 1]].concat());
    assert_eq!(encoded.phases, [1, 2, 7, 1, 0, 0, 0, 0]);

    // Tried again: 64 more than the verdict.
    let again = Verdict { is_retried: true, ..down };
    let chunk = Chunk::encode(HOUR, &[sample(5, again, None, None)]);
    assert_eq!(chunk.samples, [1, 1, 5, 5, 2, 0, 0, 1, 0, 82]);
    // Late: 128 more.
    let late = Verdict { is_late: true, ..down };
    let chunk = Chunk::encode(HOUR, &[sample(5, late, None, None)]);
    assert_eq!(chunk.samples, [1, 1, 5, 5, 2, 0, 0, 1, 0, 146, 1]);
    // Version 1 had no attempts, version 2 nothing late; neither had courses and timeouts.
    let [_, old @ ..] = encoded.summary.as_slice() else { panic!() };
    for (version, counts) in [(1, 22), (2, 23)] {
        let old = [[version].as_slice(), &old[..counts], &old[old.len() - 5..]].concat();
        let (mut response_times, mut timeouts) = Default::default();
        let head = read_summary(HOUR, &old, [Some(&mut response_times), Some(&mut timeouts)]).unwrap();
        assert_eq!((head.counts, head.course), (summary.counts, None));
        assert_eq!((response_times, timeouts), (summary.response_times.clone(), Histogram::default()));
    }
}

#[test]
fn a_form_of_a_newer_release_is_refused_by_name() {
    let one = Chunk::encode(HOUR, &[SAMPLE]);
    for (what, error) in [
        ("a chunk", chunk::decode(HOUR, Columns { samples: &[2, 1, 0, 0, 0], ..one.columns() }).unwrap_err()),
        ("the instants of a chunk", chunk::decode(HOUR, Columns { instants: &[2], ..one.columns() }).unwrap_err()),
        ("the keys of a fragment", fragment::decode(HOUR, &[2], one.columns()).err().unwrap()),
        ("the phases of a chunk", chunk::decode_phase(&[7], 0, 1).unwrap_err()),
        ("a summary", read_summary(HOUR, &[9], [None, None]).unwrap_err()),
        ("the phases of a summary", merge_phase(&[9], 0, &mut Histogram::default()).unwrap_err()),
    ] {
        let text = error.to_string();
        assert!(text.starts_with(&format!("{what} is in version")) && text.contains("update"), "{text}");
    }
}
