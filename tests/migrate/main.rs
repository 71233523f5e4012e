//! `cargo migrate`: the schema of the database, brought up to date by whoever owns it.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use local_stack::repair::{Repaired, repair_schedules};
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
struct Arguments {
    /// Moves the start of each schedule to its first probe.
    ///
    /// Use it if coverage expects far more slots than there were. Earlier builds of flush stored wrong slots, so schedules
    /// start long before their first probe. Batches of flush that store settings wait until it is done.
    #[arg(long)]
    repair_schedules: bool,
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
    let mut env = Env::new(&process);
    let database = DatabaseConfig::from_env(&mut env);
    let mut client = env.finish(database)?.connect().await?;
    let version = migrations::run(&mut client).await?;
    println!("the schema has version {version}");
    if arguments.repair_schedules {
        let Repaired { schedules, moved, removed } = repair_schedules(&mut client).await?;
        println!(
            "checked {schedules} schedules: {moved} schedules now begin at their first probe; {removed} schedules without a \
             probe were removed"
        );
    }
    Ok(())
}
