//! What a person sees while something takes its time: a spinner on a terminal, lines elsewhere. Always on standard
//! error.

use std::{
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use anyhow::Result;
use indicatif::{MultiProgress, ProgressBar, ProgressFinish, ProgressStyle};

/// The lower end of the terminal.
#[derive(Clone, Default)]
pub struct Progress {
    bars: MultiProgress,
}

impl Progress {
    /// Does `work` under a spinner that says `what`, and leaves a line that says how long it took.
    ///
    /// # Errors
    /// Those of the work.
    pub fn step<T>(&self, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let started = Instant::now();
        let bar = self.bars.add(ProgressBar::new_spinner().with_message(what.to_owned()));
        bar.enable_steady_tick(Duration::from_millis(100));
        if !is_terminal() {
            self.line(&format!("… {what}"));
        }
        let result = work();
        bar.finish_and_clear();
        let mark = if result.is_ok() { "✓" } else { "✗" };
        self.line(&format!("{mark} {what} ({:.1} s)", started.elapsed().as_secs_f64()));
        result
    }

    /// Prints a line above whatever moves.
    pub fn line(&self, line: &str) {
        self.bars.suspend(|| eprintln!("{line}"));
    }

    /// A place at the bottom whose text changes in place; on a terminal only.
    #[must_use]
    pub fn board(&self) -> ProgressBar {
        let style = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
        self.bars.add(ProgressBar::new_spinner().with_style(style).with_finish(ProgressFinish::Abandon))
    }
}

/// Whether a person watches.
#[must_use]
pub fn is_terminal() -> bool {
    std::io::stderr().is_terminal()
}
