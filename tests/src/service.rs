//! A child process that cannot be left behind.
//!
//! Each runs under `supervise.sh`, which stops it when its standard input ends: when the [`Service`] is dropped, and
//! just as well when this process panics or is killed. Output goes to a log file, and that file is locked for as long
//! as anyone writes to it, so that a second run waits until the first one is gone.

use std::{
    fs::{self, File, TryLockError},
    io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

/// How long to wait for the processes of a run before this one to end.
const PREDECESSOR_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(50);
/// How much of a log is shown when a service fails.
const LOG_TAIL_BYTES: u64 = 8_000;
/// The same in lines.
const LOG_TAIL_LINES: usize = 20;

/// The signal that asks a program to stop in an orderly way.
#[derive(Debug, Clone, Copy)]
pub enum StopSignal {
    /// What most programs take.
    Term,
    /// For Postgres: end all sessions and shut down ("fast").
    Int,
}

/// A user and a group, by number.
pub type UserId = (u32, u32);

/// A log file, locked: whoever holds this, or a process that writes to it, owns the service's data as well.
pub struct Log {
    path: PathBuf,
    file: File,
}

/// A running child process.
pub struct Service {
    name: &'static str,
    supervisor: Mutex<Child>,
    log: PathBuf,
}

impl Log {
    /// Opens the log for a new run, once the processes of the run before are gone.
    ///
    /// # Errors
    /// They are not within 30 s, or the file cannot be written.
    pub fn lock(name: &str, path: &Path) -> Result<Self> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        }
        let file = File::options().create(true).append(true).open(path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        let deadline = Instant::now() + PREDECESSOR_TIMEOUT;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(POLL),
                Err(TryLockError::WouldBlock) => {
                    bail!("{name} of another run is still writing {}: stop that run first", path.display());
                }
                Err(TryLockError::Error(error)) => return Err(error).context("cannot lock the log"),
            }
        }
        file.set_len(0)?;
        Ok(Self { path: path.to_path_buf(), file })
    }
}

impl Service {
    /// Starts `command` with its output in `log`, as another user where one is given.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(
        name: &'static str,
        command: &Command,
        stop: StopSignal,
        user: Option<UserId>,
        log: Log,
    ) -> Result<Self> {
        let mut supervised = supervised(command, stop, user);
        supervised.stdout(log.file.try_clone()?).stderr(log.file);
        let supervisor = supervised.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name, supervisor: Mutex::new(supervisor), log: log.path })
    }

    /// Waits until `ready` says so.
    ///
    /// # Errors
    /// The service ended, or was not ready in time; with the end of its log.
    pub fn wait_until(&self, timeout: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let deadline = Instant::now() + timeout;
        loop {
            let ready = ready();
            // Also when something answers: it may be somebody else's.
            self.check()?;
            if ready {
                return Ok(());
            }
            if Instant::now() > deadline {
                let seconds = timeout.as_secs();
                return Err(anyhow!("{} was not ready within {seconds} s\n{}", self.name, self.log_tail()));
            }
            thread::sleep(POLL);
        }
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// It ended; with the end of its log.
    pub fn check(&self) -> Result<()> {
        let mut supervisor = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner);
        match supervisor.try_wait()? {
            Some(status) => Err(anyhow!("{} ended ({})\n{}", self.name, reason(status), self.log_tail())),
            None => Ok(()),
        }
    }

    /// Sends a signal to the program and its supervisor: `SIGKILL` is an end without a goodbye, `SIGSTOP` and `SIGCONT` are a
    /// pause.
    ///
    /// # Errors
    /// It is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let supervisor = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner);
        let group = Pid::from_raw(i32::try_from(supervisor.id())?);
        killpg(group, signal).with_context(|| format!("{signal} for {}", self.name))
    }

    /// Whether its log contains `text`.
    #[must_use]
    pub fn has_said(&self, text: &str) -> bool {
        fs::read(&self.log).is_ok_and(|log| String::from_utf8_lossy(&log).contains(text))
    }

    /// The path of the log and its last lines.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let tail = || -> std::io::Result<String> {
            let mut log = File::open(&self.log)?;
            let length = log.metadata()?.len();
            log.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
            let mut bytes = Vec::new();
            log.read_to_end(&mut bytes)?;
            let text = String::from_utf8_lossy(&bytes);
            let lines: Vec<_> = text.trim().lines().collect();
            Ok(lines.get(lines.len().saturating_sub(LOG_TAIL_LINES)..).unwrap_or_default().join("\n"))
        };
        format!("{}:\n{}", self.log.display(), tail().unwrap_or_else(|error| error.to_string()))
    }

    /// A reader of the log from its beginning.
    ///
    /// # Errors
    /// The log cannot be opened.
    pub fn follow_log(&self) -> Result<LogLines> {
        let log = File::open(&self.log).with_context(|| format!("cannot read {}", self.log.display()))?;
        Ok(LogLines { log: BufReader::new(log), begun: String::new() })
    }

    /// The command lines of the processes that the supervisor started, and of those that they started; none where the system
    /// does not say.
    #[must_use]
    pub fn processes(&self) -> Vec<String> {
        let supervisor = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner).id().to_string();
        let output = Command::new("ps").args(["-ww", "-axo", "pid=,ppid=,args="]).output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        let all: Vec<_> = text.lines().filter_map(process).collect();
        let (mut parents, mut found) = (vec![supervisor], Vec::new());
        while let Some(parent) = parents.pop() {
            for (pid, _, arguments) in all.iter().filter(|(_, ppid, _)| *ppid == parent) {
                parents.push((*pid).to_owned());
                found.push((*arguments).to_owned());
            }
        }
        found
    }
}

