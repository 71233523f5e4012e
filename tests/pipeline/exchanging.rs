//! What an exchange says of its time, and of what it may not do, against websites on loopback.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use local_stack::{
    authority::{Authority, EXPIRES_AT, self_signed},
    website::Website,
};
use shared::{
    Millis, Record,
    record::{FailureKind, Phases},
    timestamp,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

use crate::{
    requesting::{ENOUGH, Prober, kind, requester_with},
    support::directory,
};

fn micros(duration: Option<Millis>) -> i32 {
    duration.map_or(0, Millis::as_micros)
}

fn sum(phases: &Phases) -> i32 {
    [phases.dns, phases.connect, phases.tls, phases.first_byte, phases.download].map(micros).iter().sum()
}

pub(crate) fn message(record: &Record) -> &str {
    record.error.as_ref().map_or("", |error| &error.message)
}

/// Requests a URL of a server whose root is known, with these variables more.
async fn request_with(authority: &Authority, name: &str, url: &str, more: &[(&'static str, &str)]) -> Record {
    prober_trusting(authority, name, more).request(url, None, ENOUGH).await
}

/// A prober that trusts an authority, with these variables more.
pub(crate) fn prober_trusting(authority: &Authority, name: &str, more: &[(&'static str, &str)]) -> Prober {
    let directory = directory(name);
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("ca.pem");
    authority.write(&file).unwrap();
    let mut variables = vec![("WM_PROBE_CA_FILE", file.to_str().unwrap())];
    variables.extend(more);
    requester_with(&variables)
}

#[tokio::test]
async fn each_phase_has_its_time_and_together_they_are_the_response_time() {
    let authority = Authority::new().unwrap();
    let website = Website::start_tls(authority.server("localhost", false).unwrap()).await.unwrap();

    let record = request_with(&authority, "exchanging_phases", &website.named_url("/slow/150"), &[]).await;
    let phases = record.phases.unwrap();
    assert_eq!(kind(&record), None, "{record:?}");
    for phase in [phases.dns, phases.connect, phases.tls, phases.download] {
        assert!(phase.is_some(), "{phases:?}");
    }
    assert!(micros(phases.first_byte) >= 150_000, "{phases:?}");
    let rest = micros(record.response_time_ms) - sum(&phases);
    assert!(rest >= 0 && rest < micros(record.response_time_ms) / 4, "{rest} of {record:?}");
    assert_eq!(record.certificate_expires_at, Some(timestamp::parse(EXPIRES_AT).unwrap()));
    assert!(record.hops.is_empty());

    // What did not happen has no time: no name, no TLS.
    let plain = Website::start(0).await.unwrap();
    let record = requester_with(&[]).request(&plain.url("/dripping/150"), None, ENOUGH).await;
    let phases = record.phases.unwrap();
    assert_eq!((phases.dns, phases.tls, record.certificate_expires_at), (None, None, None));
    // A client that is late in noticing the head counts some of the body's time as the head's.
    let answer = micros(phases.first_byte) + micros(phases.download);
    assert!(phases.connect.is_some() && phases.download.is_some() && answer >= 150_000, "{phases:?}");
}

#[tokio::test]
async fn each_hop_of_a_redirect_is_timed_by_itself() {
    let website = Website::start(0).await.unwrap();

    let record = requester_with(&[]).request(&website.url("/far?token=secret"), None, ENOUGH).await;

    let [first, second] = record.hops.as_slice() else { panic!("{record:?}") };
    assert_eq!((first.http_status_code, second.http_status_code), (Some(302), Some(200)));
    assert_eq!((&first.url, &second.url), (&website.url("/far"), &website.url("/slow/100")));
    assert!(micros(second.phases.first_byte) >= 100_000 && first.phases.download.is_none(), "{record:?}");
    assert_eq!(record.phases, Some(first.phases + second.phases));
    assert_eq!(website.connections(), 2);
}

#[tokio::test]
async fn a_failure_has_the_phases_that_came_to_their_end() {
    let website = Website::start(0).await.unwrap();
    let short = [("WM_PROBE_TIMEOUT_MS", "300")];

    let record = requester_with(&short).request(&website.url("/hang"), None, ENOUGH).await;
    let phases = record.phases.unwrap();
    assert!(phases.connect.is_some() && phases.first_byte.is_none(), "{phases:?}");
    assert_eq!(message(&record), "not finished within 300 ms: waiting for the first byte");

    let record = requester_with(&short).request(&website.url("/crawling"), None, ENOUGH).await;
    assert_eq!(message(&record), "not finished within 300 ms: waiting for the first byte");

    let record = requester_with(&short).request(&website.url("/dripping/60000"), None, ENOUGH).await;
    let phases = record.phases.unwrap();
    assert!(phases.first_byte.is_some() && phases.download.is_none(), "{phases:?}");
    assert_eq!(message(&record), "not finished within 300 ms: reading the body");
    assert_eq!((kind(&record), record.http_status_code), (Some(FailureKind::Timeout), None));
}

#[tokio::test]
async fn an_address_that_never_answers_is_given_up_while_connecting() {
    // Its queue of connections is full.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(Ok(connection)) = tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
        waiting.push(connection);
    }

    let limits = [("WM_PROBE_CONNECT_TIMEOUT_MS", "200")];
    let record = requester_with(&limits).request(&format!("http://{address}/"), None, ENOUGH).await;

    assert_eq!((kind(&record), message(&record)), (Some(FailureKind::Timeout), "no TCP connection within 200 ms"));
    assert_eq!(record.phases, Some(Phases::default()));
}

#[tokio::test]
async fn certificates_that_cannot_be_trusted_are_failures_of_tls_that_say_why() {
    let authority = Authority::new().unwrap();
    for (name, server, words) in [
        ("expired", authority.server("127.0.0.1", true).unwrap(), "expired at 2021-01-01T00:00:00Z"),
        ("wrong_host", authority.server("other.test", false).unwrap(), "not valid for 127.0.0.1: it is for other.test"),
        (
            "self_signed",
            self_signed("127.0.0.1").unwrap(),
            "is self-signed, or its issuer has its own name: add it to WM_PROBE_CA_FILE",
        ),
        ("unknown", Authority::new().unwrap().server("127.0.0.1", false).unwrap(), "is unknown; the server sends no"),
    ] {
        let website = Website::start_tls(server).await.unwrap();
        let record = request_with(&authority, &format!("exchanging_{name}"), &website.url("/fast"), &[]).await;

        assert_eq!(kind(&record), Some(FailureKind::Tls), "{record:?}");
        assert!(message(&record).contains(words), "{}", message(&record));
        let phases = record.phases.unwrap();
        assert!(phases.connect.is_some() && phases.tls.is_none(), "{phases:?}");
    }
}

#[tokio::test]
async fn a_connection_that_is_reset_in_the_body_is_a_failure_of_the_body() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        connection.read_buf(&mut Vec::with_capacity(4_096)).await.unwrap();
        connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await.unwrap();
        connection.set_zero_linger().unwrap();
    });

    let record = requester_with(&[]).request(&url, None, ENOUGH).await;

    assert_eq!((kind(&record), record.http_status_code), (Some(FailureKind::Body), None), "{record:?}");
    assert!(message(&record).contains("reset"), "{record:?}");
}

#[tokio::test]
async fn an_http_2_server_that_goes_away_is_a_failure_of_the_protocol() {
    let authority = Authority::new().unwrap();
    let mut server = ServerConfig::clone(&authority.server("127.0.0.1", false).unwrap());
    server.alpn_protocols = vec![b"h2".to_vec()];
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (connection, _) = listener.accept().await.unwrap();
        let mut connection = TlsAcceptor::from(Arc::new(server)).accept(connection).await.unwrap();
        assert_eq!(connection.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
        connection.read_buf(&mut Vec::with_capacity(4_096)).await.unwrap();
        // SETTINGS, empty; GOAWAY, that nothing was taken, because of ENHANCE_YOUR_CALM.
        connection.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        connection.write_all(&[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11]).await.unwrap();
        connection.flush().await.unwrap();
        connection.read_to_end(&mut Vec::new()).await.unwrap_or_default();
    });

    let record = request_with(&authority, "exchanging_goaway", &url, &[]).await;

    assert_eq!((kind(&record), record.http_status_code), (Some(FailureKind::Protocol), None), "{record:?}");
}

