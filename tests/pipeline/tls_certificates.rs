//! Which certificates and handshakes are taken, and the sentences for those that are not.

use std::{net::Ipv4Addr, process::Command, sync::Arc};

use local_stack::authority::server;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};
use shared::{
    Record,
    record::{FailureKind, Outcome},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::rustls::{
    ServerConfig,
    crypto::aws_lc_rs::{default_provider, sign::any_supported_type},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::{CertifiedKey, SingleCertAndKey},
};

use crate::{
    exchanging::message,
    requesting::{ENOUGH, kind, requester_with},
    support::directory,
    wire::{End, Wire},
};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// The record of a server with these settings, with `roots` in `WM_PROBE_CA_FILE`.
async fn record_of(name: &str, tls: &Arc<ServerConfig>, roots: Option<&str>, expect: &str) -> Record {
    let wire = Wire::https1(tls, OK, End::Close).await;
    let directory = directory("tls_certificates");
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join(format!("{name}.pem"));
    std::fs::write(&file, roots.unwrap_or_default()).unwrap();
    let file = file.to_str().unwrap();
    let variables: &[_] = if roots.is_some() { &[("WM_PROBE_CA_FILE", file)] } else { &[] };
    let monitor = format!("monitors: [{{id: a, url: '{}', expect: {{{expect}}}}}]", wire.https("/"));
    requester_with(variables).monitor(&monitor).await
}

/// A certificate that signs itself as that of an authority, as `openssl req -x509` makes it, and a server with it.
fn authority_of_its_own(name: &str, change: impl FnOnce(&mut CertificateParams)) -> (Arc<ServerConfig>, String) {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (server(certificate.der().clone(), key).unwrap(), certificate.pem())
}

fn assert_tls_failure(record: &Record, words: &str) {
    assert_eq!((kind(record), record.http_status_code), (Some(FailureKind::Tls), None), "{record:?}");
    assert!(message(record).contains(words), "{words}: {record:?}");
    let sentence = message(record).replace("(CA:TRUE)", "").replace("(missing data)", "");
    assert!(!sentence.contains(['{', '[', '"']), "{record:?}");
    // Debug text has a name before its parenthesis.
    assert!(!sentence.split_whitespace().any(|word| word.find('(').is_some_and(|at| at > 0)), "{record:?}");
}

#[tokio::test]
async fn self_signed_certificate_is_trusted_when_it_is_configured() {
    let (tls, pem) = authority_of_its_own("127.0.0.1", |_| {});
    assert_eq!(record_of("trusted", &tls, Some(&pem), "").await.outcome(), Outcome::Up);

    let (_, other) = authority_of_its_own("127.0.0.1", |_| {});
    for roots in [None, Some(other.as_str())] {
        let record = record_of("other", &tls, roots, "").await;
        assert_tls_failure(&record, "is that of an authority (CA:TRUE): add it to WM_PROBE_CA_FILE");
    }
}

#[tokio::test]
async fn configured_certificate_that_is_no_authority_vouches_for_no_other() {
    let configured = |is_ca: IsCa, usages: &[KeyUsagePurpose]| {
        let mut params = CertificateParams::new(["other.test".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "other.test");
        params.is_ca = is_ca;
        params.key_usages = usages.to_vec();
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    };
    let authority = || IsCa::Ca(BasicConstraints::Unconstrained);
    for (what, issuer, outcome) in [
        ("authority", configured(authority(), &[]), Outcome::Up),
        ("signs", configured(authority(), &[KeyUsagePurpose::KeyCertSign]), Outcome::Up),
        ("signs_not", configured(authority(), &[KeyUsagePurpose::DigitalSignature]), Outcome::Down),
        ("leaf", configured(IsCa::ExplicitNoCa, &[]), Outcome::Down),
        ("no_constraints", configured(IsCa::NoCa, &[]), Outcome::Down),
    ] {
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        let tls = server(leaf.der().clone(), key).unwrap();
        let record = record_of(what, &tls, Some(&issuer.pem()), "").await;
        assert_eq!(record.outcome(), outcome, "{what}: {record:?}");
        if outcome == Outcome::Down {
            assert_tls_failure(&record, "add its root to WM_PROBE_CA_FILE");
        }
    }
}

#[tokio::test]
async fn configured_certificate_still_needs_name_dates_and_purpose() {
    for (what, words, (tls, pem)) in [
        (
            "address",
            "not valid for 127.0.0.1: it is for 127.0.0.2, a.test",
            authority_of_its_own("127.0.0.2", |params| {
                params.subject_alt_names.push(SanType::Rfc822Name("a@a.test".try_into().unwrap()));
                params.subject_alt_names.push(SanType::DnsName("a.test".try_into().unwrap()));
            }),
        ),
        ("name", "not valid for 127.0.0.1: it is for other.test", authority_of_its_own("other.test", |_| {})),
        (
            "no_name",
            "has no subjectAltName, so it is not valid for 127.0.0.1",
            authority_of_its_own("127.0.0.1", |params| params.subject_alt_names.clear()),
        ),
        (
            "expired",
            "expired at 2021-01-01T00:00:00Z",
            authority_of_its_own("127.0.0.1", |params| {
                params.not_before = date_time_ymd(2020, 1, 1);
                params.not_after = date_time_ymd(2021, 1, 1);
            }),
        ),
        (
            "early",
            "not valid before 2095-01-01T00:00:00Z",
            authority_of_its_own("127.0.0.1", |params| {
                params.not_before = date_time_ymd(2095, 1, 1);
                params.not_after = date_time_ymd(2096, 1, 1);
            }),
        ),
        (
            "purpose",
            "has no serverAuth",
            authority_of_its_own("127.0.0.1", |params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            }),
        ),
    ] {
        let record = record_of(what, &tls, Some(&pem), "").await;
        assert_tls_failure(&record, words);
        let expires_at = record.certificate_expires_at.map(|instant| instant.to_string());
        let expected = match what {
            "expired" => "2021-01-01T00:00:00Z",
            "early" => "2096-01-01T00:00:00Z",
            _ => continue,
        };
        assert_eq!(expires_at.as_deref(), Some(expected), "{what}");
    }
}

#[tokio::test]
async fn configured_certificate_without_its_key_is_refused() {
    let (_, pem) = authority_of_its_own("127.0.0.1", |_| {});
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let key = KeyPair::generate().unwrap().serialize_der();
    let key = any_supported_type(&PrivateKeyDer::try_from(key).unwrap()).unwrap();
    let resolver = SingleCertAndKey::from(CertifiedKey::new(vec![certificate], key));
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let tls = Arc::new(builder.with_cert_resolver(Arc::new(resolver)));

    assert_tls_failure(&record_of("stolen", &tls, Some(&pem), "").await, "a signature that does not fit its key");
}

#[tokio::test]
async fn certificate_without_an_end_expires_at_the_end_of_time() {
    let (tls, pem) = authority_of_its_own("127.0.0.1", |params| params.not_after = date_time_ymd(9999, 12, 31));

    let record = record_of("endless", &tls, Some(&pem), "certificate_days: 14").await;

    assert_eq!(record.outcome(), Outcome::Up, "{record:?}");
    assert!(record.certificate_expires_at.unwrap().to_string().starts_with("9999-12-30"), "{record:?}");
}

#[tokio::test]
async fn certificates_of_openssl_are_trusted_or_refused_in_a_sentence() {
    let directory = directory("tls_certificates");
    std::fs::create_dir_all(&directory).unwrap();
    let script = "set -e; cd \"$1\"; openssl req -x509 -newkey rsa:2048 -nodes -keyout self.key -out self.pem -days 2 \
                  -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1; openssl req -new -key self.key -subj /CN=127.0.0.1 \
                  -out v1.csr; openssl x509 -req -in v1.csr -signkey self.key -days 2 -out v1.pem";
    let output = Command::new("sh").args(["-c", script, "sh"]).arg(&directory).output().unwrap();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("not found") && std::env::var_os("WEBSITE_MONITOR_TEST_ALL").is_none(), "{said}");
        eprintln!("not shown, since this machine has no openssl");
        return;
    }
    let read = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
    let tls = |pem: &str| {
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let key = PrivateKeyDer::from_pem_slice(read("self.key").as_bytes()).unwrap();
        let key = any_supported_type(&key).unwrap();
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let resolver = SingleCertAndKey::from(CertifiedKey::new(vec![certificate], key));
        Arc::new(builder.with_cert_resolver(Arc::new(resolver)))
    };

    let pem = read("self.pem");
    assert_eq!(record_of("openssl", &tls(&pem), Some(&pem), "").await.outcome(), Outcome::Up);
    let pem = read("v1.pem");
    assert_tls_failure(&record_of("v1", &tls(&pem), Some(&pem), "").await, "is X.509 version 1");
}

