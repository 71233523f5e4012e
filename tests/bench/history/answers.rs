//! Answers as a client gets them: HTTP, the local Lambda emulator, the function as it is released, Postgres.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use local_stack::{functions, functions::Functions, postgres::Postgres, tools, workspace};
use reqwest::{StatusCode, header};

use crate::{reads, report::Report, store::Store};

/// Requests of a kind, one after the other.
const REQUESTS: usize = 101;
/// For how long the function is under load.
const LOAD: Duration = Duration::from_secs(60);
const CONNECTIONS: u32 = 16;

/// Whether there is everything that takes.
pub(crate) fn check() -> Result<()> {
    tools::on_path("wrk")
        .map(drop)
        .context("wrk is missing: apt-get install wrk, or leave answers out with --no-answers")
}

/// Times each kind of answer, then puts the function under load.
pub(crate) async fn measure(postgres: &Postgres, store: &Store, report: &mut Report) -> Result<()> {
    eprintln!("answers through the function");
    functions::build_released()?;
    let log = workspace().join("target/bench/functions.log");
    let environment = [
        ("WM_DB_CONNECTION_STRING", postgres.connection_string(&store.name)),
        ("WM_STATS_PUBLIC", "true".to_owned()),
        // What its process is known by.
        ("WM_STATS_PREFIX", "/benchmark".to_owned()),
        ("AWS_LAMBDA_LOG_LEVEL", "WARN".to_owned()),
    ];
    let functions = Functions::start_released("[::1]:0".parse()?, &environment, &log)?;
    let urls = store.client.query("select url from targets order by id limit 50", &[]).await?;
    let encoded = |url: String| url::form_urlencoded::byte_serialize(url.as_bytes()).collect::<String>();
    let urls: Vec<String> = urls.iter().map(|row| encoded(row.get(0))).collect();
    let url = urls.first().context("there are no targets")?;
    let kinds = [
        ("default answer: all targets, all time", "/stats?".to_owned()),
        ("all targets, 24 h", "/stats?window=24h".to_owned()),
        ("all targets, 30 d", "/stats?window=30d".to_owned()),
        ("one target, 30 d by the hour", format!("/stats?url={url}&window=30d&bucket=1h")),
        ("/metrics", "/metrics?".to_owned()),
    ];
    let emulator = times(&functions, "/openapi.json?", None).await?;
    row(report, "the emulator alone: /openapi.json", &emulator, "–");
    let mut medians = Vec::new();
    for (what, path) in &kinds {
        let took = times(&functions, path, None).await?;
        row(report, &format!("{what}, not asked for before"), &took, "≤ 25 ms");
        medians.push(took[REQUESTS / 2]);
    }
    let overview = format!("/overview?url={}", urls.join("&url="));
    let took = times(&functions, &overview, None).await?;
    row(report, &format!("what the page asks first, {} targets, not asked for before", urls.len()), &took, "≤ 100 ms");
    let tag = tag(&functions, "/stats?window=24h").await?;
    let took = times(&functions, "/stats?window=24h", Some(&tag)).await?;
    row(report, "all targets, 24 h, 304", &took, "≤ 2 ms");

    for (index, days) in [(0, None), (2, Some(30))] {
        let seed = reads::seed_query(store, days, None).await?;
        let Some((what, ours)) = kinds.get(index).map(|(what, _)| what).zip(medians.get(index)) else { continue };
        report.speedup(&format!("{what}: seed's query → the whole answer"), seed, *ours, "≥ 300");
    }
    load(&functions, &kinds, report)
}

