//! Kafka with TLS, by each way to say who one is, through the whole pipeline.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use local_stack::{
    authority::Authority,
    event_source::{self, Delivery, EventSourceConfig},
    kafka::{
        Kafka, Stream, create_topic,
        secured::{Listeners, PASSWORD, USER},
    },
    website::Website,
};
use probe::stream::{Connection, StreamConfig};
use serde_json::{Value, json};
use shared::{env::Env, timestamp};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    aws::Aws,
    support::{Place, directory, example, lookup},
};

pub(crate) type Variables = Vec<(&'static str, String)>;

/// Longer than any of these takes; what is awaited ends sooner.
pub(crate) const BUDGET: Duration = Duration::from_secs(60);

/// A broker of its own for these tests, and whose certificates it has.
pub(crate) struct Secured {
    pub(crate) kafka: Kafka,
    pub(crate) listeners: Listeners,
    authority: Authority,
}

pub(crate) async fn secured() -> &'static Secured {
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
    pub(crate) fn tls(&self, port: u16) -> Variables {
        let ca = directory("services").join("secured-kafka").join("ca.pem");
        vec![
            ("WM_STREAM_BOOTSTRAP_SERVER", format!("localhost:{port}")),
            ("WM_STREAM_SSL", "true".to_owned()),
            ("WM_STREAM_SSL_CA_FILE", ca.display().to_string()),
        ]
    }

    pub(crate) fn user(&self, port: u16, mechanism: &str, name: &str, password: &str) -> Variables {
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
pub(crate) async fn authorization_server() -> String {
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