/// A server that takes the greeting of TLS and answers it with these bytes.
async fn greeted(response: &'static [u8]) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                stream.read_buf(&mut Vec::with_capacity(4_096)).await.unwrap();
                stream.write_all(response).await.unwrap();
                stream.read_to_end(&mut Vec::new()).await.unwrap_or_default();
            });
        }
    });
    url
}

#[tokio::test]
async fn handshake_that_a_server_refuses_is_a_sentence() {
    for (response, words) in [
        (b"\x15\x03\x03\0\x02\x02\x28".as_slice(), "handshake failure: probe supports TLS 1.3, and TLS 1.2 with ECDHE"),
        (b"\x15\x03\x03\0\x02\x02\x46", "protocol version"),
        (b"\x15\x03\x03\0\x02\x02\x70", "unrecognised name: it does not serve this host"),
        (b"\x15\x03\x03\0\x02\x02\x50", "the server ends TLS with the alert internal error"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "what is not TLS"),
        (b"\x16\x03\x03\0\x04\x02\0\0\0", "TLS"),
    ] {
        let record = requester_with(&[]).request(&greeted(response).await, None, ENOUGH).await;
        assert_tls_failure(&record, words);
    }
}

#[tokio::test]
async fn silent_handshake_is_named_and_leaves_the_phases_before_it() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    let limits = [("WM_PROBE_CONNECT_TIMEOUT_MS", "200")];

    let record = requester_with(&limits).request(&url, None, ENOUGH).await;

    let phases = record.phases.unwrap();
    assert_eq!((kind(&record), message(&record)), (Some(FailureKind::Timeout), "no TLS handshake within 200 ms"));
    assert!(phases.dns.is_some() && phases.connect.is_some() && phases.tls.is_none(), "{phases:?}");

    let short = [("WM_PROBE_TIMEOUT_MS", "200")];
    let record = requester_with(&short).request(&url, None, ENOUGH).await;
    assert_eq!(message(&record), "not finished within 200 ms: in the TLS handshake");
}
