//! Where the brokers are: as configured, or as the control plane of Amazon MSK says.

use aws_config::Region;
use aws_sdk_kafka::{
    Client, config::Builder, error::DisplayErrorContext, operation::get_bootstrap_brokers::GetBootstrapBrokersOutput,
};
use shared::aws;

use super::config::{Brokers, Identity, Network, Security, StreamConfig};

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
    /// The cluster has no listener for us.
    #[error(
        "the cluster in WM_STREAM_CLUSTER_ARN has no {network} brokers for {protocol}; check WM_STREAM_SSL, \
         WM_STREAM_SASL_MECHANISM and WM_STREAM_BROKERS. It has: {offered}"
    )]
    NoneOffered {
        /// The addresses that were asked for.
        network: &'static str,
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
    let (arn, network) = match &config.brokers {
        Brokers::Servers(servers) => return Ok(servers.clone()),
        Brokers::Cluster { arn, network } => (arn, *network),
    };
    let mut settings = Builder::from(&aws::sdk().await);
    settings.set_region(config.brokers.region().map(Region::new));
    let answer = Client::from_conf(settings.build()).get_bootstrap_brokers().cluster_arn(arn).send().await;
    let answer = answer
        .map_err(|error| BrokersError::Call { arn: arn.clone(), reason: DisplayErrorContext(error).to_string() })?;
    choose(&answer, network, Protocol::of(&config.security))
}

impl Brokers {
    /// The region of the cluster, which its ARN says: `arn:aws:kafka:REGION:…`.
    #[must_use]
    pub fn region(&self) -> Option<String> {
        match self {
            Self::Servers(_) => None,
            Self::Cluster { arn, .. } => arn.split(':').nth(3).filter(|region| !region.is_empty()).map(str::to_owned),
        }
    }
}

/// What a listener of a cluster speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Plaintext,
    Tls,
    Scram,
    Iam,
}

impl Protocol {
    fn of(security: &Security) -> Self {
        match (security.tls, &security.identity) {
            (false, _) => Self::Plaintext,
            (true, Identity::Anonymous | Identity::Certificate(_)) => Self::Tls,
            (true, Identity::User { .. } | Identity::Client { .. }) => Self::Scram,
            (true, Identity::Iam) => Self::Iam,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "plain text",
            Self::Tls => "TLS",
            Self::Scram => "SASL/SCRAM",
            Self::Iam => "SASL/IAM",
        }
    }
}

impl Network {
    fn name(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Vpc => "vpc",
            Self::Public => "public",
        }
    }
}

/// Every list of brokers that a cluster may have, the ones to prefer first.
fn lists(answer: &GetBootstrapBrokersOutput) -> [(Network, Protocol, Option<&str>); 14] {
    use Network::{Private, Public, Vpc};
    use Protocol::{Iam, Plaintext, Scram, Tls};
    [
        (Private, Plaintext, answer.bootstrap_broker_string()),
        (Private, Plaintext, answer.bootstrap_broker_string_ipv6()),
        (Private, Tls, answer.bootstrap_broker_string_tls()),
        (Private, Tls, answer.bootstrap_broker_string_tls_ipv6()),
        (Private, Scram, answer.bootstrap_broker_string_sasl_scram()),
        (Private, Scram, answer.bootstrap_broker_string_sasl_scram_ipv6()),
        (Private, Iam, answer.bootstrap_broker_string_sasl_iam()),
        (Private, Iam, answer.bootstrap_broker_string_sasl_iam_ipv6()),
        (Vpc, Tls, answer.bootstrap_broker_string_vpc_connectivity_tls()),
        (Vpc, Scram, answer.bootstrap_broker_string_vpc_connectivity_sasl_scram()),
        (Vpc, Iam, answer.bootstrap_broker_string_vpc_connectivity_sasl_iam()),
        (Public, Tls, answer.bootstrap_broker_string_public_tls()),
        (Public, Scram, answer.bootstrap_broker_string_public_sasl_scram()),
        (Public, Iam, answer.bootstrap_broker_string_public_sasl_iam()),
    ]
}

