//! Postgres: the system's server programs on a private data directory.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::signal::Signal,
    unistd::{User, geteuid},
};
use tokio_postgres::NoTls;

use crate::{
    authority::Issued,
    free_port,
    service::{self, Log, Service, StopSignal, UserId},
    tools,
};

/// How long a start may take; recovery after a crash is part of it.
const START_TIMEOUT: Duration = Duration::from_secs(180);

/// A running server on a port of 127.0.0.1, which trusts whoever connects to it from this machine.
pub struct Postgres {
    port: u16,
    service: Service,
}

/// How a server is secured.
pub struct Secured<'text> {
    /// Its certificate.
    pub issued: &'text Issued,
    /// Lines of `pg_hba.conf`.
    pub access: &'text str,
}

impl Postgres {
    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts a server whose data are in `directory`, and its log beside it. `fresh` throws away what is there,
    /// `settings` (`name=value`) are added to those it needs.
    ///
    /// # Errors
    /// The server programs are missing, another run uses the data, or the server does not start; with its log.
    pub fn start(directory: &Path, fresh: bool, settings: &[&str]) -> Result<Self> {
        Self::start_with(directory, fresh, settings, None, None)
    }

    /// The same where no file may have more than so many blocks of 512 bytes: to the server, a disk that is full.
    ///
    /// # Errors
    /// The same.
    pub fn start_limited(directory: &Path, fresh: bool, settings: &[&str], file_blocks: Option<u64>) -> Result<Self> {
        Self::start_with(directory, fresh, settings, None, file_blocks)
    }

    /// The same for a server that takes connections by TLS, with this certificate and key, and whose `pg_hba.conf` is what
    /// `secured` says; without TLS, only `postgres` is let in. Always fresh.
    ///
    /// # Errors
    /// The same.
    pub fn start_secured(directory: &Path, settings: &[&str], secured: &Secured<'_>) -> Result<Self> {
        Self::start_with(directory, true, settings, Some(secured), None)
    }

