//! PgBouncer in transaction mode: each transaction on whichever of its few connections is free.

use std::{fmt::Write as _, fs, os::unix::fs::chown, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result};

use crate::{
    free_port,
    postgres::server_user,
    service::{Log, Service, StopSignal},
    tools,
};

/// How long a start may take on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A running pooler on a port of 127.0.0.1.
pub struct PgBouncer {
    port: u16,
    _service: Service,
}

impl PgBouncer {
    /// Starts a pooler in front of the Postgres on a port of this machine, with so many connections to each of its
    /// databases.
    ///
    /// # Errors
    /// The program is missing or does not start; with its log.
    pub fn start(directory: &Path, postgres: u16, connections: usize) -> Result<Self> {
        let program = tools::pgbouncer()?;
        let log = Log::lock("PgBouncer", &directory.with_extension("log"))?;
        fs::create_dir_all(directory)?;
        let port = free_port()?;
        let mut settings = String::new();
        write!(
            settings,
            "[databases]\n\
             * = host=127.0.0.1 port={postgres} user=postgres\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\n\
             listen_port = {port}\n\
             unix_socket_dir =\n\
             auth_type = any\n\
             pool_mode = transaction\n\
             default_pool_size = {connections}\n"
        )?;
        let file = std::env::temp_dir().join(format!("website-monitor-pgbouncer-{port}.ini"));
        fs::write(&file, settings)?;
        // It refuses to run as root, as Postgres does.
        let user = server_user()?;
        if let Some((uid, gid)) = user {
            chown(&file, Some(uid), Some(gid)).context("cannot hand the settings over")?;
        }
        let mut command = Command::new(program);
        command.arg(&file).current_dir("/");
        let service = Service::start("PgBouncer", &command, StopSignal::Int, user, log)?;
        service.wait_until(START_TIMEOUT, || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok())?;
        fs::remove_file(&file)?;
        Ok(Self { port, _service: service })
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}