fn choose(answer: &GetBootstrapBrokersOutput, network: Network, protocol: Protocol) -> Result<String, BrokersError> {
    let offered = lists(answer).map(|(network, protocol, servers)| (network, protocol, servers.unwrap_or_default()));
    let offered = offered.iter().filter(|(_, _, servers)| !servers.is_empty());
    if let Some((_, _, servers)) = offered.clone().find(|(there, speaks, _)| (*there, *speaks) == (network, protocol)) {
        return Ok((*servers).to_owned());
    }
    let names: Vec<_> =
        offered.map(|(network, protocol, _)| format!("{} {}", network.name(), protocol.name())).collect();
    let offered = if names.is_empty() { "none at all".to_owned() } else { names.join(", ") };
    Err(BrokersError::NoneOffered { network: network.name(), protocol: protocol.name(), offered })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_brokers_are_those_of_the_network_and_the_protocol() {
        let answer = GetBootstrapBrokersOutput::builder()
            .bootstrap_broker_string("plain:9092")
            .bootstrap_broker_string_tls("tls:9094")
            .bootstrap_broker_string_sasl_scram("scram:9096")
            .bootstrap_broker_string_sasl_iam("iam:9098")
            .bootstrap_broker_string_vpc_connectivity_tls("vpc-tls:14001")
            .bootstrap_broker_string_vpc_connectivity_sasl_scram("vpc-scram:14001")
            .bootstrap_broker_string_vpc_connectivity_sasl_iam("vpc-iam:14001")
            .bootstrap_broker_string_public_tls("public-tls:9194")
            .bootstrap_broker_string_public_sasl_scram("public-scram:9196")
            .bootstrap_broker_string_public_sasl_iam("public-iam:9198")
            .bootstrap_broker_string_ipv6("plain6:9092")
            .bootstrap_broker_string_tls_ipv6("tls6:9094")
            .bootstrap_broker_string_sasl_scram_ipv6("scram6:9096")
            .bootstrap_broker_string_sasl_iam_ipv6("iam6:9098")
            .build();

        let expected = [
            (Network::Private, Protocol::Plaintext, "plain:9092"),
            (Network::Private, Protocol::Tls, "tls:9094"),
            (Network::Private, Protocol::Scram, "scram:9096"),
            (Network::Private, Protocol::Iam, "iam:9098"),
            (Network::Vpc, Protocol::Tls, "vpc-tls:14001"),
            (Network::Vpc, Protocol::Scram, "vpc-scram:14001"),
            (Network::Vpc, Protocol::Iam, "vpc-iam:14001"),
            (Network::Public, Protocol::Tls, "public-tls:9194"),
            (Network::Public, Protocol::Scram, "public-scram:9196"),
            (Network::Public, Protocol::Iam, "public-iam:9198"),
        ];
        for (network, protocol, servers) in expected {
            assert_eq!(choose(&answer, network, protocol).unwrap(), servers);
        }
        assert!(choose(&answer, Network::Public, Protocol::Plaintext).is_err());
    }

    #[test]
    fn addresses_of_ipv6_do_where_there_are_no_others() {
        let answer = GetBootstrapBrokersOutput::builder()
            .bootstrap_broker_string("")
            .bootstrap_broker_string_ipv6("plain6:9092")
            .bootstrap_broker_string_tls_ipv6("tls6:9094")
            .bootstrap_broker_string_sasl_scram_ipv6("scram6:9096")
            .bootstrap_broker_string_sasl_iam_ipv6("iam6:9098")
            .build();

        let servers = [Protocol::Plaintext, Protocol::Tls, Protocol::Scram, Protocol::Iam]
            .map(|protocol| choose(&answer, Network::Private, protocol).unwrap());
        assert_eq!(servers, ["plain6:9092", "tls6:9094", "scram6:9096", "iam6:9098"]);
    }

    #[test]
    fn a_cluster_without_brokers_for_us_is_an_error_that_says_what_it_has() {
        let answer = GetBootstrapBrokersOutput::builder()
            .bootstrap_broker_string_sasl_iam("iam:9098")
            .bootstrap_broker_string_public_sasl_scram("public-scram:9196")
            .build();

        let error = choose(&answer, Network::Private, Protocol::Tls).unwrap_err().to_string();
        assert!(error.contains("has no private brokers for TLS"), "{error}");
        assert!(error.contains("WM_STREAM_SASL_MECHANISM"), "{error}");
        assert!(error.ends_with("It has: private SASL/IAM, public SASL/SCRAM"), "{error}");
    }
}
