//! A function's program, run as Lambda runs it: an execution environment with its runtime API
//! (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>), which can be frozen, thawed and killed.

use std::{
    fmt,
    fs::File,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};
use jiff::Timestamp;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    sync::{
        Mutex,
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    },
    task::JoinHandle,
    time::timeout,
};

/// How long a program may take to ask for its first event, on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(300);

/// A running function, one invocation at a time.
pub struct Instance {
    process: Child,
    pid: Pid,
    server: JoinHandle<()>,
    events: UnboundedSender<Event>,
    said: UnboundedReceiver<Said>,
    /// From the start of the process to its first question for an event.
    pub start: Duration,
}

/// Why an invocation has no answer.
#[derive(Debug)]
pub enum InvokeError {
    /// The function said that it failed, in these words.
    Failed(String),
    /// Its process ended.
    Ended(ExitStatus),
    /// It took longer than it may. It still runs: Lambda would kill it.
    TimedOut(Duration),
}

/// What an instance is to do.
struct Event {
    payload: String,
    /// In milliseconds since 1970.
    deadline: i64,
}

/// What a function says to the runtime API.
enum Said {
    /// That it waits for an event.
    Next,
    /// What came of one: a path, and what is sent to it.
    Answer(String, Vec<u8>),
}

/// The API as its connections share it.
struct Api {
    events: Mutex<UnboundedReceiver<Event>>,
    said: UnboundedSender<Said>,
}

/// Where `cargo build` left the program of a function, beside the one that runs.
///
/// # Errors
/// This program is in no target directory.
pub fn program(function: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    // …/deps/pipeline-…, or …/examples/storm
    let directory = own.parent().and_then(Path::parent).context("not in a target directory")?;
    Ok(directory.join(function))
}

