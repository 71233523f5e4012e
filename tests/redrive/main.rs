//! `cargo redrive`: what could not be stored, once more.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use flush::{
    Flush, FlushConfig,
    redrive::{Redriven, redrive},
};
use indicatif::{ProgressBar, ProgressStyle};
use shared::env::process;

/// Hands what is in `rejects` to flush again, when what was wrong is mended, and deletes what is stored then. What is refused
/// again stays. May be stopped, and begun again; may run while flush goes on.
///
/// Reads the variables of flush; here they have to lead to the owner of the tables, since flush may not delete rejects.
#[derive(Parser)]
#[command(name = "cargo redrive", bin_name = "cargo redrive")]
struct Arguments {
    /// Only those whose reason is like this, as SQL has it: % is anything.
    #[arg(long, value_name = "PATTERN", default_value = "%", hide_default_value = true)]
    reason: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<()> {
    let flush = Flush::new(FlushConfig::from_env(&process)?);
    let bar = ProgressBar::new_spinner().with_style(ProgressStyle::with_template("{spinner} {pos} rejects tried")?);
    let observe = |redriven: &Redriven| bar.set_position(redriven.tried as u64);
    let Redriven { tried, stored, duplicates, refused, reason } = redrive(&flush, &arguments.reason, observe).await?;
    bar.finish_and_clear();
    println!("{tried} rejects tried: {stored} stored, {duplicates} duplicates, {refused} refused again");
    if let Some(reason) = reason {
        println!("the first because {reason}");
    }
    Ok(())
}
