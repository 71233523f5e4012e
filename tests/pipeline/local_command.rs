//! `cargo local`, as people run it.

use std::{
    collections::HashSet,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use local_stack::{front, website::Website, workspace};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use stats::report::StatsReport;

use crate::support::{Place, directory, example, free_port, until};

fn local(directory: &Path) -> Command {
    let mut command = example("local");
    command.arg("--directory").arg(directory);
    command
}

async fn output(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// With the services of the tests and a database and a topic of its own.
async fn counted(place: &Place, directory: &Path, urls: &[String]) -> Value {
    let mut command = local(directory);
    command.args(["--probes", "3", "--interval", "100ms"]).args(urls).envs(place.variables());
    let output = output(command).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Nothing but the answer.
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn counted_probes_end_with_the_statistics_and_nothing_else_on_standard_output() {
    let place = Place::new("local_counted").await;
    let website = Website::start(0).await.unwrap();
    let directory = directory("local_counted");
    let urls = [website.url("/fast"), format!("http://127.0.0.1:{}/", free_port())];

    let first = counted(&place, &directory, &urls).await;

    let probes = |answer: &Value, index: usize| answer["stats"][index]["probes"].as_u64().unwrap();
    assert_eq!(first["stats"].as_array().unwrap().len(), 2);
    assert_eq!((probes(&first, 0), probes(&first, 1)), (3, 3));
    let env = std::fs::read_to_string(directory.join("env")).unwrap();
    let is_a_service = |name: &str| name.starts_with("WM_STREAM_") || name.starts_with("WM_DB_");
    for (name, value) in place.variables().iter().filter(|(name, _)| is_a_service(name)) {
        assert!(env.contains(&format!("{name}='{value}'\n")), "{env}");
    }
    assert!(env.contains("WM_STATS_URL='http://") && env.contains("WM_INVOKE_PORT="), "{env}");

    // The data is still there: the next run counts on.
    assert_eq!(probes(&counted(&place, &directory, &urls[..1]).await, 0), 6);
}

#[tokio::test]
async fn mistakes_are_named_before_anything_starts() {
    let directory = directory("local_mistakes");
    let cases: [(&[&str], (&str, &str), &str); 8] = [
        (&["example.com"], ("", ""), "\"example.com\" is not a URL"),
        (&["http://a.test/1,2"], ("", ""), "write it as %2C"),
        (&["--interval", "10"], ("", ""), "10s"),
        (&["--interval", "0s"], ("", ""), "more than nothing"),
        (&["--fresh"], ("WM_DB_CONNECTION_STRING", "postgres://h/d"), "--fresh empties only what it starts itself"),
        (&[], ("WM_PROBE_TIMEOUT_MS", "10s"), "WM_PROBE_TIMEOUT_MS is \"10s\": expected milliseconds"),
        (&[], ("WM_DB_CONNECTION_STRING", "postgres://u:hunter2@h:port/d"), "WM_DB_CONNECTION_STRING cannot be read"),
        (&[], ("WM_STREAM_SSL", "true"), "WM_STREAM_SSL is set, but not WM_STREAM_BOOTSTRAP_SERVER"),
    ];
    for (arguments, (name, value), expected) in cases {
        let mut command = local(&directory);
        command.args(arguments);
        if !name.is_empty() {
            command.env(name, value);
        }
        let output = output(command).await;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && stderr.contains(expected), "{arguments:?}: {stderr}");
        assert!(!stderr.contains("hunter2"), "{stderr}");
    }
    assert!(!directory.exists());
}

#[tokio::test]
async fn every_file_that_a_variable_names_is_checked_before_anything_starts() {
    let directory = directory("local_files");
    let mut command = local(&directory);
    command.args(["--probes", "1", "http://127.0.0.1:1/"]).current_dir(workspace().join("tests")).envs([
        ("WM_PROBE_CA_FILE", "/nonexistent.pem"),
        ("WM_DB_SSL_CA_FILE", "/dev"),
        ("WM_STREAM_BOOTSTRAP_SERVER", "127.0.0.1:1"),
        ("WM_STREAM_SSL", "true"),
        ("WM_STREAM_SSL_CA_FILE", "/dev/null"),
        ("WM_STREAM_SSL_CERT_FILE", "Cargo.toml"),
        ("WM_STREAM_SSL_KEY_FILE", "-----BEGIN PRIVATE KEY-----"),
        ("WM_STATS_MAX_AGE", "1"),
    ]);

    let output = output(command).await;

    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && !directory.exists(), "{stderr}");
    let lines: Vec<_> = stderr.lines().collect();
    assert_eq!(lines[0], "error: invalid configuration:", "{stderr}");
    for mistake in [
        "WM_PROBE_CA_FILE is \"/nonexistent.pem\": there is no such file; check the path",
        "WM_DB_SSL_CA_FILE is \"/dev\": this is a directory; expected a file",
        "WM_STREAM_SSL_CA_FILE is \"/dev/null\": this is a pipe or a device; expected a file",
        "WM_STREAM_SSL_CERT_FILE is \"Cargo.toml\": no certificate in the file; expected PEM with -----BEGIN CERTIFICATE-----",
        "WM_STREAM_SSL_KEY_FILE contains PEM text: expected the path of a file that contains it",
        "WM_STATS_MAX_AGE is \"1\": expected a duration with its unit from 0s to 1h, as in 800ms, 10s or 1m",
    ] {
        assert!(lines.iter().any(|line| line.trim() == mistake), "{mistake} is not in {stderr}");
    }
    assert_eq!(lines.len(), 7, "{stderr}");
}

#[tokio::test]
async fn directory_that_cannot_be_used_is_refused_with_the_remedy() {
    let file = directory("local_file");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "").unwrap();
    for (directory, expected) in [(file.clone(), "is a file; name another"), (file.join("below"), "a part of")] {
        let mut command = local(&directory);
        command.args(["--probes", "1", "http://127.0.0.1:1/"]);
        let output = output(command).await;
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && stderr.contains(expected) && stderr.contains("--directory"), "{stderr}");
    }
    std::fs::remove_file(file).unwrap();
}

