//! The Lambda function `probe`.

use std::process::ExitCode;

use lambda_runtime::{Error, LambdaEvent, run, service_fn, tracing};
use probe::{Probe, ProbeConfig, handle};
use shared::causes::causes;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    tracing::init_default_subscriber();
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("failed to run probe: {}", causes(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<(), Error> {
    let probe = &Probe::new(ProbeConfig::from_env(&shared::env::process)?)?;
    if let Err(error) = probe.connect().await {
        tracing::warn!("not connected to Kafka yet: {error}");
    }

    run(service_fn(async |event: LambdaEvent<_>| handle(probe, event).await)).await
}
