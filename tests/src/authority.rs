//! A certificate authority of our own, and certificates that are as they should be, or are not.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    date_time_ymd,
};
use tokio_rustls::rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer},
};

/// When the certificates of an [`Authority`] run out, unless they have already.
pub const EXPIRES_AT: &str = "2095-11-23T00:00:00Z";

/// A certificate and its key, in PEM.
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// The key, as PKCS #8.
    pub key: String,
}

/// The authority.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// Makes an authority.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::new([])?;
        // Two authorities of one name would be taken for one.
        params.distinguished_name.push(DnType::CommonName, uuid::Uuid::now_v7().to_string());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? })
    }

    /// Writes the root, for `WM_PROBE_CA_FILE`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, file: &Path) -> Result<()> {
        std::fs::write(file, self.issuer.pem()).with_context(|| file.display().to_string())
    }

    /// What a server needs that shows a certificate for a name (or an address), one that has run out where `expired`.
    ///
    /// # Errors
    /// The name is none.
    pub fn server(&self, name: &str, expired: bool) -> Result<Arc<ServerConfig>> {
        let (certificate, key) = self.sign(name, expired)?;
        server(certificate.der().clone(), key)
    }

    /// A certificate for a name, which is its common name too, and its key; one that has run out where `expired`.
    ///
    /// # Errors
    /// The name is none.
    pub fn issue(&self, name: &str, expired: bool) -> Result<Issued> {
        let (certificate, key) = self.sign(name, expired)?;
        Ok(Issued { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// The root, in PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    fn sign(&self, name: &str, expired: bool) -> Result<(Certificate, KeyPair)> {
        let mut params = CertificateParams::new([name.to_owned()])?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = if expired { date_time_ymd(2021, 1, 1) } else { date_time_ymd(2095, 11, 23) };
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok((certificate, key))
    }
}

/// What a server needs that nobody vouches for.
///
/// # Errors
/// The name is none.
pub fn self_signed(name: &str) -> Result<Arc<ServerConfig>> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new([name.to_owned()])?.self_signed(&key)?;
    server(certificate.der().clone(), key)
}

/// The settings of a server with this certificate and key.
///
/// # Errors
/// The key is not that of the certificate.
pub fn server(certificate: CertificateDer<'static>, key: KeyPair) -> Result<Arc<ServerConfig>> {
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?.with_no_client_auth();
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
    Ok(Arc::new(builder.with_single_cert(vec![certificate], key)?))
}
