//! How much time an invocation has.

use std::time::Duration;

use jiff::Timestamp;

/// Kept back from the deadline, for the answer and for the runtime.
const MARGIN: Duration = Duration::from_millis(500);
/// What is assumed where the deadline says nothing: the local emulator sends one in 1970.
const UNKNOWN: Duration = Duration::from_secs(60);

/// The time left until `deadline_ms` (milliseconds since 1970), less a margin.
pub(crate) fn budget(deadline_ms: u64, now: Timestamp) -> Duration {
    let now_ms = u64::try_from(now.as_millisecond()).unwrap_or(0);
    match deadline_ms.checked_sub(now_ms) {
        Some(left) if left > 0 => Duration::from_millis(left).saturating_sub(MARGIN),
        _ => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_margin_is_kept_back_and_a_deadline_in_the_past_is_no_deadline() {
        let now = Timestamp::from_millisecond(1_000_000).unwrap();

        assert_eq!(budget(1_030_000, now), Duration::from_millis(29_500));
        assert_eq!(budget(1_000_200, now), Duration::ZERO);
        assert_eq!(budget(600_000, now), UNKNOWN);
        assert_eq!(budget(0, now), UNKNOWN);
    }
}
