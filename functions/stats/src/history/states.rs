//! In which state a target is from a location: its newest verdict, and since when that is the same. Pure.

use shared::{Micros, history::Verdict, record::Outcome};

/// The state of a target, as one location sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Its newest verdict, of the last attempt in a slot.
    pub verdict: Verdict,
    /// When the probe of that verdict started.
    pub last: Micros,
    /// When the first probe started since which the outcome has been the same.
    pub since: Micros,
    /// Whether another outcome came before that in what was looked at.
    pub has_changed: bool,
}

/// What was read of the verdicts of one target from one location.
#[derive(Debug, Default)]
pub(super) struct States {
    /// When an outcome began, and began again in each piece that was read.
    begun: Vec<(Micros, Outcome)>,
    newest: Option<(Micros, Verdict)>,
}

impl States {
    /// Adds some verdicts, all of them before or after those that were added before; in the order of time. Attempts that
    /// others followed and slots that were missed are no verdicts.
    pub(super) fn extend(&mut self, verdicts: impl IntoIterator<Item = (Micros, Verdict)>) {
        let mut before = None;
        for (instant, verdict) in verdicts {
            if verdict.is_up().is_none() {
                continue;
            }
            if before != Some(verdict.outcome) {
                self.begun.push((instant, verdict.outcome));
                before = Some(verdict.outcome);
            }
            if self.newest.is_none_or(|(newest, _)| newest <= instant) {
                self.newest = Some((instant, verdict));
            }
        }
    }

    /// Adds those of another time.
    pub(super) fn append(&mut self, other: Self) {
        self.begun.extend(other.begun);
        if other.newest.map(|(at, _)| at) > self.newest.map(|(at, _)| at) {
            self.newest = other.newest;
        }
    }

    /// The state after all of it; `None` without a verdict.
    pub(super) fn state(mut self) -> Option<State> {
        let (last, verdict) = self.newest?;
        self.begun.sort_unstable_by_key(|(instant, _)| *instant);
        let same = self.begun.iter().rev().take_while(|(_, outcome)| *outcome == verdict.outcome).count();
        let first = self.begun.len().checked_sub(same)?;
        let (since, _) = *self.begun.get(first)?;
        Some(State { verdict, last, since, has_changed: first > 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(outcome: Outcome) -> Verdict {
        Verdict { status: None, outcome, error: None, is_retried: false, is_late: false }
    }

    fn state(pieces: &[&[(i64, Outcome)]]) -> Option<(i64, Outcome, i64, bool)> {
        let mut states = States::default();
        for piece in pieces {
            let mut more = States::default();
            more.extend(piece.iter().map(|(instant, outcome)| (Micros(*instant), verdict(*outcome))));
            states.append(more);
        }
        let State { verdict, last, since, has_changed } = states.state()?;
        Some((last.0, verdict.outcome, since.0, has_changed))
    }

    #[test]
    fn a_state_lasts_since_the_outcome_changed_last_in_whichever_order_hours_are_read() {
        use Outcome::{Degraded, Down, Missed, Up};
        let (first, second, third) = ([(1, Up), (2, Down)], [(3, Down), (4, Down)], [(5, Down), (6, Missed)]);

        assert_eq!(state(&[&first, &second, &third]), Some((5, Down, 2, true)));
        assert_eq!(state(&[&third, &first, &second]), Some((5, Down, 2, true)));
        assert_eq!(state(&[&third, &second, &first]), Some((5, Down, 2, true)));
        // It may have begun before what was looked at.
        assert_eq!(state(&[&third, &second]), Some((5, Down, 3, false)));
        assert_eq!(state(&[&first, &[(3, Up), (4, Degraded)]]), Some((4, Degraded, 4, true)));
        assert_eq!(state(&[&[(1, Missed)]]), None);
    }
}
