//! TLS errors as plain sentences: what is wrong with the server or its certificate, and what to do about it.

use std::fmt::Debug;

use jiff::Timestamp;
use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible, pki_types::UnixTime};

/// What the client does not support, where a handshake fails for no other visible reason.
const UNSUPPORTED: &str = "probe supports TLS 1.3, and TLS 1.2 with ECDHE and an AEAD cipher over the curves X25519, P-256 and \
                           P-384; not CBC, no DHE and no RSA key exchange";

/// The sentence for an error of TLS.
pub(super) fn sentence(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => certificate(error),
        Error::AlertReceived(alert) => received(*alert),
        Error::PeerIncompatible(reason) => incompatible(reason),
        Error::PeerMisbehaved(reason) => format!("the server breaks the rules of TLS: {}", words(reason)),
        Error::InvalidMessage(reason) => {
            format!("the server sends what is not TLS ({}); check that the port speaks HTTPS", words(reason))
        }
        Error::InappropriateMessage { got_type, .. } => {
            format!("the server sends a TLS message out of turn: {}", words(got_type))
        }
        Error::InappropriateHandshakeMessage { got_type, .. } => {
            format!("the server sends a TLS handshake message out of turn: {}", words(got_type))
        }
        Error::NoCertificatesPresented => "the server shows no certificate".to_owned(),
        Error::DecryptError => "a TLS message of the server cannot be decrypted".to_owned(),
        Error::PeerSentOversizedRecord => "the server sends a TLS record that is too large".to_owned(),
        Error::NoApplicationProtocol => "the server speaks neither HTTP/2 nor HTTP/1.1 over TLS".to_owned(),
        Error::General(reason) => reason.clone(),
        error => format!("TLS failed: {}", words(error)),
    }
}

fn certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::BadEncoding => "the certificate is corrupt: it is not a valid X.509 certificate".to_owned(),
        CertificateError::Expired => "the certificate has expired".to_owned(),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("the certificate expired at {}", instant(*not_after))
        }
        CertificateError::NotValidYet => "the certificate is not valid yet".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("the certificate is not valid before {}", instant(*not_before))
        }
        CertificateError::Revoked => "the certificate is revoked".to_owned(),
        CertificateError::UnhandledCriticalExtension => {
            "the certificate has a critical extension that probe does not support".to_owned()
        }
        CertificateError::UnknownIssuer => "the issuer of the certificate is unknown".to_owned(),
        CertificateError::BadSignature => {
            "the certificate or the handshake has a signature that does not fit its key".to_owned()
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "the certificate is signed by an algorithm that probe does not support".to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } if presented.is_empty() => {
            let expected = expected.to_str();
            format!(
                "the certificate has no subjectAltName, so it is not valid for {expected}: issue one with \
                 subjectAltName={expected}"
            )
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let presented: Vec<_> = presented.iter().filter_map(|name| plain_name(name)).collect();
            if presented.is_empty() {
                return format!("the certificate is not valid for {}: it names no host", expected.to_str());
            }
            format!("the certificate is not valid for {}: it is for {}", expected.to_str(), presented.join(", "))
        }
        CertificateError::NotValidForName => "the certificate is not valid for the name of the server".to_owned(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the certificate may not be used by a TLS server: its extended key usage has no serverAuth".to_owned()
        }
        CertificateError::Other(other) => {
            // The errors of webpki have no words of their own, only names.
            let text = other.to_string();
            match text.split(['(', ' ', '{']).next().unwrap_or_default() {
                "CaUsedAsEndEntity" => "the certificate of the server is that of an authority (CA:TRUE): add it to \
                                        WM_PROBE_CA_FILE to trust it"
                    .to_owned(),
                "EndEntityUsedAsCa" => "a certificate in the chain may not sign others (it lacks CA:TRUE)".to_owned(),
                "UnsupportedCertVersion" => "the certificate is X.509 version 1: expected version 3, which names its \
                                             hosts; issue another one"
                    .to_owned(),
                "UnsupportedCriticalExtension" => {
                    "the certificate has a critical extension that probe does not support".to_owned()
                }
                name if name.len() < text.len() && text.contains(' ') && !text.contains(['(', '{']) => text,
                name => format!("the certificate cannot be verified: {}", words(&Name(name))),
            }
        }
        error => format!("the certificate cannot be verified: {}", words(error)),
    }
}

