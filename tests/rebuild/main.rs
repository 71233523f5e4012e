//! `cargo rebuild`: a database made anew from the topic.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use flush::{Flush, FlushConfig};
use indicatif::{ProgressBar, ProgressStyle};
use local_stack::{
    kafka::Stream,
    rebuild::{self, Rebuilt},
};
use probe::stream::{Connection, StreamConfig};
use shared::env::{ConfigError, Env, process};

/// Reads the whole topic into a database, through flush, and seals what has ended. The database ends with the answers
/// that any other has that was filled from the same records.
///
/// Reads the variables of probe for Kafka (`WM_STREAM_…`), and those of flush. May be stopped, and begun again; may run while flush goes on.
#[derive(Parser)]
#[command(name = "cargo rebuild", bin_name = "cargo rebuild")]
struct Arguments {}

struct Config {
    stream: StreamConfig,
    flush: FlushConfig,
}

impl Config {
    fn from_env(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut env = Env::new(lookup);
        let stream = StreamConfig::from_env(&mut env);
        let flush = FlushConfig::read(&mut env);
        env.finish(Self { stream, flush })
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments {} = Arguments::parse();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let config = Config::from_env(&process)?;
    let style = ProgressStyle::with_template("{bar:30} {pos} of {len} records, {per_sec}, {eta} left {msg}")?;
    let bar = ProgressBar::new(0).with_style(style);
    let observe = |rebuilt: &Rebuilt| {
        bar.set_length(rebuilt.total.max(rebuilt.read));
        bar.set_position(rebuilt.read);
        if rebuilt.sealed > 0 {
            bar.set_message("sealing");
        }
    };
    let flush = Flush::new(config.flush);
    let stream = Stream::new(Connection::open(&config.stream).await?);
    let Rebuilt { read, stored, duplicates, rejected, .. } =
        rebuild::run(&stream, &config.stream.topic, &flush, observe).await?;
    bar.finish_and_clear();
    println!("{read} records read: {stored} stored, {duplicates} duplicates, {rejected} rejected");
    Ok(())
}
