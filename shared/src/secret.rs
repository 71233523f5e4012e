//! A string that cannot be printed by accident.

use std::fmt;

/// A secret: a password, a key, or a connection string that holds one. `Debug` shows `***`, there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret itself, for the one client that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self(value)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn debug_does_not_show_the_secret() {
        let secret = Secret::from("postgres://user:hunter2@host/db".to_owned());

        assert_eq!(format!("{secret:?}"), "***");
        assert!(secret.expose().contains("hunter2"));
    }
}
