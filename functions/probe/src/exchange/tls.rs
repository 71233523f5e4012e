//! TLS: what is offered to the other side, and how a handshake is made.

use std::{io, sync::Arc};

use jiff::Timestamp;
use rustls::{
    ClientConfig,
    client::{Resumption, VerifierBuilderError},
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, InvalidDnsNameError, ServerName},
};
use shared::record::{Failure, FailureKind};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use url::Host;
use x509_parser::parse_x509_certificate;

use super::{failure, tls_error, trust::Trust};

/// The name of HTTP/2 in ALPN.
pub(super) const H2: &[u8] = b"h2";

/// Why TLS cannot be set up: the provider refuses its own defaults.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The provider refuses its own defaults, or a root is no certificate.
    #[error("{}", tls_error::sentence(.0))]
    Provider(#[from] rustls::Error),
    /// The roots cannot be used.
    #[error(transparent)]
    Verifier(#[from] VerifierBuilderError),
}

/// What every handshake starts from.
pub(super) struct Settings {
    config: ClientConfig,
    trust: Trust,
}

/// The settings of every handshake. Trusts Mozilla's roots, which come with the program, and `extra_roots`.
///
/// # Errors
/// The provider refuses its own defaults, or a root is no certificate.
pub(super) fn settings(extra_roots: &[CertificateDer<'static>]) -> Result<Settings, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    warm(&provider)?;
    let trust = Trust::new(Arc::clone(&provider), extra_roots)?;
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config =
        builder.dangerous().with_custom_certificate_verifier(Arc::new(trust.clone())).with_no_client_auth();
    config.alpn_protocols = vec![H2.to_vec(), b"http/1.1".to_vec()];
    // Every probe makes a complete handshake, so that its time is comparable and its certificate is shown.
    config.resumption = Resumption::disabled();
    config.enable_sni = true;
    config.enable_early_data = false;
    Ok(Settings { config, trust })
}

/// The provider seeds its random numbers when it is first asked for one, which takes tens of milliseconds: not to be those
/// of the first target.
fn warm(provider: &CryptoProvider) -> Result<(), TlsError> {
    let warmed = provider.secure_random.fill(&mut [0; 32]);
    Ok(warmed.map_err(|_| rustls::Error::FailedToGetRandomBytes)?)
}

/// Makes a handshake for the host of a URL, by which the certificate is judged. Sets the expiry of the certificate that the
/// server shows, also of one that is refused.
pub(super) async fn handshake(
    settings: &Settings,
    host: Host<&str>,
    tcp: TcpStream,
    certificate_expires_at: &mut Option<Timestamp>,
) -> Result<TlsStream<TcpStream>, Failure> {
    let name = server_name(host).map_err(|error| Failure {
        kind: FailureKind::Tls,
        message: format!("no certificate can be for this host: {error}"),
    })?;
    let trust = Arc::new(settings.trust.clone());
    let mut config = settings.config.clone();
    config.dangerous().set_certificate_verifier(Arc::<Trust>::clone(&trust));
    let connected = TlsConnector::from(Arc::new(config)).connect(name, tcp).await;
    *certificate_expires_at = trust.leaf().and_then(|leaf| expires_at(leaf));
    connected.map_err(|error| Failure { kind: FailureKind::Tls, message: handshake_failure(&error) })
}

fn server_name(host: Host<&str>) -> Result<ServerName<'static>, InvalidDnsNameError> {
    match host {
        Host::Domain(name) => ServerName::try_from(name.to_owned()),
        Host::Ipv4(ip) => Ok(ServerName::IpAddress(std::net::IpAddr::V4(ip).into())),
        Host::Ipv6(ip) => Ok(ServerName::IpAddress(std::net::IpAddr::V6(ip).into())),
    }
}

fn handshake_failure(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the server closed the connection in the TLS handshake".to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            "the server reset the connection in the TLS handshake".to_owned()
        }
        _ => failure::of_io(error).message,
    }
}

/// When a certificate expires. A date beyond the range of [`Timestamp`] is the end of that range: RFC 5280, section
/// 4.1.2.5, has 9999-12-31T23:59:59Z for a certificate that does not expire.
pub(super) fn expires_at(certificate: &[u8]) -> Option<Timestamp> {
    let (_, certificate) = parse_x509_certificate(certificate).ok()?;
    let seconds = certificate.validity().not_after.timestamp();
    Some(Timestamp::from_second(seconds).unwrap_or(if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX }))
}