/// How long each request took, in seconds, sorted. Each asks for a percentile, or a target, that none asked for before, unless it
/// has the tag of what it asks for.
async fn times(functions: &Functions, path: &str, tag: Option<&str>) -> Result<Vec<f64>> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let mut times = Vec::with_capacity(REQUESTS);
    for number in 0..REQUESTS + 5 {
        let path = match tag {
            None if path.starts_with("/openapi") => path.to_owned(),
            None if path.starts_with("/overview") => format!("{path}&url=none{number}"),
            None => format!("{path}&percentiles=50,95,99.{:06}", number + 1),
            Some(_) => path.to_owned(),
        };
        // As browsers ask.
        let request = client.get(functions.client().url(&path)).header(header::ACCEPT_ENCODING, "gzip");
        let request = tag.into_iter().fold(request, |request, tag| request.header(header::IF_NONE_MATCH, tag));
        let asked = Instant::now();
        let response = request.send().await?;
        let status = response.status();
        let body = response.bytes().await?;
        let took = asked.elapsed().as_secs_f64();
        let expected = if tag.is_some() { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
        ensure!(status == expected, "{path} was answered {status}: {}", String::from_utf8_lossy(&body));
        // The first ones start the function and connect.
        times.extend((number >= 5).then_some(took));
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

async fn tag(functions: &Functions, path: &str) -> Result<String> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let request = client.get(functions.client().url(path)).header(header::ACCEPT_ENCODING, "gzip");
    let response = request.send().await?;
    let tag = response.headers().get(header::ETAG).context("the answer has no tag")?;
    Ok(tag.to_str()?.to_owned())
}

fn row(report: &mut Report, what: &str, times: &[f64], bar: &str) {
    let [middle, slow] =
        [REQUESTS / 2, REQUESTS * 99 / 100].map(|rank| times.get(rank).copied().unwrap_or(f64::NAN) * 1e3);
    report.row(what, format!("{middle:.1} ms"), &format!("of {REQUESTS}, p99 {slow:.1} ms"), bar);
}

/// Has wrk ask for everything at once, each time for something new.
fn load(functions: &Functions, kinds: &[(&str, String)], report: &mut Report) -> Result<()> {
    let base = functions.client().url("");
    let script = workspace().join("target/bench/load.lua");
    let paths: Vec<_> = kinds.iter().map(|(_, path)| format!("{path:?}")).collect();
    let prefix = reqwest::Url::parse(&base)?.path().to_owned();
    // Threads have scripts of their own, and numbers of their own by their address.
    let lua = format!(
        "local paths = {{{}}}\nlocal count = 0\nmath.randomseed(os.time() + tonumber(tostring({{}}):sub(8)) % 100000)\n\
         request = function()\n  count = count + 1\n\
         return wrk.format('GET', '{prefix}' .. paths[count % #paths + 1] .. '&percentiles=50,95,99.' .. \
         string.format('%06d', math.random(1, 999999)), {{['Accept-Encoding'] = 'gzip'}})\nend\n",
        paths.join(", ")
    );
    std::fs::write(&script, lua)?;
    let pid = function_pid()?;
    let memory = std::thread::spawn(move || -> Result<(f64, f64, f64)> {
        std::thread::sleep(LOAD / 3);
        let early = resident(pid, "VmRSS:")?;
        std::thread::sleep(LOAD / 2);
        Ok((early, resident(pid, "VmRSS:")?, resident(pid, "VmHWM:")?))
    });
    let mut wrk = Command::new("wrk");
    wrk.args([
        "-t2",
        &format!("-c{CONNECTIONS}"),
        &format!("-d{}s", LOAD.as_secs()),
        "--timeout",
        "10s",
        "--latency",
        "-s",
    ]);
    let output = wrk.arg(&script).arg(&base).output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "wrk failed: {said}{}", String::from_utf8_lossy(&output.stderr));
    let memory = memory.join().map_err(|_| anyhow::anyhow!("the watch over memory panicked"))??;
    let figure = |name: &str| {
        let line = said.lines().find_map(|line| line.trim().strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next()).map(str::to_owned)
    };
    let rate = figure("Requests/sec:").with_context(|| format!("wrk said no rate: {said}"))?;
    let slow = figure("99%").unwrap_or_default();
    let seconds = LOAD.as_secs();
    report.row(
        &format!("all of these at {CONNECTIONS} connections for {seconds} s"),
        format!("{rate} requests/s"),
        &format!("the function takes one at a time; p99 {slow}"),
        "–",
    );
    // "Socket errors: connect 0, read 0, write 0, timeout 0" and "Non-2xx or 3xx responses: 0", where there are any.
    let errors = said.lines().filter(|line| line.contains("Socket errors:") || line.contains("responses:"));
    let numbers = errors.filter_map(|line| line.split_once(':')).flat_map(|(_, rest)| rest.split([' ', ',']));
    report.row(
        "errors under load",
        numbers.filter_map(|word| word.parse::<u64>().ok()).sum::<u64>().to_string(),
        said.lines().find(|line| line.contains("requests in")).unwrap_or_default().trim(),
        "0",
    );
    let (early, late, peak) = memory;
    let detail = format!("resident after {} s {early:.0} MB, after {} s {late:.0} MB", seconds / 3, seconds * 5 / 6);
    report.row("the function's memory at its peak", format!("{peak:.0} MB"), &detail, "≤ 64 MB");
    Ok(())
}

/// The process of the function: the one that runs the program.
fn function_pid() -> Result<u32> {
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let program = std::fs::read_link(entry.path().join("exe")).unwrap_or_default();
        if program.file_name().is_some_and(|name| name == "stats") && is_ours(&entry.path()) {
            return Ok(pid);
        }
    }
    bail!("the function does not run")
}

/// Whether a process has the variable that only this benchmark sets.
fn is_ours(process: &Path) -> bool {
    let environment = std::fs::read(process.join("environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|variable| variable == b"WM_STATS_PREFIX=/benchmark")
}

/// A figure of a process's memory, in megabytes, as Linux tells it.
fn resident(pid: u32, name: &str) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).context("/proc/PID/status has another form")?;
    let kilobytes: f64 = line.trim().split(' ').next().unwrap_or_default().parse()?;
    Ok(kilobytes / 1e3)
}
