//! A function's program, run as Lambda runs it: the runtime API
//! (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>), and what the system says of the process.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use jiff::Timestamp;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::{
        Mutex,
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    },
    task::JoinHandle,
    time::timeout,
};

/// How long a function may take for anything.
const PATIENCE: Duration = Duration::from_secs(300);

/// A running function, one invocation at a time.
pub(crate) struct Function {
    process: Child,
    server: JoinHandle<()>,
    events: UnboundedSender<String>,
    said: UnboundedReceiver<Said>,
    /// From the start of the process to its first question for an event.
    pub(crate) start: Duration,
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Processor time, in seconds.
    pub(crate) cpu: f64,
    /// The most memory that was resident, in bytes.
    pub(crate) peak: f64,
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
    events: Mutex<UnboundedReceiver<String>>,
    said: UnboundedSender<Said>,
}

impl Function {
    /// Starts a program with these variables and waits until it asks for an event.
    pub(crate) async fn start(program: &Path, variables: &[(&str, String)]) -> Result<Self> {
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
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
        for (name, value) in [
            ("AWS_LAMBDA_RUNTIME_API", address.to_string().as_str()),
            ("AWS_LAMBDA_FUNCTION_NAME", "benchmark"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
            ("AWS_LAMBDA_LOG_LEVEL", "WARN"),
            ("AWS_REGION", "local"),
        ] {
            command.env(name, value);
        }
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let started = Instant::now();
        let process = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let first = timeout(PATIENCE, said.recv()).await.context("the function asks for nothing")?;
        let start = started.elapsed();
        match first {
            Some(Said::Next) => Ok(Self { process, server, events, said, start }),
            Some(Said::Answer(_, error)) => bail!("the function does not start: {}", String::from_utf8_lossy(&error)),
            None => bail!("the function does not start"),
        }
    }

    /// Invokes it and returns its answer, and the time that took.
    pub(crate) async fn invoke(&mut self, event: &Value) -> Result<(Value, Duration)> {
        let invoked = Instant::now();
        self.events.send(event.to_string())?;
        let answer = timeout(PATIENCE, self.said.recv()).await.context("the function does not answer")?;
        let took = invoked.elapsed();
        let Some(Said::Answer(path, answer)) = answer else { bail!("the function waits without an answer") };
        ensure!(path.ends_with("/response"), "the function failed: {}", String::from_utf8_lossy(&answer));
        timeout(PATIENCE, self.said.recv()).await.context("the function does not come back")?;
        Ok((serde_json::from_slice(&answer)?, took))
    }

    /// What it has used so far.
    pub(crate) fn usage(&self) -> Result<Usage> {
        usage(self.process.id())
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        self.server.abort();
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

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
        let Some(event) = api.events.lock().await.recv().await else { return Ok(()) };
        let deadline = Timestamp::now().as_millisecond() + i64::try_from(PATIENCE.as_millis())?;
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nlambda-runtime-aws-request-id: 1\r\n\
             lambda-runtime-deadline-ms: {deadline}\r\nlambda-runtime-invoked-function-arn: arn:aws:lambda:local:1:f\r\n\
             content-length: {}\r\n\r\n",
            event.len()
        );
        connection.write_all(&[head.as_bytes(), event.as_bytes()].concat()).await?;
    }
}

/// What a process has used so far, as Linux tells it.
pub(crate) fn usage(pid: u32) -> Result<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // Its name, in brackets, may hold spaces. After it, utime and stime are the 12th and 13th.
    let (_, fields) = stat.rsplit_once(") ").context("/proc/PID/stat has another form")?;
    let ticks = |index: usize| fields.split(' ').nth(index).and_then(|field| field.parse::<f64>().ok());
    let (Some(user), Some(system)) = (ticks(11), ticks(12)) else { bail!("/proc/PID/stat has another form") };
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|line| line.trim().split(' ').next()?.parse::<f64>().ok());
    Ok(Usage { cpu: (user + system) / 100.0, peak: peak.context("/proc/PID/status has another form")? * 1024.0 })
}
