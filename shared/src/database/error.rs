//! What can go wrong with Postgres, and which of it passes.

use std::{error::Error as StdError, time::Duration};

use tokio_postgres::{Error, error::SqlState};

use super::config::DatabaseConfig;
pub use crate::causes::causes;
use crate::{
    aws::{presign::PresignError, secret::SecretError},
    history::FormatError,
};

/// What went wrong with the database, never with a record.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// No connection could be made.
    #[error("cannot connect to the database: {}{}", causes(.error), remedy(.advice))]
    Connect {
        /// What the driver says.
        #[source]
        error: Error,
        /// The setting to look at, where the error points to one.
        advice: &'static str,
    },
    /// A secret that the connection needs cannot be used.
    #[error("cannot connect to the database: {0}")]
    Secret(#[from] SecretError),
    /// The password of IAM cannot be made.
    #[error("cannot connect to the database: WM_DB_AUTH is iam: {0}")]
    Iam(#[from] PresignError),
    /// The server did not answer the connection attempt in time.
    #[error("cannot connect to the database: no answer within {} s", .0.as_secs())]
    ConnectTimeout(Duration),
    /// TLS cannot be set up on this side.
    #[error("cannot set up TLS for the database: {0}")]
    Tls(String),
    /// The schema is older than this release, and whoever we are may not change it.
    #[error(
        "the schema of the database has version {version} and this release needs {wanted}, but its user may not change \
         it ({reason}); have the owner of the tables do that once, with cargo migrate or as the user of flush"
    )]
    Schema {
        /// What it has.
        version: usize,
        /// What it needs.
        wanted: usize,
        /// What Postgres says.
        reason: String,
    },
    /// A statement failed.
    #[error("the database failed: {}", causes(.0))]
    Query(#[from] Error),
    /// Other instances were in the way of a batch, as often as this.
    #[error(
        "failed to store the batch: other instances sealed its hours or changed URLs of its monitors {0} times; it is \
         delivered again"
    )]
    Contention(usize),
    /// What was sealed cannot be read.
    #[error("the history in the database cannot be read: {0}")]
    History(#[from] FormatError),
    /// An answer that cannot be: somebody else changes the tables.
    #[error("the database answered what cannot be: {0}")]
    Unexpected(String),
}

impl DatabaseError {
    /// The error of a connection that was not made.
    pub(super) fn connect(error: Error, config: &DatabaseConfig) -> Self {
        let credentials = [SqlState::INVALID_PASSWORD, SqlState::INVALID_AUTHORIZATION_SPECIFICATION];
        let text = causes(&error);
        let advice = match error.code() {
            Some(_) if text.contains("no encryption") => "the server wants TLS: sslmode=require",
            Some(code) if credentials.contains(code) => config.credentials(),
            Some(code) if *code == SqlState::INVALID_CATALOG_NAME => "there is no such database on that server",
            None if text.contains("UnknownIssuer") => config.trust(),
            None if text.contains("not valid for name") => "the host is not one that its certificate is for",
            None if text.contains("expired") => "its certificate has run out",
            _ => "",
        };
        Self::Connect { error, advice }
    }

    /// Whether the server ended a statement that took longer than it may.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Query(error) if error.code() == Some(&SqlState::QUERY_CANCELED))
    }

    /// Whether the same work may well succeed on a new connection: this one was closed or broke (SQLSTATE class 08), the
    /// server ended it or shuts down (57P), it leads to a server that became read-only in a failover (25006), it was left in
    /// the middle of a transaction, the ROLLBACK having been cancelled too (25P02), or others were in the way (40001, 40P01,
    /// [`Contention`](Self::Contention)). The server also ends a session that is idle in a transaction for too long (25P03).
    #[must_use]
    pub fn is_transient(&self) -> bool {
        let error = match self {
            Self::Query(error) => error,
            Self::Contention(_) => return true,
            _ => return false,
        };
        let of_session = [
            SqlState::READ_ONLY_SQL_TRANSACTION,
            SqlState::IN_FAILED_SQL_TRANSACTION,
            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        ];
        let passing = |state: &str| state.starts_with("08") || state.starts_with("57P") || state.starts_with("40");
        error.is_closed()
            || error.code().is_some_and(|state| passing(state.code()) || of_session.contains(state))
            || error.source().is_some_and(<dyn StdError>::is::<std::io::Error>)
    }
}

fn remedy(advice: &str) -> String {
    if advice.is_empty() { String::new() } else { format!("; {advice}") }
}

/// Whether the database refused what was to be stored, and would again: data it cannot hold (SQLSTATE class 22), that
/// breaks a constraint (23), or that exceeds a limit (54).
#[must_use]
pub fn is_about_data(error: &Error) -> bool {
    let classes = ["22", "23", "54"];
    error.code().is_some_and(|state| classes.iter().any(|class| state.code().starts_with(class)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contention_is_transient_and_names_its_cause() {
        let error = DatabaseError::Contention(20);
        assert!(error.is_transient());
        assert!(
            error.to_string().starts_with("failed to store the batch: other instances sealed its hours"),
            "{error}"
        );
    }
}
