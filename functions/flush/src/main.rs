//! The Lambda function `flush`.

use std::process::ExitCode;

use flush::{Flush, FlushConfig, handle};
use lambda_runtime::{Error, LambdaEvent, run, service_fn, tracing};
use shared::causes::causes;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    tracing::init_default_subscriber();
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("failed to run flush: {}", causes(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<(), Error> {
    let flush = &Flush::new(FlushConfig::from_env(&shared::env::process)?);

    run(service_fn(async |event: LambdaEvent<_>| handle(flush, event).await)).await
}
