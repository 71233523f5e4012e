//! Kafka with TLS, by each way to say who one is, through the whole pipeline; and what an invocation says when it is not
//! let in.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use local_stack::{
    authority::Authority,
    event_source::{self, Delivery, EventSourceConfig},
    kafka::{
        Kafka, Stream, create_topic,
        secured::{Listeners, PASSWORD, STRANGER, USER},
    },
    website::Website,
};
use probe::{
    Probe, ProbeConfig,
    input::Tick,
    run,
    stream::{Connection, StreamConfig},
};
use rdkafka::{
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer as _},
};
use serde_json::{Value, json};
use shared::{env::Env, timestamp};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    aws::Aws,
    support::{Place, directory, example, lookup, until},
};

type Variables = Vec<(&'static str, String)>;

/// Longer than any of these takes; what is awaited ends sooner.
const BUDGET: Duration = Duration::from_secs(60);

/// A broker of its own for these tests, and whose certificates it has.
struct Secured {
    kafka: Kafka,
    listeners: Listeners,
    authority: Authority,
}

async fn secured() -> &'static Secured {
    static SECURED: OnceLock<Secured> = OnceLock::new();
    let start = || {
        let authority = Authority::new().unwrap();
        let kafka = Kafka::start_secured(&directory("services").join("secured-kafka"), &authority).unwrap();
        Secured { listeners: kafka.listeners().unwrap(), kafka, authority }
    };
    tokio::task::spawn_blocking(move || SECURED.get_or_init(start)).await.unwrap()
}

impl Secured {
    /// The variables that lead to a listener, with the CA in a file.
    fn tls(&self, port: u16) -> Variables {
        let ca = directory("services").join("secured-kafka").join("ca.pem");
        vec![
            ("WM_STREAM_BOOTSTRAP_SERVER", format!("localhost:{port}")),
            ("WM_STREAM_SSL", "true".to_owned()),
            ("WM_STREAM_SSL_CA_FILE", ca.display().to_string()),
        ]
    }

    fn user(&self, port: u16, mechanism: &str, name: &str, password: &str) -> Variables {
        let mut variables = self.tls(port);
        variables.extend([
            ("WM_STREAM_SASL_MECHANISM", mechanism.to_owned()),
            ("WM_STREAM_SASL_USERNAME", name.to_owned()),
            ("WM_STREAM_SASL_PASSWORD", password.to_owned()),
        ]);
        variables
    }
}

/// A certificate of ours as Lambda's trigger takes it from a secret.
fn certificate(secured: &Secured) -> String {
    let issued = secured.authority.issue(USER, false).unwrap();
    json!({"certificate": issued.certificate, "privateKey": issued.key}).to_string()
}

/// Probes a page through the real functions, has the event source deliver the record, and asks stats for it.
async fn passes(name: &'static str, stream: Variables, functions: Variables) {
    let place = Place::new(name).await;
    create_topic(&secured().await.kafka.stream(), name, 2).await.unwrap();
    let website = Website::start(0).await.unwrap();
    let url = website.url("/fast");
    let functions = place.functions(&functions).await;
    let mut variables = stream;
    variables.push(("WM_STREAM_TOPIC", name.to_owned()));
    let stream = Stream::new(Connection::open(&stream_config(variables)).await.unwrap());
    let (source, invoking) = (EventSourceConfig::new(stream, name, "flush"), functions.client().clone());
    let (told, mut deliveries) = tokio::sync::mpsc::unbounded_channel();
    let source = tokio::spawn(async move {
        let observe = |delivery: Delivery<'_>| match delivery {
            Delivery::Done(answer) => told.send(answer.clone()).unwrap_or_default(),
            Delivery::Failed(error) => panic!("{error}"),
            Delivery::Trouble(_) => {}
        };
        event_source::run(&source, &invoking, observe).await.unwrap();
    });

    let summary = functions.client().invoke("probe", &json!({"url": url})).await.unwrap();
    assert_eq!((&summary["up"], &summary["published"]), (&json!(1), &json!(1)));
    let stored: Value = tokio::time::timeout(BUDGET, deliveries.recv()).await.unwrap().unwrap();
    source.abort();

    assert_eq!((&stored["received"], &stored["stored"]), (&json!(1), &json!(1)));
    let report = functions.client().stats_of(std::slice::from_ref(&url)).await.unwrap();
    assert_eq!(report.stats[0].figures.probes, 1);
}

fn stream_config(variables: Variables) -> StreamConfig {
    let lookup = lookup(variables);
    let mut env = Env::new(&lookup);
    let config = StreamConfig::from_env(&mut env);
    env.finish(config).unwrap()
}

