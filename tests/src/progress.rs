//! What a person sees while something takes its time: a spinner on a terminal, lines elsewhere. Always on standard
//! error.

use std::{
    io::IsTerminal as _,
    sync::{
        Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use indicatif::{MultiProgress, ProgressBar, ProgressFinish, ProgressStyle};

/// How often a line shows that something goes on.
const STILL_AT_IT: Duration = Duration::from_secs(10);

/// What a step is at.
#[derive(Default)]
pub struct Detail(Mutex<String>);

impl Detail {
    /// Notes what the step is at.
    pub fn set(&self, text: &str) {
        text.trim().clone_into(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn text(&self) -> String {
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if text.is_empty() { String::new() } else { format!(": {text}") }
    }
}

/// The lower end of the terminal.
#[derive(Clone, Default)]
pub struct Progress {
    bars: MultiProgress,
}

impl Progress {
    /// Does `work` under a spinner that says `what`, and leaves a line with the time that it took. Without a terminal, a line
    /// every ten seconds shows that the work goes on.
    ///
    /// # Errors
    /// Those of the work.
    pub fn step<T>(&self, what: &str, work: impl FnOnce(&Detail) -> Result<T>) -> Result<T> {
        let started = Instant::now();
        let detail = Detail::default();
        let bar = self.bars.add(ProgressBar::new_spinner().with_message(what.to_owned()));
        bar.enable_steady_tick(Duration::from_millis(100));
        if !is_terminal() {
            self.line(&format!("… {what}"));
        }
        let (done, is_done) = mpsc::channel::<()>();
        let result = thread::scope(|scope| {
            let (bar, detail) = (&bar, &detail);
            scope.spawn(move || {
                let interval = if is_terminal() { Duration::from_secs(1) } else { STILL_AT_IT };
                while is_done.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                    let text = format!("{what} ({} s){}", started.elapsed().as_secs(), detail.text());
                    if is_terminal() { bar.set_message(text) } else { self.line(&format!("… {text}")) }
                }
            });
            let result = work(detail);
            drop(done);
            result
        });
        bar.finish_and_clear();
        let mark = if result.is_ok() { "✓" } else { "✗" };
        self.line(&format!("{mark} {what} ({:.1} s)", started.elapsed().as_secs_f64()));
        result
    }

    /// Awaits `work`, and prints a line every ten seconds that it goes on.
    pub async fn patiently<T>(&self, what: &str, work: impl Future<Output = T>) -> T {
        let started = Instant::now();
        let waiting = async {
            loop {
                tokio::time::sleep(STILL_AT_IT).await;
                self.line(&format!("… {what} ({} s)", started.elapsed().as_secs()));
            }
        };
        tokio::select! {
            result = work => result,
            never = waiting => never,
        }
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
