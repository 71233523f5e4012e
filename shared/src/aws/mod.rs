//! What functions need of AWS itself: [`secret`]s, and signatures that stand in for passwords ([`mod@presign`]).

pub mod presign;
pub mod secret;

use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig, timeout::TimeoutConfig};

/// Without a route to the service (a VPC without NAT or endpoint) a call would hang until the function times out.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// For a whole call, retries included.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// The configuration of a client of AWS: region and credentials as everywhere from the environment, and little patience.
pub async fn sdk() -> SdkConfig {
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_timeout(CALL_TIMEOUT).build();
    aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts).load().await
}
