//! `cargo migrate`: the schema of the database, brought up to date by whoever owns it.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use shared::{
    database::DatabaseConfig,
    env::{Env, process},
    migrations,
};

/// Makes the tables and the roles website_monitor_writer and website_monitor_reader, or brings them up to date.
///
/// For a database in which the user of flush is not the owner of the tables. Reads WM_DB_CONNECTION_STRING, or
/// WM_DB_SECRET_ARN, and what else flush reads of its connection; here it has to lead to the owner.
#[derive(Parser)]
#[command(name = "cargo migrate", bin_name = "cargo migrate")]
struct Arguments {}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments {} = Arguments::parse();
    match run().await {
        Ok(version) => {
            println!("the schema has version {version}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<usize> {
    let mut env = Env::new(&process);
    let database = DatabaseConfig::from_env(&mut env);
    let database = env.finish(database)?;
    Ok(migrations::run(&mut database.connect().await?).await?)
}
