//! Where the brokers are: as configured, or as the control plane of Amazon MSK says.

use std::time::Duration;

use aws_config::{BehaviorVersion, timeout::TimeoutConfig};
use aws_sdk_kafka::{Client, error::DisplayErrorContext, operation::get_bootstrap_brokers::GetBootstrapBrokersOutput};

use crate::config::{Brokers, StreamConfig};

/// Without a route to the service (a VPC without NAT or endpoint) a call would hang until the function times out.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// For the whole call, retries included.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the brokers of a cluster are not known.
#[derive(Debug, thiserror::Error)]
pub enum BrokersError {
    /// The control plane did not answer, or refused.
    #[error("cannot get the brokers of WM_STREAM_CLUSTER_ARN {arn}: {reason}")]
    Call {
        /// The cluster.
        arn: String,
        /// What the AWS SDK says, with its causes.
        reason: String,
    },
    /// The cluster has no listener for the chosen protocol.
    #[error(
        "the cluster in WM_STREAM_CLUSTER_ARN offers no {protocol} brokers; check WM_STREAM_SSL. It offers {offered}"
    )]
    NoneOffered {
        /// The protocol that was asked for.
        protocol: &'static str,
        /// What it has instead.
        offered: String,
    },
}

/// The `host:port` list to connect to, from the configuration or from `kafka:GetBootstrapBrokers`.
///
/// # Errors
/// The cluster cannot be asked, or has no brokers for the protocol.
pub async fn bootstrap_servers(config: &StreamConfig) -> Result<String, BrokersError> {
    let arn = match &config.brokers {
        Brokers::Servers(servers) => return Ok(servers.clone()),
        Brokers::Cluster(arn) => arn,
    };
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_timeout(CALL_TIMEOUT).build();
    let sdk = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts).load().await;
    let answer = Client::new(&sdk).get_bootstrap_brokers().cluster_arn(arn).send().await;
    let answer = answer
        .map_err(|error| BrokersError::Call { arn: arn.clone(), reason: DisplayErrorContext(error).to_string() })?;
    choose(&answer, config.ssl.is_some())
}

/// The brokers for TLS or for plain text; private addresses before public ones, as the function may sit in the VPC.
fn choose(answer: &GetBootstrapBrokersOutput, tls: bool) -> Result<String, BrokersError> {
    let (protocol, candidates) = if tls {
        ("TLS", [answer.bootstrap_broker_string_tls(), answer.bootstrap_broker_string_public_tls()])
    } else {
        ("plaintext", [answer.bootstrap_broker_string(), None])
    };
    let chosen = candidates.into_iter().flatten().find(|servers| !servers.is_empty());
    chosen.map(str::to_owned).ok_or_else(|| BrokersError::NoneOffered { protocol, offered: offered(answer) })
}

fn offered(answer: &GetBootstrapBrokersOutput) -> String {
    let names = [
        ("plaintext", answer.bootstrap_broker_string()),
        ("TLS", answer.bootstrap_broker_string_tls()),
        ("public TLS", answer.bootstrap_broker_string_public_tls()),
        ("SASL/SCRAM", answer.bootstrap_broker_string_sasl_scram()),
        ("SASL/IAM", answer.bootstrap_broker_string_sasl_iam()),
    ];
    let names: Vec<_> = names.iter().filter(|(_, servers)| servers.is_some()).map(|(name, _)| *name).collect();
    if names.is_empty() { "none at all".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_brokers_are_those_of_the_protocol() {
        let answer = GetBootstrapBrokersOutput::builder()
            .bootstrap_broker_string("plain:9092")
            .bootstrap_broker_string_tls("tls:9094")
            .bootstrap_broker_string_public_tls("public:9194")
            .build();

        assert_eq!(choose(&answer, false).unwrap(), "plain:9092");
        assert_eq!(choose(&answer, true).unwrap(), "tls:9094");
    }

    #[test]
    fn a_cluster_without_brokers_for_the_protocol_is_an_error_that_says_what_it_has() {
        let answer = GetBootstrapBrokersOutput::builder().bootstrap_broker_string_sasl_iam("iam:9098").build();

        let error = choose(&answer, true).unwrap_err().to_string();
        assert!(error.contains("offers no TLS brokers") && error.contains("It offers SASL/IAM"), "{error}");
    }
}