/// The alert that a server sent in place of an answer.
fn received(alert: AlertDescription) -> String {
    let name = match alert {
        AlertDescription::Unknown(number) => number.to_string(),
        _ => words(&alert),
    };
    match alert {
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
            format!(
                "the server refuses the TLS handshake with the alert {name}: {UNSUPPORTED}; or the server expects a \
                 client certificate"
            )
        }
        AlertDescription::ProtocolVersion => {
            format!("the server refuses TLS with the alert {name}: {UNSUPPORTED}")
        }
        AlertDescription::UnrecognisedName => {
            format!("the server refuses TLS with the alert {name}: it does not serve this host")
        }
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
            format!(
                "the server refuses TLS with the alert {name}: it expects a client certificate, which probe has not"
            )
        }
        _ => format!("the server ends TLS with the alert {name}"),
    }
}

fn incompatible(reason: &PeerIncompatible) -> String {
    match reason {
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::NoCipherSuitesInCommon
        | PeerIncompatible::NoKxGroupsInCommon => {
            format!(
                "the server supports no version or cipher of TLS that probe does ({}): {UNSUPPORTED}",
                words(reason)
            )
        }
        _ => format!("the server lacks a feature of TLS that probe needs: {}", words(reason)),
    }
}

/// A subject name without the wrapping of its kind, such as `DnsName("a.test")`; none for a kind that names no host.
fn plain_name(name: &str) -> Option<&str> {
    let name = match name.split_once('(') {
        Some(("Unsupported", _)) => return None,
        Some((_, rest)) => rest.trim_end_matches(')'),
        None => name,
    };
    Some(name.trim_matches('"'))
}

fn instant(time: UnixTime) -> Timestamp {
    i64::try_from(time.as_secs())
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .unwrap_or(Timestamp::MAX)
}

/// A name that is debugged without quotes.
struct Name<'name>(&'name str);

impl Debug for Name<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.0)
    }
}

/// The name of a value in words: "too many empty fragments" for `TooManyEmptyFragments`, with what it holds left out.
fn words(value: &dyn Debug) -> String {
    let debugged = format!("{value:?}");
    let name: String = debugged.chars().take_while(char::is_ascii_alphanumeric).collect();
    let mut words = String::with_capacity(name.len() + 8);
    let mut before = ' ';
    for character in name.chars() {
        if character.is_ascii_uppercase() && before.is_ascii_lowercase() {
            words.push(' ');
        }
        words.push(character.to_ascii_lowercase());
        before = character;
    }
    words
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::{InvalidMessage, OtherError, PeerMisbehaved, pki_types::ServerName};

    use super::*;

    #[test]
    fn every_error_is_a_sentence_without_debug_text() {
        let other = |name: &str| CertificateError::Other(OtherError(Arc::from(Box::from(name))));
        let name = CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("a.test").unwrap(),
            presented: ["DnsName(\"b.test\")", "c.test", "IpAddress(127.0.0.1)", "Unsupported(0x01)"]
                .map(str::to_owned)
                .to_vec(),
        };
        let expired = CertificateError::ExpiredContext {
            time: UnixTime::now(),
            not_after: UnixTime::since_unix_epoch(std::time::Duration::from_secs(0)),
        };
        for (error, expected) in [
            (name.into(), "the certificate is not valid for a.test: it is for b.test, c.test, 127.0.0.1"),
            (other("EndEntityUsedAsCa").into(), "a certificate in the chain may not sign others"),
            (expired.into(), "the certificate expired at 1970-01-01T00:00:00Z"),
            (other("CaUsedAsEndEntity").into(), "WM_PROBE_CA_FILE"),
            (other("UnsupportedCertVersion").into(), "X.509 version 1"),
            (other("MaximumPathDepthExceeded").into(), "cannot be verified: maximum path depth exceeded"),
            (other("TrailingData(Foo)").into(), "cannot be verified: trailing data"),
            (Error::AlertReceived(AlertDescription::HandshakeFailure), "or the server expects a client certificate"),
            (Error::AlertReceived(AlertDescription::Unknown(200)), "the alert 200"),
            (PeerMisbehaved::TooManyEmptyFragments.into(), "too many empty fragments"),
            (InvalidMessage::MissingData("Foo").into(), "not TLS (missing data)"),
            (Error::PeerIncompatible(PeerIncompatible::NoKxGroupsInCommon), "no kx groups in common"),
            (Error::EncryptError, "encrypt error"),
        ] {
            let sentence = sentence(&error);
            assert!(sentence.contains(expected), "{sentence}");
            assert!(!sentence.contains(['{', '}', '[', '"']) && !sentence.contains("Address("), "{sentence}");
            assert!(!sentence.contains("Unsupported"), "{sentence}");
        }
    }
}
