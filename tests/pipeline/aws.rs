//! The services of AWS that functions call, as far as they call them, on a port of this machine: `GetSecretValue`
//! (<https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html>) and `GetBootstrapBrokers`
//! (<https://docs.aws.amazon.com/msk/1.0/apireference/clusters-clusterarn-bootstrap-brokers.html>).

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// The cluster that is asked for.
pub(crate) const CLUSTER: &str = "arn:aws:kafka:eu-west-1:123456789012:cluster/demo/0f1e2d3c-2";

/// The services.
#[derive(Clone)]
pub(crate) struct Aws {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    secrets: BTreeMap<String, String>,
    /// What is answered about brokers, one after the other, the last for ever.
    brokers: VecDeque<(u16, Value)>,
    asked: BTreeMap<String, usize>,
}

impl Aws {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let aws = Self { address: listener.local_addr().unwrap(), state: Arc::default() };
        let serving = aws.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(connection));
            }
        });
        aws
    }

    /// What functions find in their environment.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let url = format!("http://{}", self.address);
        vec![
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", url.clone()),
            ("AWS_ENDPOINT_URL_KAFKA", url),
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "not-a-secret".to_owned()),
            ("AWS_REGION", "eu-west-1".to_owned()),
        ]
    }

    /// Keeps a secret, in place of the one of that name; returns its ARN.
    pub(crate) fn keep(&self, name: &str, text: &str) -> String {
        let arn = format!("arn:aws:secretsmanager:eu-west-1:123456789012:secret:{name}");
        self.state.lock().unwrap().secrets.insert(arn.clone(), text.to_owned());
        arn
    }

    /// What is answered next about the brokers of [`CLUSTER`].
    pub(crate) fn answer(&self, status: u16, answer: Value) {
        self.state.lock().unwrap().brokers.push_back((status, answer));
    }

    /// How often a secret or the cluster was asked for.
    pub(crate) fn asked(&self, arn: &str) -> usize {
        self.state.lock().unwrap().asked.get(arn).copied().unwrap_or_default()
    }

    async fn serve(self, mut connection: TcpStream) {
        let mut request = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&request);
            let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
                let head = head.to_ascii_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
                body.len() >= length.unwrap_or_default()
            });
            if whole {
                break;
            }
            if connection.read_buf(&mut request).await.unwrap_or_default() == 0 {
                return;
            }
        }
        let request = String::from_utf8_lossy(&request);
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let (status, answer) = self.respond(head, body);
        let answer = answer.to_string();
        let head =
            format!("HTTP/1.1 {status} {status}\r\ncontent-type: application/x-amz-json-1.1\r\nconnection: close\r\n");
        let answer = format!("{head}content-length: {}\r\n\r\n{answer}", answer.len());
        connection.write_all(answer.as_bytes()).await.unwrap_or_default();
    }

    fn respond(&self, head: &str, body: &str) -> (u16, Value) {
        let mut state = self.state.lock().unwrap();
        // Whoever does not sign is nobody.
        if !head.to_ascii_lowercase().contains("\r\nauthorization: aws4-hmac-sha256 credential=akidexample/") {
            return (403, json!({"__type": "MissingAuthenticationTokenException", "message": "not signed"}));
        }
        let cluster = CLUSTER.replace(':', "%3A").replace('/', "%2F");
        if head.starts_with(&format!("GET /v1/clusters/{cluster}/bootstrap-brokers ")) {
            *state.asked.entry(CLUSTER.to_owned()).or_default() += 1;
            let last = state.brokers.len() == 1;
            return if last { state.brokers[0].clone() } else { state.brokers.pop_front().unwrap() };
        }
        if head.to_ascii_lowercase().contains("x-amz-target: secretsmanager.getsecretvalue") {
            let asked: Value = serde_json::from_str(body).unwrap();
            let arn = asked["SecretId"].as_str().unwrap();
            *state.asked.entry(arn.to_owned()).or_default() += 1;
            return match state.secrets.get(arn) {
                Some(text) => (200, json!({"ARN": arn, "SecretString": text, "VersionStages": ["AWSCURRENT"]})),
                None => (400, json!({"__type": "ResourceNotFoundException", "message": "there is no such secret"})),
            };
        }
        (404, json!({"__type": "UnknownOperationException"}))
    }
}
