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

/// A Java that is new enough: `JAVA_HOME`'s or the PATH's.
///
/// # Errors
/// There is none, or only an older one.
pub fn java() -> Result<PathBuf> {
    let home = shared::env::process("JAVA_HOME").map(|home| Path::new(&home).join("bin/java"));
    let java = home.filter(|java| java.is_file()).or_else(|| on_path("java"));
    let missing = || missing(&format!("Java {JAVA} or later"), "openjdk-17-jre-headless", "openjdk");
    let java = java.ok_or_else(missing)?;
    // `java -version` prints: openjdk version "17.0.15" 2025-04-15
    let output = Command::new(&java).arg("-version").output()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let version = text.split('"').nth(1).and_then(|version| version.split(['.', '-']).next()?.parse().ok());
    if version.is_some_and(|version: u32| version >= JAVA) { Ok(java) } else { Err(missing()) }
}

/// The directory of Kafka's jars, resolved by Maven the first time.
///
/// # Errors
/// Maven is missing or cannot resolve them.
pub fn kafka_jars() -> Result<PathBuf> {
    let pom = workspace().join("tests/kafka/pom.xml");
    // A changed pom is another set of jars.
    let version: u64 =
        fs::read(&pom)?.iter().fold(0, |hash: u64, byte| hash.wrapping_mul(31).wrapping_add((*byte).into()));
    fetched(&format!("kafka-{version:x}"), |directory| {
        let maven = on_path("mvn").ok_or_else(|| missing("Maven", "maven", "maven"))?;
        let mut command = Command::new(maven);
        command.args(["-q", "-B", "-f"]).arg(&pom).arg("dependency:copy-dependencies");
        command.arg(format!("-DoutputDirectory={}", directory.display()));
        service::run(&command, None).context("Maven cannot resolve the jars of Kafka")
    })
}

/// cargo-lambda from the PATH, or its wheel from PyPI.
///
/// # Errors
/// It is on no PATH and cannot be fetched.
pub fn cargo_lambda() -> Result<PathBuf> {
    if let Some(found) = on_path("cargo-lambda") {
        return Ok(found);
    }
    let directory = fetched("cargo-lambda", |directory| {
        let python = on_path("python3").ok_or_else(|| missing("Python 3", "python3-pip", "python"))?;
        let mut pip = Command::new(python);
        pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--target"]).arg(directory).arg(CARGO_LAMBDA);
        service::run(&pip, None).with_context(|| missing("cargo-lambda", "python3-pip", "cargo-lambda"))
    })?;
    Ok(directory.join("bin/cargo-lambda"))
}

/// `target/tools/<name>`, filled by `fetch` if it is not there. A fetch that is cut off leaves nothing that looks
/// whole, and two that start at once do the work once.
fn fetched(name: &str, fetch: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let tools = workspace().join("target/tools");
    let directory = tools.join(name);
    if directory.is_dir() {
        return Ok(directory);
    }
    fs::create_dir_all(&tools)?;
    let lock = File::create(tools.join(format!("{name}.lock")))?;
    lock.lock()?;
    if !directory.is_dir() {
        let partial = tools.join(format!("{name}.partial"));
        let _ = fs::remove_dir_all(&partial);
        fetch(&partial)?;
        fs::rename(&partial, &directory)?;
    }
    Ok(directory)
}
