//! The report as metrics, in the text format of Prometheus
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>), which OpenMetrics takes as well.
//!
//! All of them are gauges over the window that their label says: what is counted in a window falls as well as it rises.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::{
    estimate::Percentile,
    report::{StatsReport, TargetStats},
};

/// A metric: its name, what it is, and its samples, each with labels of its own.
struct Metric {
    name: &'static str,
    help: &'static str,
    samples: fn(&TargetStats) -> Vec<Sample>,
}

/// Labels of its own, and a value, if there is one.
type Sample = (String, Option<f64>);

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
const METRICS: &[Metric] = &[
    Metric {
        name: "website_monitor_probes",
        help: "Requests that were made, each attempt being one.",
        samples: |entry| one(Some(entry.figures.probes as f64)),
    },
    Metric {
        name: "website_monitor_slots",
        help: "Slots by their verdict.",
        samples: |entry| {
            let figures = &entry.figures;
            let slots = [
                ("up", figures.up),
                ("degraded", figures.degraded),
                ("down", figures.down),
                ("missed", figures.missed),
            ];
            slots.map(|(outcome, count)| (label("outcome", outcome), Some(count as f64))).into()
        },
    },
    Metric {
        name: "website_monitor_errors",
        help: "Probes by the kind of their error.",
        samples: |entry| {
            entry.figures.errors.iter().map(|(kind, count)| (label("kind", kind), Some(*count as f64))).collect()
        },
    },
    Metric {
        name: "website_monitor_responses",
        help: "Responses by the class of their status.",
        samples: |entry| {
            entry.figures.statuses.iter().map(|(class, count)| (label("class", class), Some(*count as f64))).collect()
        },
    },
    Metric {
        name: "website_monitor_response_seconds",
        help: "Percentiles over the requests that got a response.",
        samples: |entry| percentiles(entry, |percentile| percentile.ms),
    },
    Metric {
        name: "website_monitor_response_with_timeouts_seconds",
        help: "The same where requests that timed out count as well; absent where that cannot be said.",
        samples: |entry| percentiles(entry, |percentile| percentile.with_timeouts_ms),
    },
    Metric {
        name: "website_monitor_response_at_least_seconds",
        help: "In place of that: it is at least this.",
        samples: |entry| percentiles(entry, |percentile| percentile.at_least_ms),
    },
    Metric {
        name: "website_monitor_response_max_relative_error",
        help: "By how much percentiles may be off, relative to themselves.",
        samples: |entry| one(Some(entry.figures.max_relative_error)),
    },
    Metric {
        name: "website_monitor_uptime_ratio",
        help: "Uptime as a share of probes, and as a share of time.",
        samples: |entry| {
            let uptime = entry.figures.uptime.as_ref();
            vec![
                (label("by", "probes"), uptime.and_then(|uptime| uptime.by_probes)),
                (label("by", "time"), uptime.and_then(|uptime| uptime.by_time)),
            ]
        },
    },
    Metric {
        name: "website_monitor_expected_slots",
        help: "Slots that the schedule had.",
        samples: |entry| {
            let expected = entry.figures.coverage.as_ref().and_then(|coverage| coverage.expected);
            one(expected.map(|expected| expected as f64))
        },
    },
    Metric {
        name: "website_monitor_coverage_ratio",
        help: "The share of them that has a verdict.",
        samples: |entry| one(entry.figures.coverage.as_ref().and_then(|coverage| coverage.share)),
    },
    Metric {
        name: "website_monitor_last_probe_timestamp_seconds",
        help: "When the last probe of the window started.",
        samples: |entry| one(entry.figures.last_probe_at.map(seconds)),
    },
    Metric {
        name: "website_monitor_window_start_timestamp_seconds",
        help: "Start of what is counted: later than that of the window where older history was dropped.",
        samples: |entry| one(entry.from.map(seconds)),
    },
    Metric {
        name: "website_monitor_window_end_timestamp_seconds",
        help: "End of what is counted.",
        samples: |entry| one(entry.to.map(seconds)),
    },
];

/// Writes a report; what is null in it is left out.
#[must_use]
pub fn write(report: &StatsReport) -> String {
    let mut text = String::new();
    for Metric { name, help, samples } in METRICS {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for entry in &report.stats {
            let of = format!(
                "{},{},{}",
                label("url", &entry.url),
                label("monitor", entry.monitor.as_deref().unwrap_or_default()),
                label("window", &entry.window)
            );
            for (more, value) in samples(entry) {
                let Some(value) = value else { continue };
                let comma = if more.is_empty() { "" } else { "," };
                let _ = writeln!(text, "{name}{{{of}{comma}{more}}} {value}");
            }
        }
    }
    text
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of this century are below 2^53")]
fn seconds(instant: Timestamp) -> f64 {
    instant.as_microsecond() as f64 / 1e6
}

fn one(value: Option<f64>) -> Vec<Sample> {
    vec![(String::new(), value)]
}

/// By `percentile`: the label `quantile` is for summaries alone, whose counts never fall.
fn percentiles(entry: &TargetStats, value: fn(&Percentile) -> Option<f64>) -> Vec<Sample> {
    let sample = |percentile: &Percentile| {
        let name = label("percentile", &percentile.percentile.to_string());
        (name, value(percentile).map(|millis| millis / 1_000.0))
    };
    entry.figures.percentiles.iter().map(sample).collect()
}

fn label(name: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{name}=\"{value}\"")
}
