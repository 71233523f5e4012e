//! The programs the stack is made of: found on this machine, or fetched into `target/tools`, or named in one line with
//! the command that installs them.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, anyhow};

use crate::{service, workspace};

/// The version that is fetched from PyPI where the PATH has none.
const CARGO_LAMBDA: &str = "cargo-lambda==1.9.2";
/// The same for the driver of the Python CLI.
const PSYCOPG2: &str = "psycopg2-binary==2.9.13";
/// The oldest Java that runs a Kafka broker.
const JAVA: u32 = 17;

/// What is missing, and how to get it on Debian/Ubuntu and on macOS.
fn missing(what: &str, apt: &str, brew: &str) -> anyhow::Error {
    anyhow!("{what} is missing; install it: sudo apt-get install {apt} (Debian, Ubuntu) or brew install {brew} (macOS)")
}

/// The first executable of that name in the directories of PATH.
#[must_use]
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = shared::env::process("PATH")?;
    path.split(':').map(|directory| Path::new(directory).join(name)).find(|file| file.is_file())
}

/// The directory of Postgres' server programs: of the newest version, where there are several.
///
/// # Errors
/// There are none.
pub fn postgres_binaries() -> Result<PathBuf> {
    let roots = ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt", "/usr"];
    let installed = roots.iter().filter_map(|root| fs::read_dir(root).ok()).flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = installed
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let version = name.trim_start_matches("postgresql@").trim_start_matches("pgsql-").parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, binaries)| binaries.join("initdb").is_file())
        .collect();
    versions.sort();
    let newest = versions.pop().map(|(_, binaries)| binaries);
    let on_path = || Some(fs::canonicalize(on_path("initdb")?).ok()?.parent()?.to_path_buf());
    newest.or_else(on_path).ok_or_else(|| missing("the Postgres server", "postgresql", "postgresql@17"))
}

/// PgBouncer, a pooler of connections to Postgres; for tests.
///
/// # Errors
/// It is missing.
pub fn pgbouncer() -> Result<PathBuf> {
    let directories = ["/usr/sbin/pgbouncer", "/opt/homebrew/bin/pgbouncer", "/usr/local/bin/pgbouncer"];
    let found = on_path("pgbouncer").or_else(|| directories.map(PathBuf::from).into_iter().find(|file| file.is_file()));
    found.ok_or_else(|| missing("PgBouncer", "pgbouncer", "pgbouncer"))
}

/// A Java that is new enough: `JAVA_HOME`'s or the PATH's.
///
/// # Errors
/// There is none, or only an older one.
pub fn java() -> Result<PathBuf> {
    let home = shared::env::process("JAVA_HOME").map(|home| Path::new(&home).join("bin/java"));
    // Homebrew keeps its own out of the PATH.
    let brewed = ["/opt/homebrew/opt/openjdk/bin/java", "/usr/local/opt/openjdk/bin/java"].map(PathBuf::from);
    let candidates = home.into_iter().chain(on_path("java")).chain(brewed);
    let mut new_enough = candidates.filter(|java| java_version(java).is_some_and(|version| version >= JAVA));
    new_enough.next().ok_or_else(|| missing(&format!("Java {JAVA} or later"), "default-jre-headless", "openjdk"))
}