#[tokio::test]
async fn records_pass_where_a_certificate_says_who_we_are() {
    let secured = secured().await;
    let aws = Aws::start().await;
    let secrets = [
        ("WM_STREAM_SECRET_ARN", aws.keep("kafka-certificate", &certificate(secured))),
        ("WM_STREAM_CA_SECRET_ARN", aws.keep("kafka-ca", &json!({"certificate": secured.authority.pem()}).to_string())),
    ];
    let mut stream = secured.tls(secured.listeners.mtls);
    let issued = secured.authority.issue(USER, false).unwrap();
    for (name, text) in [("WM_STREAM_SSL_CERT_FILE", issued.certificate), ("WM_STREAM_SSL_KEY_FILE", issued.key)] {
        let file = directory("services").join(format!("{name}.pem"));
        std::fs::write(&file, text).unwrap();
        stream.push((name, file.display().to_string()));
    }
    // probe reads them from secrets, the event source from files.
    let functions = [&secured.tls(secured.listeners.mtls)[..2], &aws.variables(), &secrets].concat();

    passes("securing_mtls", stream, functions).await;

    assert_eq!(aws.asked(&secrets[0].1), 1);
}

#[tokio::test]
async fn records_pass_where_a_password_says_who_we_are() {
    let secured = secured().await;
    let aws = Aws::start().await;
    let secret = aws.keep("kafka-user", &json!({"username": USER, "password": PASSWORD}).to_string());
    let ca = aws.keep("kafka-ca", &secured.authority.pem());
    let stream = secured.user(secured.listeners.scram, "SCRAM-SHA-512", USER, PASSWORD);
    let functions = [
        &secured.tls(secured.listeners.scram)[..2],
        &aws.variables(),
        &[
            ("WM_STREAM_SASL_MECHANISM", "SCRAM-SHA-512".to_owned()),
            ("WM_STREAM_SECRET_ARN", secret),
            ("WM_STREAM_CA_SECRET_ARN", ca),
        ],
    ]
    .concat();

    passes("securing_scram", stream, functions).await;
}

#[tokio::test]
async fn records_pass_where_a_plain_password_says_who_we_are() {
    let secured = secured().await;
    let variables = secured.user(secured.listeners.plain, "PLAIN", USER, PASSWORD);

    passes("securing_plain", variables.clone(), variables).await;
}

// Who issues tokens answers while the consumer waits for one.
#[tokio::test(flavor = "multi_thread")]
async fn records_pass_where_a_token_says_who_we_are() {
    let secured = secured().await;
    let endpoint = authorization_server().await;
    let mut variables = secured.user(secured.listeners.oauth, "OAUTHBEARER", USER, PASSWORD);
    variables.extend([("WM_STREAM_SASL_TOKEN_ENDPOINT", endpoint), ("WM_STREAM_SASL_SCOPE", "kafka".to_owned())]);

    passes("securing_token", variables.clone(), variables).await;
}

/// Issues tokens to whoever knows the password (RFC 6749, 4.4), which are good for ten minutes and signed by nobody.
async fn authorization_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let basic = base64::prelude::BASE64_STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let expected = Arc::new(format!("authorization: Basic {basic}"));
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let expected = Arc::clone(&expected);
            tokio::spawn(async move {
                let mut request = Vec::new();
                let whole = "grant_type=client_credentials&scope=kafka";
                while !request.ends_with(whole.as_bytes()) && connection.read_buf(&mut request).await.unwrap() > 0 {}
                let request = String::from_utf8(request).unwrap();
                let known = request.starts_with("POST /token ") && request.contains(expected.as_str());
                let now = timestamp::now().as_second();
                let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
                let claims = json!({"sub": USER, "iat": now, "exp": now + 600, "scope": "kafka"});
                let token = format!("{}.{}.", part(json!({"alg": "none"})), part(claims));
                let (status, answer) = match known {
                    true => ("200 OK", json!({"access_token": token, "token_type": "Bearer", "expires_in": 600})),
                    false => ("401 Unauthorized", json!({"error": "invalid_client"})),
                };
                let answer = answer.to_string();
                let head =
                    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", answer.len());
                connection.write_all((head + &answer).as_bytes()).await.unwrap_or_default();
            });
        }
    });
    format!("http://{address}/token")
}

#[tokio::test]
async fn the_local_stack_takes_a_kafka_with_tls_and_a_password() {
    let secured = secured().await;
    let place = Place::new("securing_local").await;
    let website = Website::start(0).await.unwrap();
    let mut variables = secured.user(secured.listeners.scram, "SCRAM-SHA-512", USER, PASSWORD);
    variables.extend([
        ("WM_STREAM_TOPIC", "securing_local".to_owned()),
        ("WM_DB_CONNECTION_STRING", place.connection_string.clone()),
    ]);
    let mut local = example("local");
    local.args(["--probes", "2", "--interval", "1s", &website.url("/fast"), "--directory"]);
    local.arg(directory("securing_local")).envs(variables);

    let output = tokio::task::spawn_blocking(move || local.output()).await.unwrap().unwrap();

    let answer: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(answer["stats"][0]["probes"], 2);
}

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
    says(&forbidden, &["may not write to WM_STREAM_TOPIC \"securing_forbidden\""]);

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
