//! What an invocation says when Kafka does not let it in, or is not whom it is to trust; and what mends itself.

use std::time::Instant;

use local_stack::{
    authority::Authority,
    kafka::{
        create_topic,
        secured::{PASSWORD, STRANGER, USER},
    },
    website::Website,
};
use probe::{Probe, ProbeConfig, input::Tick, run};
use rdkafka::{
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer as _},
};
use serde_json::json;

use crate::{
    aws::Aws,
    securing::{BUDGET, Variables, authorization_server, secured},
    support::{Place, directory, lookup, until},
};

/// The error of an invocation that probes one page, with these variables.
async fn refused(variables: Variables, topic: &str) -> String {
    let website = Website::start(0).await.unwrap();
    let mut all = vec![
        ("WM_STREAM_TOPIC", topic.to_owned()),
        ("WM_URL", website.url("/fast")),
        ("WM_ALLOW_PRIVATE_TARGETS", "true".to_owned()),
        ("WM_PROBE_SPREAD", "0s".to_owned()),
    ];
    all.extend(variables);
    let probe = Probe::new(ProbeConfig::from_env(&lookup(all)).unwrap()).unwrap();
    let tick = Tick::of_urls(&[website.url("/fast")]);
    let started = Instant::now();
    let error = run(&probe, tick, BUDGET).await.unwrap_err().to_string();
    assert!(started.elapsed() < BUDGET, "{error}");
    error
}

/// Asserts that an error has each of these, and no password.
fn says(error: &str, expected: &[&str]) {
    for expected in expected {
        assert!(error.contains(expected), "{expected} is not in {error}");
    }
    assert!(!error.contains("wrong-horse") && !error.contains(PASSWORD), "{error}");
}

#[tokio::test]
async fn a_broker_whose_certificate_is_not_as_it_should_be_is_refused() {
    let secured = secured().await;
    let listeners = secured.listeners;
    let other = directory("services").join("other-ca.pem");
    Authority::new().unwrap().write(&other).unwrap();
    let mut wrong_ca = secured.tls(listeners.mtls);
    wrong_ca.push(("WM_STREAM_SSL_CA_FILE", other.display().to_string()));
    let no_ca = secured.tls(listeners.mtls)[..2].to_vec();

    let (wrong_ca, no_ca, other_name, expired) = tokio::join!(
        refused(wrong_ca, "t"),
        refused(no_ca, "t"),
        refused(secured.tls(listeners.other_name), "t"),
        refused(secured.tls(listeners.expired), "t"),
    );

    says(&wrong_ca, &["certificate verify failed", "not of a CA in WM_STREAM_SSL_CA_FILE"]);
    says(&no_ca, &["certificate verify failed", "WM_STREAM_CA_SECRET_ARN is for a private one"]);
    says(&other_name, &["is not for the name in WM_STREAM_BOOTSTRAP_SERVER"]);
    says(&expired, &["has run out"]);
}

#[tokio::test]
async fn whoever_is_not_let_in_is_told_which_setting_says_who_we_are() {
    let secured = secured().await;
    let listeners = secured.listeners;
    let oauth = secured.user(listeners.oauth, "OAUTHBEARER", USER, "wrong-horse");
    let endpoint = ("WM_STREAM_SASL_TOKEN_ENDPOINT", authorization_server().await);
    let scope = ("WM_STREAM_SASL_SCOPE", "kafka".to_owned());

    let (nobody, scram, plain, token, mechanism) = tokio::join!(
        refused(secured.tls(listeners.mtls), "t"),
        refused(secured.user(listeners.scram, "SCRAM-SHA-512", USER, "wrong-horse"), "t"),
        refused(secured.user(listeners.plain, "PLAIN", USER, "wrong-horse"), "t"),
        refused([oauth, vec![endpoint, scope]].concat(), "t"),
        refused(secured.user(listeners.scram, "PLAIN", USER, PASSWORD), "t"),
    );

    says(&nobody, &["the brokers want to know who we are", "WM_STREAM_SSL_CERT_FILE"]);
    for error in [&scram, &plain] {
        says(error, &["check WM_STREAM_SASL_USERNAME, WM_STREAM_SASL_PASSWORD"]);
    }
    says(
        &token,
        &["WM_STREAM_SASL_TOKEN_ENDPOINT", "401 Unauthorized invalid_client", "check the name and the password"],
    );
    says(&mechanism, &["do not take this WM_STREAM_SASL_MECHANISM"]);
}

#[tokio::test]
async fn what_is_missing_or_not_allowed_is_told_by_name() {
    let secured = secured().await;
    let scram = secured.listeners.scram;
    create_topic(&secured.kafka.stream(), "securing_forbidden", 1).await.unwrap();
    let plain_text = vec![("WM_STREAM_BOOTSTRAP_SERVER", format!("localhost:{scram}"))];
    let mut tls_to_plain_text = secured.tls(0);
    tls_to_plain_text.push(("WM_STREAM_BOOTSTRAP_SERVER", secured.kafka.stream().bootstrap_server));

    let (topic, rights, plain_text, tls) = tokio::join!(
        refused(secured.user(scram, "SCRAM-SHA-512", USER, PASSWORD), "securing_missing"),
        refused(secured.user(scram, "SCRAM-SHA-512", STRANGER, PASSWORD), "securing_forbidden"),
        refused(plain_text, "securing_forbidden"),
        refused(tls_to_plain_text, "securing_forbidden"),
    );

    says(&topic, &["Unknown topic", "WM_STREAM_TOPIC is \"securing_missing\""]);
    says(&rights, &["WM_STREAM_TOPIC \"securing_forbidden\"", "allow Describe and Write"]);
    says(&plain_text, &["WM_STREAM_SSL"]);
    says(&tls, &["WM_STREAM_BOOTSTRAP_SERVER", "WM_STREAM_SSL is what that port speaks"]);
}

