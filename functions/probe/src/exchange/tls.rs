//! TLS: whom to trust, and what is asked of the other side.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::CertificateDer,
};
use x509_parser::parse_x509_certificate;

use super::clock::Clock;

/// Why TLS cannot be set up: the provider refuses its own defaults.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct TlsError(#[from] rustls::Error);

/// The settings that every hop starts from: Mozilla's roots, which come with the program, and more; HTTP/2 and HTTP/1.1.
///
/// # Errors
/// The provider refuses its own defaults.
pub(super) fn settings(extra_roots: &[CertificateDer<'static>]) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    // None is left out: the configuration checked each.
    roots.add_parsable_certificates(extra_roots.iter().cloned());
    let provider = Arc::new(aws_lc_rs::default_provider());
    warm(&provider)?;
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut settings = builder.with_root_certificates(roots).with_no_client_auth();
    settings.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(settings)
}

/// The provider seeds its random numbers when it is first asked for one, which takes tens of milliseconds: not to be those
/// of the first target.
fn warm(provider: &CryptoProvider) -> Result<(), TlsError> {
    let warmed = provider.secure_random.fill(&mut [0; 32]);
    Ok(warmed.map_err(|_| rustls::Error::FailedToGetRandomBytes)?)
}

/// The settings of one hop, whose clock stands where sessions would be stored.
pub(super) fn timed(settings: &ClientConfig, clock: Arc<Clock>) -> ClientConfig {
    let mut settings = settings.clone();
    settings.resumption = Resumption::store(clock);
    settings
}

/// When a certificate runs out.
pub(super) fn expires_at(certificate: &[u8]) -> Option<Timestamp> {
    let (_, certificate) = parse_x509_certificate(certificate).ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}
