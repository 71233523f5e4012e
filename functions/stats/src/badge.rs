//! One figure as an image to put on a page: an SVG that takes nothing from anywhere else.

use crate::{
    estimate::Percentile,
    figures::Figures,
    problem::StatsError,
    query::{BadParameter, Metric, StatsQuery, Window},
    report::StatsReport,
};

// Colours, dark enough for white letters on them.
const GOOD: &str = "#267a3c";
const FAIR: &str = "#8a6d00";
const POOR: &str = "#b3261e";
const NEUTRAL: &str = "#1f5fa8";
const UNKNOWN: &str = "#595959";

/// What nothing is called.
const NO_DATA: &str = "no data";

/// Writes the badge of the one target that a report is about; of no target, one that says so.
///
/// # Errors
/// It is about several targets.
pub fn write(report: &StatsReport, query: &StatsQuery) -> Result<String, StatsError> {
    let refuse =
        |parameter: &str, detail: String| Err(vec![BadParameter { parameter: parameter.to_owned(), detail }].into());
    let (label, window) = (name(query.metric), window(report, &query.window));
    match report.stats.as_slice() {
        [] => Ok(draw(&format!("{label} {window}"), NO_DATA, UNKNOWN)),
        [entry] => {
            let (value, colour) = value(&entry.figures, query.metric);
            Ok(draw(&format!("{label} {window}"), &value, colour))
        }
        several => {
            let count = several.len();
            let parameter = if query.monitors.is_empty() { "monitor" } else { "url" };
            refuse(parameter, format!("this is about {count} targets: expected one, by url= and monitor= together"))
        }
    }
}

/// What is counted: the window asked for, or since when, where older history was dropped.
fn window(report: &StatsReport, asked: &Window) -> String {
    let counted = report.from.zip(report.to).map(|(from, to)| to.duration_since(from).unsigned_abs());
    let is_cut = match asked {
        Window::All => report.from.is_some(),
        Window::Last { length, .. } => counted.is_some_and(|counted| counted < *length),
        Window::Between { .. } => false,
    };
    match report.from.filter(|_| is_cut) {
        Some(from) => format!("since {}", from.strftime("%Y-%m-%d")),
        None => asked.name().to_owned(),
    }
}

fn name(metric: Metric) -> &'static str {
    match metric {
        Metric::Uptime => "uptime",
        Metric::P50 => "p50",
        Metric::P95 => "p95",
        Metric::P99 => "p99",
    }
}

/// The percentile that a metric shows; the one that is to be asked for.
#[must_use]
pub fn percentile(metric: Metric) -> f64 {
    match metric {
        Metric::Uptime | Metric::P50 => 50.0,
        Metric::P95 => 95.0,
        Metric::P99 => 99.0,
    }
}

/// What is written on it, and in which colour.
fn value(figures: &Figures, metric: Metric) -> (String, &'static str) {
    if metric == Metric::Uptime {
        let uptime = figures.uptime.as_ref().and_then(|uptime| uptime.by_probes);
        let Some(uptime) = uptime else { return (NO_DATA.to_owned(), UNKNOWN) };
        let colour = match uptime {
            0.999.. => GOOD,
            0.99.. => FAIR,
            _ => POOR,
        };
        // Cut, not rounded: 100 % is all.
        let hundredths = (uptime * 1e4 + 1e-6).floor() / 100.0;
        return (format!("{hundredths} %"), colour);
    }
    let wanted = percentile(metric);
    let found = figures.percentiles.iter().find(|found| found.percentile.total_cmp(&wanted).is_eq());
    match found {
        Some(Percentile { at_least_ms: Some(ms), .. }) => (format!("≥ {}", duration(*ms)), NEUTRAL),
        Some(Percentile { with_timeouts_ms: Some(ms), insufficient: true, .. }) => {
            (format!("{} (few probes)", duration(*ms)), UNKNOWN)
        }
        Some(Percentile { with_timeouts_ms: Some(ms), .. }) => (duration(*ms), NEUTRAL),
        _ => (NO_DATA.to_owned(), UNKNOWN),
    }
}

/// Milliseconds with three digits at most.
pub(crate) fn duration(ms: f64) -> String {
    match ms {
        ..9.95 => format!("{ms:.1} ms"),
        ..999.5 => format!("{ms:.0} ms"),
        ..9_995.0 => format!("{:.2} s", ms / 1_000.0),
        _ => format!("{:.1} s", ms / 1_000.0),
    }
}

fn draw(label: &str, value: &str, colour: &str) -> String {
    let (label, value) = (escape(label), escape(value));
    // Letters of eleven pixels are about seven wide; textLength has them fit, whatever the font is.
    let width = |text: &str| text.chars().count() * 7;
    let (left, right) = (width(&label) + 12, width(&value) + 12);
    let (total, middle) = (left + right, left + right / 2);
    let (of_label, of_value, centre) = (width(&label), width(&value), left / 2);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{total}\" height=\"20\" role=\"img\" aria-label=\"{label}: {value}\">\
         <title>{label}: {value}</title>\
         <rect width=\"{total}\" height=\"20\" rx=\"3\" fill=\"#333\"/>\
         <path d=\"M{left} 0h{inner}a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3H{left}z\" fill=\"{colour}\"/>\
         <g fill=\"#fff\" text-anchor=\"middle\" font-family=\"Verdana,DejaVu Sans,sans-serif\" font-size=\"11\">\
         <text x=\"{centre}\" y=\"14\" textLength=\"{of_label}\">{label}</text>\
         <text x=\"{middle}\" y=\"14\" textLength=\"{of_value}\">{value}</text></g></svg>",
        inner = right - 3
    )
}

/// A text as it is written in SVG and HTML, between tags and in attributes.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::{duration, escape};

    #[test]
    fn durations_have_three_digits() {
        for (ms, expected) in [
            (0.04, "0.0 ms"),
            (9.94, "9.9 ms"),
            (9.96, "10 ms"),
            (999.4, "999 ms"),
            (999.6, "1.00 s"),
            (9_994.0, "9.99 s"),
            (9_996.0, "10.0 s"),
            (120_000.0, "120.0 s"),
        ] {
            assert_eq!(duration(ms), expected);
        }
    }

    #[test]
    fn nothing_of_a_query_is_markup() {
        assert_eq!(escape("<a href=\"x\">&</a>"), "&lt;a href=&quot;x&quot;&gt;&amp;&lt;/a&gt;");
    }
}
