//! Which certificates are trusted: those that a root of Mozilla or an authority in `WM_PROBE_CA_FILE` vouches for, and
//! those that `WM_PROBE_CA_FILE` holds themselves. A certificate in that file that is no authority vouches for no other.
//!
//! `openssl req -x509` marks a self-signed certificate as that of an authority (`CA:TRUE`), which webpki refuses from a
//! server whatever the roots are. curl and browsers accept it once it is configured, and so does this verifier: a server
//! certificate that is byte-identical to a configured one needs no path, only a fitting name, dates and purpose. The
//! signatures of the handshake are checked in any case.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use x509_parser::{certificate::X509Certificate, parse_x509_certificate, x509::X509Version};

use super::tls::TlsError;

/// The verifier of server certificates. A clone is for one handshake.
#[derive(Debug, Clone)]
pub(super) struct Trust {
    webpki: Arc<WebPkiServerVerifier>,
    /// The certificates of `WM_PROBE_CA_FILE`.
    extra_roots: Arc<[CertificateDer<'static>]>,
    /// The certificate that the server shows, also one that is refused.
    leaf: OnceLock<CertificateDer<'static>>,
}

/// A certificate that nothing vouches for, in a sentence.
#[derive(Debug)]
struct Untrusted(String);

impl fmt::Display for Untrusted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Untrusted {}

impl Trust {
    /// Trusts Mozilla's roots and `extra_roots`.
    pub(super) fn new(
        provider: Arc<CryptoProvider>,
        extra_roots: &[CertificateDer<'static>],
    ) -> Result<Self, TlsError> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for root in extra_roots {
            let (_, parsed) = parse_x509_certificate(root).map_err(|_| Error::from(CertificateError::BadEncoding))?;
            if is_authority(&parsed) {
                roots.add(root.clone())?;
            }
        }
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
        Ok(Self { webpki, extra_roots: extra_roots.into(), leaf: OnceLock::new() })
    }

    /// The certificate that the server of this handshake shows.
    pub(super) fn leaf(&self) -> Option<&CertificateDer<'static>> {
        self.leaf.get()
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.leaf.get_or_init(|| end_entity.clone().into_owned());
        if self.extra_roots.iter().any(|root| root.as_ref() == end_entity.as_ref()) {
            return verify_configured(end_entity, server_name, now);
        }
        let verified = self.webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        verified.map_err(|error| match error {
            Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
                let reason = unknown_issuer(end_entity, intermediates.len());
                CertificateError::Other(OtherError(Arc::new(Untrusted(reason)))).into()
            }
            error => error,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

/// Whether the certificate may vouch for others: CA:TRUE and no key usage that leaves signing out, or version 1, which has
/// no extensions, with its own name as its issuer.
fn is_authority(certificate: &X509Certificate<'_>) -> bool {
    if certificate.version() == X509Version::V1 {
        return certificate.issuer().as_raw() == certificate.subject().as_raw();
    }
    let is_ca = certificate.basic_constraints().is_ok_and(|found| found.is_some_and(|found| found.value.ca));
    is_ca && certificate.key_usage().is_ok_and(|usage| usage.is_none_or(|usage| usage.value.key_cert_sign()))
}

/// Verifies name, dates and purpose of a certificate that is configured itself.
fn verify_configured(
    certificate: &CertificateDer<'_>,
    server_name: &ServerName<'_>,
    now: UnixTime,
) -> Result<ServerCertVerified, Error> {
    verify_server_name(&ParsedCertificate::try_from(certificate)?, server_name)?;
    let (_, parsed) = parse_x509_certificate(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if seconds < parsed.validity().not_before.timestamp() {
        let not_before = unix_time(parsed.validity().not_before.timestamp());
        return Err(CertificateError::NotValidYetContext { time: now, not_before }.into());
    }
    if seconds > parsed.validity().not_after.timestamp() {
        let not_after = unix_time(parsed.validity().not_after.timestamp());
        return Err(CertificateError::ExpiredContext { time: now, not_after }.into());
    }
    if !is_for_servers(&parsed) {
        return Err(CertificateError::InvalidPurpose.into());
    }
    Ok(ServerCertVerified::assertion())
}

/// Whether the certificate has no purpose (RFC 5280, section 4.2.1.12) or that of TLS servers among them.
fn is_for_servers(certificate: &X509Certificate<'_>) -> bool {
    match certificate.extended_key_usage() {
        Ok(Some(usage)) => usage.value.any || usage.value.server_auth,
        Ok(None) => true,
        Err(_) => false,
    }
}

fn unix_time(seconds: i64) -> UnixTime {
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

/// Why nothing vouches for a certificate, with a remedy.
fn unknown_issuer(certificate: &CertificateDer<'_>, intermediates: usize) -> String {
    let Ok((_, parsed)) = parse_x509_certificate(certificate) else {
        return "the issuer of the certificate is unknown".to_owned();
    };
    if parsed.issuer().as_raw() == parsed.subject().as_raw() {
        return "the certificate is self-signed, or its issuer has its own name: add it to WM_PROBE_CA_FILE to trust it"
            .to_owned();
    }
    let issuer = parsed.issuer();
    let missing = if intermediates == 0 { "; the server sends no intermediate certificate" } else { "" };
    format!(
        "the issuer of the certificate, {issuer}, is unknown{missing}: add its root to WM_PROBE_CA_FILE to trust it"
    )
}