#[tokio::test]
async fn postgres_data_of_another_version_are_refused_with_the_remedy() {
    // Where the user that runs Postgres may reach it, whoever that is.
    let directory = std::env::temp_dir().join(format!("website-monitor-version-{}", std::process::id()));
    std::fs::create_dir_all(directory.join("postgres/data")).unwrap();
    std::fs::write(directory.join("postgres/data/PG_VERSION"), "8\n").unwrap();
    let mut command = local(&directory);
    command.args(["--probes", "1", "http://127.0.0.1:1/"]);

    let output = output(command).await;

    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && stderr.contains("are of Postgres 8, and"), "{stderr}");
    assert!(stderr.contains("throw the data away with --fresh"), "{stderr}");
    std::fs::remove_dir_all(directory).unwrap();
}

#[tokio::test]
async fn services_that_do_not_answer_are_named_before_anything_starts() {
    let directory = directory("local_unreachable");
    let mut command = local(&directory);
    let (postgres, kafka) = (free_port(), free_port());
    command.args(["--probes", "1", "http://127.0.0.1:1/"]).envs([
        ("WM_DB_CONNECTION_STRING", format!("postgres://u:hunter2@127.0.0.1:{postgres}/d")),
        ("WM_STREAM_BOOTSTRAP_SERVER", format!("127.0.0.1:{kafka}")),
    ]);

    let output = output(command).await;

    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && !directory.exists(), "{stderr}");
    assert!(stderr.contains("WM_DB_CONNECTION_STRING cannot be used: cannot connect to the database"), "{stderr}");
    assert!(
        stderr.contains(&format!("WM_STREAM_BOOTSTRAP_SERVER is 127.0.0.1:{kafka}, which cannot be used")),
        "{stderr}"
    );
    assert!(!stderr.contains("hunter2"), "{stderr}");
}

#[tokio::test]
async fn a_file_of_monitors_is_checked_without_running_anything() {
    let directory = directory("local_check");
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("monitors.yaml");
    let check_bytes = async |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        let mut command = example("local");
        command.args(["--check", "monitors.yaml"]).current_dir(&directory);
        let output = output(command).await;
        let [out, err] = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap());
        (output.status.success(), out, err)
    };
    let check = async |text: &str| check_bytes(text.as_bytes()).await;

    let good = "monitors:\n- {id: a, url: 'http://a.test', body: '${ssm:/key}'}\n- {id: b, url: 'http://b.test', enabled: false}";
    let said = "monitors.yaml is good: 1 to be probed, 1 not enabled\n  ${ssm:/key} can be resolved in AWS only\n";
    assert_eq!(check(good).await, (true, said.to_owned(), String::new()));
    let (is_good, out, err) = check("monitors:\n- {id: a, url: a.test, timeout: 1}\n").await;
    assert!(!is_good && out.is_empty(), "{out}");
    let lines: Vec<_> = err.lines().collect();
    assert_eq!(lines.len(), 2, "{err}");
    assert!(lines[0].starts_with("monitors.yaml:2:16: \"a.test\" is not a URL"), "{err}");
    assert!(lines[1].starts_with("monitors.yaml:2:33: this is 1: expected a duration with its unit"), "{err}");
    let latin = check_bytes(b"monitors:\n- {id: caf\xe9, url: 'http://a.test'}\n").await;
    assert_eq!(latin.2, "monitors.yaml: line 2, column 11 is not UTF-8 text; save the file as UTF-8\n");
    let (is_good, _, err) =
        check("{\"monitors\": [{\"id\": \"\\ud83d\\udea8\", \"url\":\t\"http:\\/\\/a.test\"}]}").await;
    assert!(is_good, "{err}");
    // The one that is shipped.
    let mut command = example("local");
    command.arg("--check").arg(workspace().join("functions/probe/monitors.yaml"));
    assert!(output(command).await.status.success());
}

