//! What an error says, with all that it says of its causes.

use std::error::Error;

/// The error with its causes: the own text of many is only the kind of it ("db error", "service error"). A cause that a text
/// ends with is not repeated.
#[must_use]
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |&error| error.source());
    causes
        .map(ToString::to_string)
        .fold(error.to_string(), |text, cause| if text.ends_with(&cause) { text } else { format!("{text}: {cause}") })
}
