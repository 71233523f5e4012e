//! The report as a table (RFC 4180): a line for each target, each of its groups and each bucket, with the figures as columns.

use serde_json::{Map, Value, json};

use crate::{
    figures::Figures,
    report::{StatsReport, TargetStats},
    response::StatsError,
};

/// What a line is about, in the order of the columns.
const ABOUT: [&str; 9] = ["url", "monitor", "location", "status", "outcome", "phase", "bucket", "from", "to"];

/// Writes a report.
///
/// # Errors
/// None but of the encoder, which has no reason to fail.
pub fn write(report: &StatsReport) -> Result<String, StatsError> {
    let mut lines = Vec::new();
    for entry in &report.stats {
        lines.push(line(about(entry), &entry.figures));
        for bucket in entry.series.iter().flatten() {
            lines.push(line(with(about(entry), "bucket", json!(bucket.bucket)), &bucket.figures));
        }
        for group in entry.groups.iter().flatten() {
            let about = group.group.iter().fold(about(entry), |about, (by, name)| with(about, by, json!(name)));
            lines.push(line(about.clone(), &group.figures));
            for bucket in group.series.iter().flatten() {
                lines.push(line(with(about.clone(), "bucket", json!(bucket.bucket)), &bucket.figures));
            }
        }
    }
    let columns: Vec<String> = ABOUT.into_iter().map(str::to_owned).chain(figures()).collect();
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    writer.write_record(&columns)?;
    for line in lines {
        writer.write_record(columns.iter().map(|column| cell(line.get(column))))?;
    }
    let bytes = writer.into_inner().map_err(|error| StatsError::Write(error.to_string().into()))?;
    String::from_utf8(bytes).map_err(|error| StatsError::Write(error.into()))
}

fn about(entry: &TargetStats) -> Map<String, Value> {
    let TargetStats { url, monitor, from, to, .. } = entry;
    let pairs = [("url", json!(url)), ("monitor", json!(monitor)), ("from", json!(from)), ("to", json!(to))];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn with(mut about: Map<String, Value>, name: &str, value: Value) -> Map<String, Value> {
    about.insert(name.to_owned(), value);
    about
}

/// The figures with one number each, flat: those in others after these with a dot, lists left out.
fn line(mut about: Map<String, Value>, figures: &Figures) -> Map<String, Value> {
    let Value::Object(figures) = json!(figures) else { return about };
    for (name, value) in figures {
        match value {
            Value::Object(inner) => {
                about.extend(inner.into_iter().map(|(key, value)| (format!("{name}.{key}"), value)));
            }
            Value::Array(_) => {}
            value => drop(about.insert(name, value)),
        }
    }
    about
}

/// The columns of figures.
fn figures() -> impl Iterator<Item = String> {
    const NAMES: &[&str] = &[
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
        "coverage.expected",
        "coverage.observed",
        "coverage.missed",
        "coverage.late",
        "coverage.share",
        "first_probe_at",
        "last_probe_at",
    ];
    NAMES.iter().map(|name| (*name).to_owned())
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    }
}
