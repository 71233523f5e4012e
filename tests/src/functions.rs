//! The three functions under `cargo lambda watch`, and what is needed to invoke them.

use std::{
    collections::BTreeSet,
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::Command,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};
use reqwest::Client;
use serde_json::Value;
use stats::report::StatsReport;

use crate::{
    front,
    service::{self, Log, LogLines, Service, StopSignal},
    tools, workspace,
};

/// How long the emulator may take to listen.
const START_TIMEOUT: Duration = Duration::from_secs(90);
/// How long an invocation may take; the longest that Lambda allows behind a Kafka trigger is 14 minutes.
const INVOKE_TIMEOUT: Duration = Duration::from_secs(300);

/// What cargo says when a function does not compile, and the emulator, seconds later, when one ends.
const ENDS: [&str; 5] =
    ["could not compile", "command exited", "command killed", "command stopped", "command ended by exception"];

/// The local Lambda emulator, serving the functions of this workspace.
pub struct Functions {
    client: FunctionsClient,
    service: Service,
    log: Mutex<EmulatorLog>,
}

/// What the emulator and cargo say of the functions. The emulator does not start a function again that ended, and leaves its
/// callers waiting.
struct EmulatorLog {
    lines: LogLines,
    /// The functions that were started.
    running: BTreeSet<String>,
    /// Those of them that had no process at the last look.
    gone: BTreeSet<String>,
}

/// Invokes functions; may be cloned and outlive nothing.
#[derive(Clone)]
pub struct FunctionsClient {
    http: Client,
    address: SocketAddr,
}

/// Builds the functions as the emulator would, so that the first invocation does not wait for a compiler.
///
/// # Errors
/// They do not compile.
pub fn build() -> Result<()> {
    build_with(&["--bins"], |_| ())
}

/// The same, and hands each line of cargo's to `observe`.
///
/// # Errors
/// The same.
pub fn build_watched(observe: impl FnMut(&str)) -> Result<()> {
    build_with(&["--bins"], observe)
}

/// Builds the functions as they are released.
///
/// # Errors
/// They do not compile.
pub fn build_released() -> Result<()> {
    build_with(&["--bins", "--release"], |_| ())
}

fn build_with(arguments: &[&str], observe: impl FnMut(&str)) -> Result<()> {
    let mut cargo = Command::new(tools::on_path("cargo").context("cargo is not on the PATH")?);
    cargo.arg("build").args(arguments).current_dir(workspace());
    as_from_a_shell(&mut cargo);
    service::run_watched(&cargo, None, observe).context("the functions do not build")
}

impl Functions {
    /// Starts the emulator on `address`; `environment` is what the functions find in theirs.
    ///
    /// # Errors
    /// cargo-lambda is missing and cannot be fetched, or does not start; with its log.
    pub fn start(address: SocketAddr, environment: &[(&str, String)], log: &Path) -> Result<Self> {
        Self::start_with(&[], address, environment, log)
    }

    /// The same with the functions as they are released; port 0 is any that is free.
    ///
    /// # Errors
    /// The same.
    pub fn start_released(address: SocketAddr, environment: &[(&str, String)], log: &Path) -> Result<Self> {
        let port = TcpListener::bind(address)?.local_addr()?.port();
        Self::start_with(&["--release"], SocketAddr::new(address.ip(), port), environment, log)
    }

    fn start_with(more: &[&str], address: SocketAddr, environment: &[(&str, String)], log: &Path) -> Result<Self> {
        let mut watch = Command::new(tools::cargo_lambda()?);
        watch.args(["lambda", "watch", "--ignore-changes"]).args(more);
        watch.args(["-A", &address.ip().to_string(), "-P", &address.port().to_string()]);
        watch.current_dir(workspace());
        as_from_a_shell(&mut watch);
        watch.envs(environment.iter().map(|(name, value)| (name, value)));
        let log = Log::lock("cargo lambda watch", log)?;
        let service = Service::start("cargo lambda watch", &watch, StopSignal::Term, None, log)?;
        // Its own word, since somebody else may listen there.
        let ready = || service.has_said("starting Runtime server") && TcpStream::connect(address).is_ok();
        service.wait_until(START_TIMEOUT, ready)?;
        let http = Client::builder().timeout(INVOKE_TIMEOUT).no_proxy().build()?;
        let log =
            Mutex::new(EmulatorLog { lines: service.follow_log()?, running: BTreeSet::new(), gone: BTreeSet::new() });
        Ok(Self { client: FunctionsClient { http, address }, service, log })
    }