#[tokio::test]
async fn a_topic_that_is_missing_is_made_where_it_is_said_how() {
    let secured = secured().await;
    let website = Website::start(0).await.unwrap();
    let user = |name: &str| {
        let mut variables = secured.user(secured.listeners.scram, "SCRAM-SHA-512", name, PASSWORD);
        variables.push(("WM_STREAM_TOPIC_PARTITIONS", "3".to_owned()));
        variables
    };
    let forbidden = refused(user(STRANGER), "securing_forbidden").await;
    // To that topic, or at all: the broker may be asked for either first.
    says(&forbidden, &["may not write"]);

    let mut variables = user(USER);
    variables.extend([
        ("WM_STREAM_TOPIC", "securing_made".to_owned()),
        ("WM_URL", website.url("/fast")),
        ("WM_ALLOW_PRIVATE_TARGETS", "true".to_owned()),
    ]);
    // The second one finds it.
    for _ in 0..2 {
        let probe = Probe::new(ProbeConfig::from_env(&lookup(variables.clone())).unwrap()).unwrap();
        assert_eq!(run(&probe, Tick::of_urls(&[website.url("/fast")]), BUDGET).await.unwrap().published, 1);
    }

    let client_config = secured.kafka.stream().client_config();
    let consumer: BaseConsumer = client_config.create().unwrap();
    let partitions = || {
        let metadata = consumer.fetch_metadata(Some("securing_made"), BUDGET).unwrap();
        metadata.topics()[0].partitions().len()
    };
    assert_eq!(partitions(), 3);

    // One that was deleted is made anew, once the client knows that it is gone.
    let probe = Probe::new(ProbeConfig::from_env(&lookup(variables)).unwrap()).unwrap();
    let tick = || Tick::of_urls(&[website.url("/fast")]);
    assert_eq!(run(&probe, tick(), BUDGET).await.unwrap().published, 1);
    let admin: AdminClient<DefaultClientContext> = client_config.create().unwrap();
    admin.delete_topics(&["securing_made"], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
    until("the topic is gone", async || partitions() == 0).await;
    assert!(run(&probe, tick(), BUDGET).await.is_err());
    let mut later = Vec::new();
    while later.len() < 3 && later.last() != Some(&1) {
        later.push(run(&probe, tick(), BUDGET).await.map_or(0, |summary| summary.published));
    }
    assert_eq!(later.last(), Some(&1), "{later:?}");
}

#[tokio::test]
async fn a_password_that_was_rotated_is_found_in_its_secret() {
    let secured = secured().await;
    let place = Place::new("securing_rotated").await;
    create_topic(&secured.kafka.stream(), &place.name, 1).await.unwrap();
    let website = Website::start(0).await.unwrap();
    let aws = Aws::start().await;
    let keep = |password: &str| aws.keep("rotated", &json!({"username": USER, "password": password}).to_string());
    let variables = [
        &secured.tls(secured.listeners.scram)[..],
        &aws.variables(),
        &[("WM_STREAM_SASL_MECHANISM", "SCRAM-SHA-512".to_owned()), ("WM_STREAM_SECRET_ARN", keep("wrong-horse"))],
    ]
    .concat();
    let functions = place.functions(&variables).await;
    let probe = async || functions.client().invoke("probe", &json!({"url": website.url("/fast")})).await;

    let error = probe().await.unwrap_err().to_string();
    assert!(error.contains("check the secret of WM_STREAM_SECRET_ARN"), "{error}");
    let arn = keep(PASSWORD);
    for _ in 0..2 {
        assert_eq!(probe().await.unwrap()["published"], 1);
    }
    assert_eq!(aws.asked(&arn), 2);
}

#[tokio::test]
async fn a_secret_that_is_not_there_or_not_as_expected_is_told_by_name() {
    let secured = secured().await;
    let aws = Aws::start().await;
    let empty = aws.keep("kafka-user", &json!({"username": USER}).to_string());
    let missing = empty.replace("kafka-user", "no-such-secret");
    for (secret, expected) in [(empty, "has no field \"password\""), (missing, "there is no such secret")] {
        let place = Place::new(&format!("securing_secret_{}", expected.len())).await;
        let variables = [
            &secured.tls(secured.listeners.scram)[..],
            &aws.variables(),
            &[("WM_STREAM_SASL_MECHANISM", "SCRAM-SHA-512".to_owned()), ("WM_STREAM_SECRET_ARN", secret)],
        ]
        .concat();
        let functions = place.functions(&variables).await;

        let error =
            functions.client().invoke("probe", &json!({"url": "https://a.test"})).await.unwrap_err().to_string();

        assert!(error.contains("WM_STREAM_SECRET_ARN") && error.contains(expected), "{error}");
    }
}
