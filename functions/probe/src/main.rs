//! The Lambda function `probe`.

use lambda_runtime::{Error, LambdaEvent, run, service_fn, tracing};
use probe::{Probe, ProbeConfig, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();

    let probe = &Probe::new(ProbeConfig::from_env(&shared::env::process)?)?;
    if let Err(error) = probe.connect().await {
        tracing::warn!("not connected to Kafka yet: {error}");
    }

    run(service_fn(async |event: LambdaEvent<_>| handle(probe, event).await)).await
}
