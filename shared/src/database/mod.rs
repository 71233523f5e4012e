//! The connection to Postgres: read from the environment, opened when first needed, kept for the life of the
//! execution environment, and replaced when it died while the function was frozen.

mod config;
mod connect;
mod error;

use std::time::{Duration, SystemTime};

use tokio::{
    sync::{Mutex, MutexGuard},
    time::timeout,
};
use tokio_postgres::Client;

pub use self::{
    config::DatabaseConfig,
    error::{DatabaseError, causes, is_about_data},
};

/// A connection used more recently than this is taken to be alive: asking it costs a round trip.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);
/// How long a connection that was idle for longer may take to show that it lives.
const LIFE_SIGN_TIMEOUT: Duration = Duration::from_secs(1);

/// The one connection of an execution environment, with the state `S` that belongs to it and dies with it.
pub struct Database<S> {
    config: DatabaseConfig,
    session: Mutex<Option<Session<S>>>,
}

/// An open connection and what is known through it.
pub struct Session<S> {
    /// The connection.
    pub client: Client,
    /// What its user remembers between invocations; new with each connection.
    pub state: S,
    /// By the clock on the wall: another one may stand still while the function is frozen.
    last_used: SystemTime,
}

/// Exclusive use of the connection for one invocation. Unless it is [kept](Lease::keep), the connection is given up at
/// the end, whatever that end is: the next invocation has nothing to do with what went wrong in this one.
pub struct Lease<'database, S> {
    config: &'database DatabaseConfig,
    session: MutexGuard<'database, Option<Session<S>>>,
    kept: bool,
}

// === impl Database ===

impl<S: Default> Database<S> {
    /// A database that is connected to when it is first needed, so that one that is down fails an invocation and not
    /// the start of the function.
    #[must_use]
    pub fn new(config: DatabaseConfig) -> Self {
        Self { config, session: Mutex::new(None) }
    }

    /// Waits for exclusive use of the connection.
    pub async fn lease(&self) -> Lease<'_, S> {
        Lease { config: &self.config, session: self.session.lock().await, kept: false }
    }
}

// === impl Lease ===

impl<S: Default> Lease<'_, S> {
    /// The open connection: the one of the invocation before if it still answers, else a new one. One that was used
    /// within the last second is not asked; any other has a second to answer.
    ///
    /// # Errors
    /// No connection can be made.
    pub async fn session(&mut self) -> Result<&mut Session<S>, DatabaseError> {
        let mut session = match self.session.take() {
            Some(session) if session.is_alive().await => session,
            _ => Session { client: self.config.connect().await?, state: S::default(), last_used: SystemTime::now() },
        };
        session.last_used = SystemTime::now();
        Ok(self.session.insert(session))
    }

    /// Gives the connection up now, so that the next [`Lease::session`] opens a new one.
    pub fn discard(&mut self) {
        *self.session = None;
    }

    /// Ends the lease and keeps the connection for the next one.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl<S> Drop for Lease<'_, S> {
    fn drop(&mut self) {
        if !self.kept {
            *self.session = None;
        }
    }
}

impl<S> Session<S> {
    async fn is_alive(&self) -> bool {
        if self.client.is_closed() {
            return false;
        }
        self.last_used.elapsed().is_ok_and(|idle| idle < TRUSTED_IDLE)
            || matches!(timeout(LIFE_SIGN_TIMEOUT, self.client.check_connection()).await, Ok(Ok(())))
    }
}
