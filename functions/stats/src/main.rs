//! The Lambda function `stats`.

use lambda_runtime::{Error, LambdaEvent, run, service_fn, tracing};
use stats::{Stats, StatsConfig, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();

    let stats = &Stats::new(StatsConfig::from_env(&shared::env::process)?);

    run(service_fn(async |event: LambdaEvent<_>| handle(stats, event).await)).await
}
