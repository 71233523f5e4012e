//! The Lambda function `flush`.

use flush::{Flush, FlushConfig, handle};
use lambda_runtime::{Error, LambdaEvent, run, service_fn, tracing};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();

    let flush = &Flush::new(FlushConfig::from_env(&shared::env::process)?);

    run(service_fn(async |event: LambdaEvent<_>| handle(flush, event).await)).await
}