/// The number in what `java -version` prints: openjdk version "17.0.15" 2025-04-15.
fn java_version(java: &Path) -> Option<u32> {
    let output = Command::new(java).arg("-version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.split('"').nth(1)?.split(['.', '-']).next()?.parse().ok()
}

/// Looks for everything that has to be on this machine, before anything takes its time.
///
/// # Errors
/// What is missing, a line each, with the command that installs it.
pub fn check(own_postgres: bool, own_kafka: bool) -> Result<()> {
    let postgres = own_postgres.then(|| postgres_binaries().map(drop));
    let kafka = own_kafka.then(|| java().map(drop));
    let maven = own_kafka.then(|| if kafka_directory()?.is_dir() { Ok(()) } else { maven().map(drop) });
    let lambda = on_path("cargo-lambda").is_none() && !tools_directory().join("cargo-lambda").is_dir();
    let python = lambda.then(|| python().map(drop));
    let missing = [postgres, kafka, maven, python].into_iter().flatten().filter_map(Result::err);
    let missing: Vec<String> = missing.map(|error| error.to_string()).collect();
    if missing.is_empty() { Ok(()) } else { Err(anyhow!(missing.join("\n"))) }
}

fn maven() -> Result<PathBuf> {
    on_path("mvn").ok_or_else(|| missing("Maven", "maven", "maven"))
}

/// A Python that has pip.
fn python() -> Result<PathBuf> {
    let python = on_path("python3").filter(|python| {
        let pip = Command::new(python).args(["-m", "pip", "--version"]).output();
        pip.is_ok_and(|output| output.status.success())
    });
    python.ok_or_else(|| missing("Python 3 with pip (to fetch Python packages)", "python3-pip", "python"))
}

/// The directory of Kafka's jars, resolved by Maven the first time.
///
/// # Errors
/// Maven is missing or cannot resolve them.
pub fn kafka_jars() -> Result<PathBuf> {
    fetched(&kafka_directory()?, |directory| {
        let mut command = Command::new(maven()?);
        command.args(["-q", "-B", "-f"]).arg(pom()).arg("dependency:copy-dependencies");
        command.arg(format!("-DoutputDirectory={}", directory.display()));
        service::run(&command, None).context("Maven cannot resolve the jars of Kafka")
    })
}

fn pom() -> PathBuf {
    workspace().join("tests/kafka/pom.xml")
}

/// Where the jars are; a changed pom is another set of jars.
fn kafka_directory() -> Result<PathBuf> {
    let pom = fs::read(pom())?;
    let hash = pom.iter().fold(0, |hash: u64, byte| hash.wrapping_mul(31).wrapping_add((*byte).into()));
    Ok(tools_directory().join(format!("kafka-{hash:x}")))
}

/// cargo-lambda from the PATH, or its wheel from PyPI.
///
/// # Errors
/// It is on no PATH and cannot be fetched.
pub fn cargo_lambda() -> Result<PathBuf> {
    if let Some(found) = on_path("cargo-lambda") {
        return Ok(found);
    }
    let directory = fetched(&tools_directory().join("cargo-lambda"), |directory| {
        let mut pip = Command::new(python()?);
        pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--target"]).arg(directory).arg(CARGO_LAMBDA);
        service::run(&pip, None).context("pip cannot fetch cargo-lambda")
    })?;
    Ok(directory.join("bin/cargo-lambda"))
}

/// A Python, and the directory with psycopg2, fetched the first time: the driver of the Python CLI `wm`, which the
/// benchmark compares with.
///
/// # Errors
/// There is no Python with pip, or pip cannot fetch it.
pub fn psycopg2() -> Result<(PathBuf, PathBuf)> {
    let python = python()?;
    let directory = fetched(&tools_directory().join(PSYCOPG2), |directory| {
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--target"]).arg(directory).arg(PSYCOPG2);
        service::run(&pip, None).context("pip cannot fetch psycopg2")
    })?;
    Ok((python, directory))
}

fn tools_directory() -> PathBuf {
    workspace().join("target/tools")
}

/// `directory`, filled by `fetch` if it is not there. A fetch that is cut off leaves nothing that looks whole, and two
/// that start at once do the work once.
fn fetched(directory: &Path, fetch: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    if !directory.is_dir() {
        fs::create_dir_all(tools_directory())?;
        let lock = File::create(directory.with_extension("lock"))?;
        lock.lock()?;
        if !directory.is_dir() {
            let partial = directory.with_extension("partial");
            let _ = fs::remove_dir_all(&partial);
            fetch(&partial)?;
            fs::rename(&partial, directory)?;
        }
    }
    Ok(directory.to_path_buf())
}
