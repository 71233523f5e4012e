//! The Lambda function `stats`.

use std::process::ExitCode;

use lambda_runtime::{Error, LambdaEvent, run, service_fn, tracing};
use shared::causes::causes;
use stats::{Stats, StatsConfig, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    tracing::init_default_subscriber();
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("failed to run stats: {}", causes(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<(), Error> {
    let stats = &Stats::new(StatsConfig::from_env(&shared::env::process)?);

    run(service_fn(async |event: LambdaEvent<_>| handle(stats, event).await)).await
}