    fn start_with(
        directory: &Path,
        fresh: bool,
        settings: &[&str],
        secured: Option<&Secured<'_>>,
        file_blocks: Option<u64>,
    ) -> Result<Self> {
        let binaries = tools::postgres_binaries()?;
        let log = Log::lock("Postgres", &directory.with_extension("log"))?;
        let user = server_user()?;
        let directory = &reachable(directory, user)?;
        let data = directory.join("data");
        if fresh {
            remove(&data)?;
        }
        check_version(&data, &binaries)?;
        if !data.is_dir() {
            // Made under another name first, so that one that was cut off is not taken for whole.
            let partial = directory.join("data.partial");
            remove(&partial)?;
            let mut initdb = Command::new(binaries.join("initdb"));
            initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"]);
            initdb.arg(&partial).current_dir(directory);
            service::run(&initdb, user)?;
            fs::rename(&partial, &data)?;
        }
        let port = free_port()?;
        let postgres = binaries.join("postgres");
        let mut server = match file_blocks {
            None => Command::new(postgres),
            Some(blocks) => {
                let mut server = Command::new("/bin/sh");
                server.args(["-c", r#"ulimit -f "$0"; exec "$@""#, &blocks.to_string()]).arg(postgres);
                server
            }
        };
        server.arg("-D").arg(&data).args(["-p", &port.to_string()]);
        let own = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=200"];
        for setting in own.iter().chain(settings) {
            server.args(["-c", setting]);
        }
        if let Some(Secured { issued, access }) = secured {
            let key = write_file(&directory.join("server.key"), &issued.key, user)?;
            let certificate = write_file(&directory.join("server.pem"), &issued.certificate, user)?;
            let hba = format!("hostnossl all postgres 127.0.0.1/32 trust\n{access}");
            let hba = write_file(&directory.join("pg_hba.conf"), &hba, user)?;
            server.args(["-c", "ssl=on", "-c", &format!("ssl_cert_file={certificate}")]);
            server.args(["-c", &format!("ssl_key_file={key}"), "-c", &format!("hba_file={hba}")]);
        }
        server.current_dir(directory);
        let service = Service::start("Postgres", &server, StopSignal::Int, user, log)?;
        let mut is_ready = Command::new(binaries.join("pg_isready"));
        is_ready.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
        service.wait_until(START_TIMEOUT, || is_ready.status().is_ok_and(|status| status.success()))?;
        Ok(Self { port, service })
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// It ended; with the end of its log.
    pub fn check(&self) -> Result<()> {
        self.service.check()
    }

    /// Kills the server itself, with whoever sees to it that it ends with us; its children go when they notice.
    ///
    /// # Errors
    /// It is gone.
    pub fn kill(&self) -> Result<()> {
        self.service.signal(Signal::SIGKILL)
    }

    /// Whether its log contains `text`.
    #[must_use]
    pub fn has_said(&self, text: &str) -> bool {
        self.service.has_said(text)
    }

    /// The connection string of a database on this server.
    #[must_use]
    pub fn connection_string(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Makes a database unless it is there; its name must be a plain identifier.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn create_database(&self, database: &str) -> Result<()> {
        let (client, connection) = tokio_postgres::connect(&self.connection_string("postgres"), NoTls).await?;
        let connection = tokio::spawn(connection);
        let known = client.query("select from pg_database where datname = $1", &[&database]).await?;
        if known.is_empty() {
            client.batch_execute(&format!("create database \"{database}\"")).await?;
        }
        drop(client);
        Ok(connection.await??)
    }
}

/// Checks that data of an earlier run are of the version of the server programs.
fn check_version(data: &Path, binaries: &Path) -> Result<()> {
    let Ok(of_data) = fs::read_to_string(data.join("PG_VERSION")) else { return Ok(()) };
    let output = Command::new(binaries.join("postgres")).arg("--version").output();
    let output = output.with_context(|| format!("cannot run {}/postgres", binaries.display()))?;
    // postgres (PostgreSQL) 17.2 (Debian 17.2-1)
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split_whitespace().nth(2).unwrap_or_default();
    let major: String = version.chars().take_while(char::is_ascii_digit).collect();
    if of_data.trim() != major {
        bail!(
            "the data in {} are of Postgres {}, and {} is of version {version}: install that Postgres, name another \
             directory with --directory, or throw the data away with --fresh",
            data.display(),
            of_data.trim(),
            binaries.display()
        );
    }
    Ok(())
}

/// A file that the server's user alone can read; its path.
fn write_file(file: &Path, text: &str, user: Option<UserId>) -> Result<String> {
    fs::write(file, text)?;
    fs::set_permissions(file, fs::Permissions::from_mode(0o600))?;
    if let Some((uid, gid)) = user {
        lchown(file, Some(uid), Some(gid))?;
    }
    Ok(file.display().to_string())
}

/// Postgres refuses to run as root: then it runs as the user that the system has for it.
pub(crate) fn server_user() -> Result<Option<UserId>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let user = User::from_name("postgres")?.or(User::from_name("nobody")?);
    let user = user.context("Postgres does not run as root, and there is neither a user postgres nor a user nobody")?;
    Ok(Some((user.uid.as_raw(), user.gid.as_raw())))
}

/// `directory`, made and handed to the user that runs the server; or, where that user may not reach it (a checkout
/// under /root), one of the same name below the directory for temporary files.
fn reachable(directory: &Path, user: Option<UserId>) -> Result<PathBuf> {
    fs::create_dir_all(directory)?;
    let Some((uid, gid)) = user else { return Ok(directory.to_path_buf()) };
    let open =
        |ancestor: &Path| fs::metadata(ancestor).is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0);
    let directory = if directory.ancestors().skip(1).all(open) {
        directory.to_path_buf()
    } else {
        let name = directory.to_string_lossy().replace(['/', ' '], "_");
        let elsewhere = std::env::temp_dir().join(format!("website-monitor{name}"));
        fs::create_dir_all(&elsewhere)?;
        elsewhere
    };
    // A directory for temporary files is open to everyone: what somebody else put there is not ours to hand over.
    let metadata = fs::symlink_metadata(&directory)?;
    if !metadata.is_dir() || ![0, uid].contains(&metadata.uid()) {
        bail!("{} belongs to somebody else: remove it", directory.display());
    }
    if metadata.uid() != uid {
        lchown(&directory, Some(uid), Some(gid))?;
    }
    Ok(directory)
}

fn remove(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", directory.display()))
        }
        _ => Ok(()),
    }
}
