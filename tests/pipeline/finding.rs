//! The brokers of an MSK cluster, as its control plane tells of them.

use local_stack::website::Website;
use serde_json::{Value, json};

use crate::{
    aws::{Aws, CLUSTER},
    support::Place,
};

/// What probe finds in its environment when it is to ask for the brokers.
fn variables(aws: &Aws) -> Vec<(&'static str, String)> {
    let mut variables = aws.variables();
    variables.extend([
        ("WM_STREAM_BOOTSTRAP_SERVER", String::new()),
        ("WM_STREAM_CLUSTER_ARN", CLUSTER.to_owned()),
        // That of the cluster counts, which its ARN says.
        ("AWS_REGION", "us-east-1".to_owned()),
    ]);
    variables
}

/// What an invocation says that cannot find its brokers.
async fn fails(name: &str, status: u16, answer: Value, more: &[(&'static str, String)]) -> String {
    let place = Place::new(name).await;
    let aws = Aws::start().await;
    aws.answer(status, answer);
    let functions = place.functions(&[&variables(&aws), more].concat()).await;
    functions.client().invoke("probe", &json!({"url": "https://a.test"})).await.unwrap_err().to_string()
}

#[tokio::test]
async fn the_brokers_of_a_cluster_come_from_its_control_plane_which_may_be_busy_at_first() {
    let place = Place::new("finding_cluster").await;
    let website = Website::start(0).await.unwrap();
    let aws = Aws::start().await;
    aws.answer(429, json!({"__type": "TooManyRequestsException", "message": "later"}));
    aws.answer(200, json!({"bootstrapBrokerString": place.stream.bootstrap_server}));
    let functions = place.functions(&variables(&aws)).await;

    for _ in 0..2 {
        let summary = functions.client().invoke("probe", &json!({"url": website.url("/fast")})).await.unwrap();
        assert_eq!(summary["published"], 1);
    }

    // Once refused, once answered, and never again for a warm function.
    assert_eq!(aws.asked(CLUSTER), 2);
}

#[tokio::test]
async fn a_cluster_that_may_not_be_asked_is_an_error_that_names_the_variable() {
    let answer =
        json!({"__type": "ForbiddenException", "message": "not authorized to perform kafka:GetBootstrapBrokers"});

    let error = fails("finding_forbidden", 403, answer, &[]).await;

    assert!(error.contains("WM_STREAM_CLUSTER_ARN") && error.contains("kafka:GetBootstrapBrokers"), "{error}");
}

#[tokio::test]
async fn a_cluster_without_brokers_for_us_is_an_error_that_says_what_it_has() {
    let answer =
        json!({"bootstrapBrokerStringSaslIam": "b-1:9098", "bootstrapBrokerStringPublicTls": "b-1-public:9194"});
    let scram = [
        ("WM_STREAM_SSL", "true".to_owned()),
        ("WM_STREAM_SASL_MECHANISM", "SCRAM-SHA-512".to_owned()),
        ("WM_STREAM_SASL_USERNAME", "u".to_owned()),
        ("WM_STREAM_SASL_PASSWORD", "p".to_owned()),
    ];

    let error = fails("finding_none", 200, answer, &scram).await;

    assert!(error.contains("has no private brokers for SASL/SCRAM; check WM_STREAM_SSL"), "{error}");
    assert!(error.contains("It has: private SASL/IAM, public TLS"), "{error}");
}