/// How the program of a supervisor ended: a shell adds 128 to the number of a signal.
fn reason(status: ExitStatus) -> String {
    match status.code() {
        Some(code @ 129..) => {
            Signal::try_from(code - 128).map_or_else(|_| status.to_string(), |signal| format!("killed by {signal}"))
        }
        _ => status.to_string(),
    }
}

/// A line of `ps`: the number of a process, that of its parent, and its command line.
fn process(line: &str) -> Option<(&str, &str, &str)> {
    let (pid, rest) = line.trim().split_once(' ')?;
    let (ppid, arguments) = rest.trim_start().split_once(' ')?;
    Some((pid, ppid, arguments.trim()))
}

/// The lines of a log that is being written.
pub struct LogLines {
    log: BufReader<File>,
    /// The beginning of a line whose end is not written yet.
    begun: String,
}

impl Iterator for LogLines {
    type Item = String;

    /// The next complete line, or `None` where no other is written yet.
    fn next(&mut self) -> Option<String> {
        let mut bytes = Vec::new();
        self.log.read_until(b'\n', &mut bytes).ok()?;
        self.begun += &String::from_utf8_lossy(&bytes);
        self.begun.ends_with('\n').then(|| std::mem::take(&mut self.begun).trim_end().to_owned())
    }
}

impl Drop for Service {
    /// Asks the program to stop and waits until it has.
    fn drop(&mut self) {
        // One that was stopped would not hear of it. If it is gone, there is nothing to do.
        let _ = self.signal(Signal::SIGCONT);
        let supervisor = self.supervisor.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(supervisor.stdin.take());
        // It ends by itself, at the latest when the supervisor loses its patience.
        supervisor.wait().map(drop).unwrap_or_default();
    }
}

/// Runs a program to its end; its output is shown only if it fails. It ends with us, too.
///
/// # Errors
/// It cannot be started or does not succeed.
pub fn run(command: &Command, user: Option<UserId>) -> Result<()> {
    run_watched(command, user, |_| ())
}

/// The same, and hands each line of its standard error to `observe`, as soon as it is there.
///
/// # Errors
/// The same.
pub fn run_watched(command: &Command, user: Option<UserId>, mut observe: impl FnMut(&str)) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut supervised = supervised(command, StopSignal::Term, user);
    let mut child = supervised.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let lifeline = child.stdin.take();
    let mut stdout = child.stdout.take().context("no standard output")?;
    let stdout = thread::spawn(move || {
        let mut bytes = Vec::new();
        stdout.read_to_end(&mut bytes).map(|_| bytes)
    });
    let mut stderr = String::new();
    for line in BufReader::new(child.stderr.take().context("no standard error")?).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        observe(&line);
        stderr += &line;
        stderr.push('\n');
    }
    let status = child.wait().with_context(|| format!("cannot run {program}"))?;
    drop(lifeline);
    if !status.success() {
        let stdout = stdout.join().map_err(|_| anyhow!("the output of {program} is lost"))??;
        let text = String::from_utf8_lossy(&stdout) + stderr.as_str();
        bail!("{program} failed ({status})\n{}", text.trim());
    }
    Ok(())
}

/// `command` under the supervisor, in a process group of its own, with the lifeline as its standard input.
fn supervised(command: &Command, stop: StopSignal, user: Option<UserId>) -> Command {
    let signal = match stop {
        StopSignal::Term => "TERM",
        StopSignal::Int => "INT",
    };
    let mut supervised = Command::new("/bin/sh");
    supervised.arg("-c").arg(include_str!("supervise.sh")).arg("supervise.sh").arg(signal);
    supervised.arg(command.get_program()).args(command.get_args());
    for (variable, value) in command.get_envs() {
        match value {
            Some(value) => supervised.env(variable, value),
            None => supervised.env_remove(variable),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        supervised.current_dir(directory);
    }
    if let Some((uid, gid)) = user {
        supervised.uid(uid).gid(gid);
    }
    supervised.process_group(0).stdin(Stdio::piped());
    supervised
}
