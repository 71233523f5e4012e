//! The report as a table (RFC 4180): a line for each target, each of its groups and each bucket, with the figures as columns.

use serde_json::{Map, Value, json};
use shared::{record::FailureKind, timestamp};

use crate::{
    figures::{CLASSES, Figures, name},
    problem::StatsError,
    query::StatsQuery,
    report::{BucketStats, PreviousStats, StatsReport, TargetStats},
};

/// What a line is about, in the order of the columns.
const ABOUT: &[&str] = &[
    "url",
    "monitor",
    "location",
    "status",
    "outcome",
    "phase",
    "bucket",
    "window",
    "from",
    "to",
    "interval_ms",
    "tags",
];
/// The figures that each line has.
const FIGURES: &[&str] = &[
    "probes",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "population",
    "population_size",
    "responses",
    "failures",
    "timeouts",
    "up",
    "degraded",
    "down",
    "missed",
    "retried",
    "min_ms",
    "mean_ms",
    "max_ms",
    "exact",
    "max_relative_error",
    "uptime.by_probes",
    "uptime.by_time",
    "uptime.up_seconds",
    "uptime.down_seconds",
    "uptime.quorum",
    "coverage.expected",
    "coverage.observed",
    "coverage.missed",
    "coverage.late",
    "coverage.share",
    "first_probe_at",
    "last_probe_at",
];
/// What is known of each percentile that was asked for.
const PERCENTILE: &[&str] = &["ms", "low_ms", "high_ms", "insufficient", "with_timeouts_ms", "at_least_ms"];

/// Cells by the names of their columns.
type Line = Map<String, Value>;

/// Writes the report of a query.
///
/// # Errors
/// None but of the encoder, which has no reason to fail.
pub fn write(report: &StatsReport, query: &StatsQuery) -> Result<String, StatsError> {
    let columns = columns(query);
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    writer.write_record(&columns)?;
    // One after the other: all lines together would take many times the room of what is written.
    let mut write = |line: &Line| writer.write_record(columns.iter().map(|column| cell(line.get(column))));
    for entry in &report.stats {
        write(&line(about(entry), &entry.figures, entry.previous.as_ref()))?;
        for bucket in entry.series.iter().flatten() {
            write(&of_bucket(about(entry), bucket))?;
        }
        for group in entry.groups.iter().flatten() {
            let about = group.group.iter().fold(about(entry), |about, (by, name)| with(about, by, json!(name)));
            write(&line(about.clone(), &group.figures, group.previous.as_ref()))?;
            for bucket in group.series.iter().flatten() {
                write(&of_bucket(about.clone(), bucket))?;
            }
        }
    }
    let bytes = writer.into_inner().map_err(|error| StatsError::Write(error.to_string().into()))?;
    String::from_utf8(bytes).map_err(|error| StatsError::Write(error.into()))
}

/// The columns of the answer to a query: the same for each.
fn columns(query: &StatsQuery) -> Vec<String> {
    let mut figures: Vec<String> = FIGURES.iter().map(|name| (*name).to_owned()).collect();
    figures.extend(FailureKind::ALL.map(|kind| format!("errors.{}", name(kind))));
    figures.extend(CLASSES.map(|class| format!("statuses.{class}")));
    for percentile in &query.percentiles {
        figures.extend(PERCENTILE.iter().map(|what| format!("percentile.{percentile}.{what}")));
    }
    let previous = figures.iter().filter(|_| query.compare).map(|name| format!("previous.{name}")).collect::<Vec<_>>();
    ABOUT.iter().map(|name| (*name).to_owned()).chain(figures).chain(previous).collect()
}

fn about(entry: &TargetStats) -> Line {
    let TargetStats { url, monitor, tags, interval_ms, window, from, to, .. } = entry;
    let pairs = [
        ("url", json!(url)),
        ("monitor", json!(monitor)),
        ("tags", json!(tags.join(","))),
        ("interval_ms", json!(interval_ms)),
        ("window", json!(window)),
        ("from", json!(from.map(timestamp::format))),
        ("to", json!(to.map(timestamp::format))),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn with(mut about: Line, name: &str, value: Value) -> Line {
    about.insert(name.to_owned(), value);
    about
}

fn of_bucket(about: Line, bucket: &BucketStats) -> Line {
    line(with(about, "bucket", json!(timestamp::format(bucket.bucket))), &bucket.figures, None)
}

fn line(mut about: Line, figures: &Figures, previous: Option<&PreviousStats>) -> Line {
    add(&mut about, "", figures);
    previous.into_iter().for_each(|previous| add(&mut about, "previous.", &previous.figures));
    about
}

/// Adds figures, flat: what is in others, after the name of these and a dot.
fn add(line: &mut Line, before: &str, figures: &Figures) {
    let Value::Object(values) = json!(figures) else { return };
    for (name, value) in values {
        match value {
            Value::Object(inner) => {
                line.extend(inner.into_iter().map(|(key, value)| (format!("{before}{name}.{key}"), value)));
            }
            // The percentiles.
            Value::Array(_) => {}
            value => drop(line.insert(format!("{before}{name}"), value)),
        }
    }
    for percentile in &figures.percentiles {
        let Value::Object(values) = json!(percentile) else { continue };
        let of = percentile.percentile;
        line.extend(values.into_iter().map(|(key, value)| (format!("{before}percentile.{of}.{key}"), value)));
    }
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        // A spreadsheet would take it for a formula (https://owasp.org/www-community/attacks/CSV_Injection).
        Some(Value::String(text)) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => format!("'{text}"),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        let texts = ["=1+1", "+1", "-1", "@a", "https://a.test/"].map(|text| cell(Some(&text.into())));
        assert_eq!(texts, ["'=1+1", "'+1", "'-1", "'@a", "https://a.test/"]);
        assert_eq!(cell(Some(&serde_json::json!(-1.5))), "-1.5");
    }
}