impl Instance {
    /// Starts a program with these variables and no others, its output added to `log` if there is one, and waits until it
    /// asks for an event.
    ///
    /// # Errors
    /// It cannot be started, or says why it does not start.
    pub async fn start(program: &Path, variables: &[(&str, String)], log: Option<&Path>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let ((events, receiver), (sender, mut said)) = (unbounded_channel(), unbounded_channel());
        let api = Arc::new(Api { events: Mutex::new(receiver), said: sender });
        let server = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let api = Arc::clone(&api);
                // Ends with the connection.
                tokio::spawn(async move { serve(&api, connection).await.unwrap_or_default() });
            }
        });
        let mut command = Command::new(program);
        command.env_clear().stdin(Stdio::null()).kill_on_drop(true);
        match log {
            Some(log) => {
                let log = File::options().create(true).append(true).open(log)?;
                command.stdout(log.try_clone()?).stderr(log);
            }
            None => {
                command.stdout(Stdio::null()).stderr(Stdio::inherit());
            }
        }
        for (name, value) in [
            ("AWS_LAMBDA_RUNTIME_API", address.to_string().as_str()),
            ("AWS_LAMBDA_FUNCTION_NAME", "local"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
            ("AWS_LAMBDA_LOG_LEVEL", "WARN"),
            ("AWS_REGION", "local"),
        ] {
            command.env(name, value);
        }
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let started = Instant::now();
        let mut process = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let pid = process.id().map(i32::try_from).context("the function is gone")??;
        let first = tokio::select! {
            first = timeout(START_TIMEOUT, said.recv()) => first.context("the function asks for nothing")?,
            status = process.wait() => bail!("the function ended at its start ({})", status?),
        };
        let start = started.elapsed();
        match first {
            Some(Said::Next) => Ok(Self { process, pid: Pid::from_raw(pid), server, events, said, start }),
            Some(Said::Answer(_, error)) => bail!("the function does not start: {}", String::from_utf8_lossy(&error)),
            None => bail!("the function does not start"),
        }
    }

    /// Invokes it and returns its answer, and the time that took. It may take until `limit`, and is told so.
    ///
    /// # Errors
    /// It failed, ended, or took longer.
    pub async fn invoke(&mut self, event: &Value, limit: Duration) -> Result<(Value, Duration), InvokeError> {
        self.invoke_text(&event.to_string(), limit).await
    }

    /// The same with the text of an event.
    ///
    /// # Errors
    /// The same.
    pub async fn invoke_text(&mut self, event: &str, limit: Duration) -> Result<(Value, Duration), InvokeError> {
        let invoked = Instant::now();
        let deadline =
            Timestamp::now().as_millisecond().saturating_add(i64::try_from(limit.as_millis()).unwrap_or(i64::MAX));
        // Where nobody is left to take it, the process has ended, which is seen below.
        let _ = self.events.send(Event { payload: event.to_owned(), deadline });
        let answer = self.hear(invoked, limit).await?;
        let took = invoked.elapsed();
        let (path, answer) = match answer {
            Said::Answer(path, answer) => (path, answer),
            Said::Next => return Err(InvokeError::Failed("it asks for more without an answer".to_owned())),
        };
        self.hear(invoked, limit).await?;
        let text = String::from_utf8_lossy(&answer).into_owned();
        if !path.ends_with("/response") {
            let error: Value = serde_json::from_str(&text).unwrap_or_default();
            return Err(InvokeError::Failed(error["errorMessage"].as_str().map_or(text, str::to_owned)));
        }
        let answer = serde_json::from_str(&text).map_err(|error| InvokeError::Failed(error.to_string()))?;
        Ok((answer, took))
    }

    async fn hear(&mut self, since: Instant, limit: Duration) -> Result<Said, InvokeError> {
        let left = limit.saturating_sub(since.elapsed());
        tokio::select! {
            biased;
            said = timeout(left, self.said.recv()) => {
                said.ok().flatten().ok_or(InvokeError::TimedOut(limit))
            }
            status = self.process.wait() => match status {
                Ok(status) => Err(InvokeError::Ended(status)),
                Err(error) => Err(InvokeError::Failed(error.to_string())),
            },
        }
    }

    /// The number of its process.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends it a signal: `SIGSTOP` freezes it as Lambda does between invocations, `SIGCONT` thaws it, `SIGKILL` is its end.
    ///
    /// # Errors
    /// It is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.pid, signal).map_err(|error| anyhow!("{signal}: {error}"))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl fmt::Display for InvokeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(reason) => write!(formatter, "the function failed: {reason}"),
            Self::Ended(status) => write!(formatter, "the function ended ({status})"),
            Self::TimedOut(limit) => write!(formatter, "the function took longer than {} ms", limit.as_millis()),
        }
    }
}

impl std::error::Error for InvokeError {}

/// Answers the requests of a connection until it closes.
async fn serve(api: &Api, connection: TcpStream) -> Result<()> {
    let mut connection = BufReader::new(connection);
    loop {
        let (mut head, mut line) = (String::new(), String::new());
        while line != "\r\n" {
            line.clear();
            if connection.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            head += &line.to_ascii_lowercase();
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(Ok(0), str::parse)?];
        connection.read_exact(&mut body).await?;
        let path = head.split(' ').nth(1).unwrap_or_default();
        if !path.ends_with("/next") {
            api.said.send(Said::Answer(path.to_owned(), body))?;
            connection.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").await?;
            continue;
        }
        api.said.send(Said::Next)?;
        let Some(Event { payload, deadline }) = api.events.lock().await.recv().await else { return Ok(()) };
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nlambda-runtime-aws-request-id: 1\r\n\
             lambda-runtime-deadline-ms: {deadline}\r\nlambda-runtime-invoked-function-arn: arn:aws:lambda:local:1:f\r\n\
             content-length: {}\r\n\r\n",
            payload.len()
        );
        connection.write_all(&[head.as_bytes(), payload.as_bytes()].concat()).await?;
    }
}
