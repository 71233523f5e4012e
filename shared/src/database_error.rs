//! What can go wrong with Postgres, and which of it passes.

use std::{error::Error as StdError, time::Duration};

use tokio_postgres::{Error, error::SqlState};

use crate::history::FormatError;

/// What went wrong with the database, never with a record.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// No connection could be made.
    #[error("cannot connect to the database: {}", causes(.0))]
    Connect(#[source] Error),
    /// The server did not answer the connection attempt in time.
    #[error("cannot connect to the database: no answer within {} s", .0.as_secs())]
    ConnectTimeout(Duration),
    /// TLS cannot be set up on this side.
    #[error("cannot set up TLS for the database: {0}")]
    Tls(String),
    /// A statement failed.
    #[error("the database failed: {}", causes(.0))]
    Query(#[from] Error),
    /// What was sealed cannot be read.
    #[error("the history in the database cannot be read: {0}")]
    History(#[from] FormatError),
    /// An answer that cannot be: somebody else changes the tables.
    #[error("the database answered what cannot be: {0}")]
    Unexpected(String),
}

impl DatabaseError {
    /// Whether the server ended a statement that took longer than it may.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Query(error) if error.code() == Some(&SqlState::QUERY_CANCELED))
    }

    /// Whether the same work may well succeed on a new connection: this one was closed or broke (SQLSTATE class 08), the
    /// server ended it or shuts down (57P), it leads to a server that became read-only in a failover (25006), or others
    /// were in the way (40001, 40P01).
    #[must_use]
    pub fn is_transient(&self) -> bool {
        let Self::Query(error) = self else { return false };
        let passing = |state: &str| state.starts_with("08") || state.starts_with("57P") || state.starts_with("40");
        error.is_closed()
            || error.code().is_some_and(|state| passing(state.code()) || *state == SqlState::READ_ONLY_SQL_TRANSACTION)
            || error.source().is_some_and(<dyn StdError>::is::<std::io::Error>)
    }
}

/// Whether the database refused what was to be stored, and would again: data it cannot hold (SQLSTATE class 22), that
/// breaks a constraint (23), or that exceeds a limit (54).
#[must_use]
pub fn is_about_data(error: &Error) -> bool {
    let classes = ["22", "23", "54"];
    error.code().is_some_and(|state| classes.iter().any(|class| state.code().starts_with(class)))
}

/// The error with its causes: the driver's own text is only the kind of it ("db error").
#[must_use]
pub fn causes(error: &Error) -> String {
    let causes = std::iter::successors(Some(error as &dyn StdError), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