/// A run of `cargo local`, and what it said on standard error.
struct Running {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let said = Arc::new(Mutex::new(String::new()));
        let listener = Arc::clone(&said);
        // To its end: a program whose terminal closes ends of that.
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                *listener.lock().unwrap() += &(line + "\n");
            }
        });
        Self { child, said }
    }

    /// Past its first tick and batch.
    async fn until_it_works(&mut self) {
        until("a tick and a batch", async || {
            let said = self.said.lock().unwrap().clone();
            assert_eq!(self.child.try_wait().unwrap(), None, "{said}");
            said.contains(" published in ") && said.contains(" stored, ")
        })
        .await;
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// Its process whose command line contains `text`.
    fn process(&self, text: &str) -> Pid {
        let output = Command::new("ps").args(["-axo", "pid=,args="]).output().unwrap();
        let (all, own) = (String::from_utf8(output.stdout).unwrap(), descendants(self.pid()));
        let line = |line: &str| {
            let (pid, arguments) = line.trim().split_once(' ')?;
            let is_wanted = arguments.contains(text) && !arguments.contains("supervise.sh");
            pid.parse().ok().filter(|pid| is_wanted && own.contains(pid))
        };
        Pid::from_raw(all.lines().find_map(line).unwrap_or_else(|| panic!("no {text} in {all}")))
    }

    /// Waits for its end; whether that was a success, and what was said.
    async fn end(mut self) -> (bool, String) {
        let child = tokio::task::spawn_blocking(move || self.child.wait().unwrap());
        let status = tokio::time::timeout(Duration::from_secs(300), child).await.unwrap().unwrap();
        (status.success(), self.said.lock().unwrap().clone())
    }
}

/// A run of its own with everything, past its first tick and batch; and all of its processes.
async fn running(directory: &Path, arguments: &[&str]) -> (Running, HashSet<i32>) {
    let mut command = local(directory);
    command.args(["--interval", "200ms"]).args(arguments);
    let mut running = Running::start(command);
    running.until_it_works().await;
    let processes = descendants(running.pid());
    (running, processes)
}

#[tokio::test]
async fn function_or_emulator_that_is_killed_ends_the_command_with_its_name_and_log() {
    let place = Place::new("local_killed").await;
    let website = Website::start(0).await.unwrap();
    let directory = directory("local_killed");
    for (process, expected) in [
        ("/debug/probe", "error: probe ended\n"),
        ("/debug/flush", "error: flush ended\n"),
        ("cargo-lambda", "error: cargo lambda watch ended (killed by SIGKILL)"),
    ] {
        let mut command = local(&directory);
        command.args(["--interval", "200ms", &website.url("/fast")]).envs(place.variables());
        command.env_remove("WM_URL");
        let mut running = Running::start(command);
        running.until_it_works().await;

        kill(running.process(process), Signal::SIGKILL).unwrap();

        let (is_success, said) = running.end().await;
        assert!(!is_success && said.contains(expected), "{said}");
        assert!(said.contains("functions.log:\n") && said.contains("tick done probed="), "{said}");
    }
}

#[tokio::test]
async fn service_that_is_killed_ends_the_command_with_its_name_and_log() {
    let directory = directory("local_service");
    for (process, expected) in [
        ("/bin/postgres", "error: Postgres ended (killed by SIGKILL)"),
        ("kafka.Kafka", "error: Kafka ended (killed by SIGKILL)"),
    ] {
        let (running, _) = running(&directory, &["--fresh"]).await;

        kill(running.process(process), Signal::SIGKILL).unwrap();

        let (is_success, said) = running.end().await;
        assert!(!is_success && said.contains(expected) && said.contains(".log:\n"), "{said}");
    }
}

