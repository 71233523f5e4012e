//! `cargo local`, as people run it.

use std::{
    collections::HashSet,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
};

use local_stack::{website::Website, workspace};
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
    assert_eq!(latin.2, "monitors.yaml:2:11: this is not UTF-8: save the file as UTF-8\n");
    let (is_good, _, err) =
        check("{\"monitors\": [{\"id\": \"\\ud83d\\udea8\", \"url\":\t\"http:\\/\\/a.test\"}]}").await;
    assert!(is_good, "{err}");
    // The one that is shipped.
    let mut command = example("local");
    command.arg("--check").arg(workspace().join("functions/probe/monitors.yaml"));
    assert!(output(command).await.status.success());
}

/// A run of its own with everything, past its first tick and batch; and all of its processes.
async fn running(directory: &Path, arguments: &[&str]) -> (Child, HashSet<i32>) {
    let mut command = local(directory);
    command.args(["--interval", "200ms"]).args(arguments).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let said = Arc::new(Mutex::new(String::new()));
    let listener = Arc::clone(&said);
    // To its end: a program whose terminal closes ends of that.
    std::thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            listener.lock().unwrap().push_str(&line);
        }
    });
    let has_said = |text| said.lock().unwrap().contains(text);
    until("a tick and a batch", async || has_said(" published in ") && has_said(" stored, ")).await;
    let processes = descendants(i32::try_from(child.id()).unwrap());
    (child, processes)
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
        let (mut child, pids) = running(&directory, arguments).await;
        // Postgres with its workers, Kafka, the emulator, three functions, and who watches over them.
        assert!(pids.len() > 10, "{pids:?}");

        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
        let status = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();

        assert_eq!(status.success(), signal == Signal::SIGINT);
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