    /// Whether the emulator still runs, and each function that it started.
    ///
    /// # Errors
    /// One of them ended; with the end of the log.
    pub fn check(&self) -> Result<()> {
        self.service.check()?;
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let EmulatorLog { lines, running, gone } = &mut *log;
        let mut end = None;
        for line in lines {
            running.extend(started(&line).map(str::to_owned));
            if ENDS.iter().any(|end| line.contains(end)) {
                end = Some(format!("a function ended ({})", line.trim()));
            }
        }
        // The emulator is one of them, where the system says. One that becomes another program has no name for a moment.
        let processes = self.service.processes();
        let is_gone = |name: &&String| !processes.is_empty() && !processes.iter().any(|command| is_of(command, name));
        let before = std::mem::replace(gone, running.iter().filter(is_gone).cloned().collect());
        let ended: Vec<_> = before.intersection(gone).map(String::as_str).collect();
        if !ended.is_empty() {
            end = Some(format!("{} ended", ended.join(", ")));
        }
        end.map_or(Ok(()), |end| Err(anyhow!("{end}\n{}", self.service.log_tail())))
    }

    /// What invokes them.
    #[must_use]
    pub fn client(&self) -> &FunctionsClient {
        &self.client
    }

    /// The end of the functions' log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        self.service.log_tail()
    }
}

impl FunctionsClient {
    /// Invokes a function with `event` and returns its answer.
    ///
    /// # Errors
    /// The function failed; with its error type and message.
    pub async fn invoke(&self, function: &str, event: &Value) -> Result<Value> {
        let url = format!("http://{}/2015-03-31/functions/{function}/invocations", self.address);
        let response =
            self.http.post(url).json(event).send().await.with_context(|| format!("{function} did not answer"))?;
        let status = response.status();
        let text = response.text().await?;
        let answer: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        if status.is_success() && answer.get("errorMessage").is_none() {
            return Ok(answer);
        }
        let message =
            answer.get("errorMessage").and_then(Value::as_str).map_or_else(|| answer.to_string(), str::to_owned);
        Err(anyhow!("{function} failed: {message}"))
    }

    /// The function URL of `stats`.
    #[must_use]
    pub fn stats_url(&self) -> String {
        self.url("/stats")
    }

    /// The page, for browsers: on a port, if that is free.
    ///
    /// # Errors
    /// The system has no port left.
    pub fn page_url(&self, port: u16) -> Result<String> {
        let front = front::start(port, self.address).context("no port is left for the page")?;
        Ok(format!("http://{front}/lambda-url/stats/"))
    }

    /// The same with another path, such as `/metrics`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/lambda-url/stats{path}", self.address)
    }

    /// Sends a request to the function URL of `stats`; the path is what follows it, such as `/stats?window=1h`.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn stats(&self, path: &str) -> Result<reqwest::Response> {
        let url = self.url(path);
        Ok(self.http.get(url).send().await?)
    }

    /// The statistics of these URLs.
    ///
    /// # Errors
    /// There is no answer, or it is an error.
    pub async fn stats_of(&self, urls: &[String]) -> Result<StatsReport> {
        let query: String = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(urls.iter().map(|url| ("url", url)))
            .finish();
        let response = self.stats(&format!("/stats?{query}")).await?;
        let status = response.status();
        let text = response.text().await?;
        if !status.is_success() {
            bail!("stats answered {status}: {text}");
        }
        Ok(serde_json::from_str(&text)?)
    }

    /// Where the emulator listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// The function that cargo starts, by a line of its output: Running `target/debug/probe`.
fn started(line: &str) -> Option<&str> {
    line.trim().strip_prefix("Running `")?.strip_suffix('`')?.rsplit('/').next()
}

/// Whether a command line is that of a function, or of cargo that becomes it.
fn is_of(command: &str, function: &str) -> bool {
    command.rsplit('/').next() == Some(function) || command.ends_with(&format!("--bin {function}"))
}

/// Takes away what an outer `cargo run` or `cargo test` put into the environment: with it, the inner cargo would think
/// that build scripts have to run again.
fn as_from_a_shell(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let of_a_package = name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        let of_the_config = ["CPATH", "CMAKE", "AWS_LC_SYS_NO_JITTER_ENTROPY", "LD_LIBRARY_PATH", "CARGO"];
        if of_a_package || of_the_config.contains(&name.as_ref()) {
            command.env_remove(&*name);
        }
    }
}