#[tokio::test]
async fn function_that_ends_at_its_start_or_does_not_compile_is_reported_with_the_log() {
    let place = Place::new("local_no_start").await;
    let directory = directory("local_no_start");
    let version = Command::new("rustc").arg("-vV").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    // What the emulator starts in place of the function.
    let runner = format!("CARGO_TARGET_{}_RUNNER", host.to_uppercase().replace('-', "_"));
    for (variable, program, expected) in [
        (runner.as_str(), "/bin/false", "error: stats ended\n"),
        ("RUSTC", "/bin/false", "error: the functions do not build"),
    ] {
        let mut command = local(&directory);
        command.args(["--probes", "1", "http://127.0.0.1:1/"]).envs(place.variables()).env(variable, program);

        let (is_success, said) = Running::start(command).end().await;

        assert!(!is_success && said.contains(expected), "{said}");
    }
}

#[tokio::test]
async fn directory_of_another_run_is_refused_at_once_with_its_process() {
    let place = Place::new("local_twice").await;
    let website = Website::start(0).await.unwrap();
    let directory = directory("local_twice");
    let command = || {
        let mut command = local(&directory);
        command.args(["--interval", "200ms", &website.url("/fast")]).envs(place.variables()).env_remove("WM_URL");
        command
    };
    let mut first = Running::start(command());
    first.until_it_works().await;

    let (is_success, said) = Running::start(command()).end().await;

    let expected =
        format!("error: another cargo local (process {}) uses {}; stop it", first.pid(), directory.display());
    assert!(!is_success && said.contains(&expected), "{said}");
    kill(Pid::from_raw(first.pid()), Signal::SIGINT).unwrap();
    assert!(first.end().await.0);
}

/// Every process of this machine: its number, its parent's, and its state, from `ps`.
fn processes() -> Vec<(i32, i32, String)> {
    let output = Command::new("ps").args(["-axo", "pid=,ppid=,state="]).output().unwrap();
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?.to_owned()))
    };
    String::from_utf8(output.stdout).unwrap().lines().filter_map(line).collect()
}

fn descendants(root: i32) -> HashSet<i32> {
    let mut found = HashSet::from([root]);
    let all = processes();
    loop {
        let more: Vec<_> =
            all.iter().filter(|(pid, parent, _)| found.contains(parent) && !found.contains(pid)).collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more.iter().map(|(pid, ..)| pid));
    }
}

/// Those of the processes that still run; one that waits for its parent to take note of its end does not.
fn alive(pids: &HashSet<i32>) -> Vec<i32> {
    let running = processes().into_iter().filter(|(_, _, state)| !state.starts_with('Z'));
    running.map(|(pid, ..)| pid).filter(|pid| pids.contains(pid)).collect()
}

#[tokio::test]
async fn however_it_ends_no_process_is_left_and_the_data_stays_until_it_is_thrown_away() {
    let directory = directory("local_ended");
    for (signal, arguments) in [(Signal::SIGKILL, &["--fresh"][..]), (Signal::SIGINT, &[])] {
        let (running, pids) = running(&directory, arguments).await;
        // Postgres with its workers, Kafka, the emulator, three functions, and who watches over them.
        assert!(pids.len() > 10, "{pids:?}");

        kill(Pid::from_raw(running.pid()), signal).unwrap();

        assert_eq!(running.end().await.0, signal == Signal::SIGINT);
        until(&format!("all processes end after {signal}"), async || alive(&pids).is_empty()).await;
    }

    // What those runs gathered is still there, and gone when asked for.
    let probes = async |arguments: &[&str]| {
        let mut command = local(&directory);
        command.args(["--probes", "1", "--interval", "1s"]).args(arguments);
        let output = output(command).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let report: StatsReport = serde_json::from_slice(&output.stdout).unwrap();
        report.stats.iter().map(|stats| stats.figures.probes).sum::<i64>()
    };
    let url = "http://127.0.0.1:1/";
    let before = probes(&[url]).await;
    assert_eq!(probes(&[url]).await, before + 1);
    assert_eq!(probes(&["--fresh", url]).await, 1);
}

#[tokio::test]
async fn front_hands_on_long_heads_of_any_bytes_and_leaves_out_bodies() {
    let emulator = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = front::start(0, emulator.local_addr().unwrap()).unwrap();
    let serving = thread::spawn(move || {
        let (mut connection, _) = emulator.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            connection.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        connection.write_all(b"HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n").unwrap();
        head
    });
    let path = "x".repeat(100_000);
    let request: [&[u8]; 3] = [b"POST /", path.as_bytes(), b" HTTP/1.1\r\nx-a: \xff\r\nContent-Length: 4\r\n\r\nbody"];
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(&request.concat()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();

    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    let head = serving.join().unwrap();
    assert!(head.len() > 100_000 && head.ends_with(b" HTTP/1.1\r\nx-a: \xff\r\nconnection: close\r\n\r\n"));
}
