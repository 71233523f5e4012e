//! The one table.

use std::fmt;

use comfy_table::{Table, presets};

/// What was measured, row by row.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<[String; 4]>,
}

impl Report {
    /// A figure with its bar.
    pub(crate) fn row(&mut self, what: &str, figure: String, detail: &str, bar: &str) {
        eprintln!("  {what}: {figure} ({detail})");
        self.rows.push([what.to_owned(), figure, detail.to_owned(), bar.to_owned()]);
    }

    /// One time as a multiple of another.
    pub(crate) fn ratio(&mut self, what: &str, time: f64, other: f64, detail: &str, bar: &str) {
        self.row(what, format!("{:.2} ×", time / other), detail, bar);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header(["what", "measured", "detail", "bar"]);
        for row in &self.rows {
            table.add_row(row);
        }
        write!(formatter, "{table}")
    }
}

/// The median of some times, in seconds.
pub(crate) fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}
