//! What an error says, with all that it says of its causes.

use std::error::Error;

/// The error with its causes: the own text of many is only the kind of it ("db error", "service error").
#[must_use]
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