#[tokio::test]
async fn a_body_is_read_up_to_its_limit_and_the_record_says_so() {
    let website = Website::start(0).await.unwrap();

    let record = requester_with(&[]).request(&website.url("/endless"), None, ENOUGH).await;
    assert!(record.body_cut && record.error.is_none(), "{record:?}");
    let record = requester_with(&[]).request(&website.url("/fast"), None, ENOUGH).await;
    assert!(!record.body_cut);
}

#[tokio::test]
async fn what_is_not_public_is_blocked_by_address_by_name_and_on_every_hop() {
    let website = Website::start(0).await.unwrap();
    let guarded = requester_with(&[("WM_ALLOW_PRIVATE_TARGETS", "false")]);
    for url in [
        website.url("/fast"),
        website.named_url("/fast"),
        "http://[::ffff:10.0.0.1]/".to_owned(),
        "http://0x7f000001/".to_owned(),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
    ] {
        let record = guarded.request(&url, None, ENOUGH).await;
        assert_eq!((kind(&record), record.http_status_code), (Some(FailureKind::Blocked), None), "{record:?}");
        assert!(message(&record).contains("not probed"), "{record:?}");
    }
    assert_eq!(website.connections(), 0);

    // Not even with permission.
    let record = requester_with(&[]).request(&website.url("/metadata"), None, ENOUGH).await;
    assert_eq!((kind(&record), record.hops.len()), (Some(FailureKind::Blocked), 2), "{record:?}");
    let api = website.url("").replace("http://", "");
    let record = requester_with(&[("AWS_LAMBDA_RUNTIME_API", &api)]).request(&website.url("/fast"), None, ENOUGH).await;
    assert!(message(&record).contains("the runtime API of Lambda"), "{record:?}");
}
