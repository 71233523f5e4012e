//! In which state a target is from a location: its newest verdict, and when its outcome changed. Pure.

use shared::{Micros, history::Verdict, record::Outcome};

/// The state of a target, as one location sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Its newest verdict, of the last attempt in a slot.
    pub verdict: Verdict,
    /// When the probe of that verdict started.
    pub last: Micros,
    /// When probes started whose outcome was another one than before, in the order of time: the first that was looked at is
    /// the first of them.
    pub changes: Vec<(Micros, Outcome)>,
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
        self.begun.sort_by_key(|(instant, _)| *instant);
        self.begun.dedup_by_key(|(_, outcome)| *outcome);
        Some(State { verdict, last, changes: self.begun })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(outcome: Outcome) -> Verdict {
        Verdict { status: None, outcome, error: None, is_retried: false, is_late: false }
    }

    type Changes = Vec<(i64, Outcome)>;

    fn state(pieces: &[&[(i64, Outcome)]]) -> Option<(i64, Outcome, Changes)> {
        let mut states = States::default();
        for piece in pieces {
            let mut more = States::default();
            more.extend(piece.iter().map(|(instant, outcome)| (Micros(*instant), verdict(*outcome))));
            states.append(more);
        }
        let State { verdict, last, changes } = states.state()?;
        Some((last.0, verdict.outcome, changes.into_iter().map(|(instant, outcome)| (instant.0, outcome)).collect()))
    }

    #[test]
    fn outcomes_change_at_the_same_instants_in_whichever_order_hours_are_read() {
        use Outcome::{Degraded, Down, Missed, Up};
        let (first, second, third) = ([(1, Up), (2, Down)], [(3, Down), (4, Down)], [(5, Down), (6, Missed)]);

        let expected = Some((5, Down, vec![(1, Up), (2, Down)]));
        assert_eq!(state(&[&first, &second, &third]), expected);
        assert_eq!(state(&[&third, &first, &second]), expected);
        assert_eq!(state(&[&third, &second, &first]), expected);
        assert_eq!(state(&[&third, &second]), Some((5, Down, vec![(3, Down)])));
        let flapping = [(3, Up), (4, Degraded), (5, Up)];
        assert_eq!(
            state(&[&flapping, &first]),
            Some((5, Up, vec![(1, Up), (2, Down), (3, Up), (4, Degraded), (5, Up)]))
        );
        assert_eq!(state(&[&[(1, Missed)]]), None);
    }
}
