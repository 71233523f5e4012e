//! `cargo local --check FILE`: what is wrong with a file of monitors.

use std::{fs, path::Path, process::ExitCode};

use anyhow::{Result, anyhow};
use probe::monitors::{Defaults, secrets::NOT_HERE, source::MonitorsFile};
use shared::env::{Env, process};

/// Prints what is wrong, a line each, or that nothing is.
pub(crate) fn run(file: &Path) -> ExitCode {
    match check(file) {
        Ok(good) => {
            println!("{good}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn check(file: &Path) -> Result<String> {
    let name = file.display().to_string();
    let text = read(file).map_err(|error| anyhow!("{name}:{error}"))?;
    let mut env = Env::new(&process);
    let defaults = Defaults::from_env(&mut env);
    let defaults = env.finish(defaults)?;
    let file = MonitorsFile::new(name.clone(), text, &process);
    let monitors =
        file.read(&defaults, |_| Ok(NOT_HERE.to_owned())).map_err(|mistakes| anyhow!("{}", mistakes.join("\n")))?;
    let (enabled, disabled) = (monitors.enabled.len(), monitors.disabled.len());
    let mut good = format!("{name} is good: {enabled} to be probed, {disabled} not enabled");
    for reference in file.outside() {
        good += &format!("\n  ${{{reference}}} can be resolved in AWS only");
    }
    Ok(good)
}

/// The text of a file, or where it is none.
fn read(file: &Path) -> Result<String, String> {
    let bytes = fs::read(file).map_err(|error| format!(" {error}"))?;
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let good = String::from_utf8_lossy(error.as_bytes().get(..good).unwrap_or_default()).into_owned();
        let (line, column) =
            (good.matches('\n').count() + 1, good.chars().rev().take_while(|character| *character != '\n').count() + 1);
        format!("{line}:{column}: this is not UTF-8: save the file as UTF-8")
    })
}
