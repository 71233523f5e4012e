//! Variables that name a file of certificates or of a private key, in PEM.

use rustls::{
    CertificateError, Error, InconsistentKeys, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject as _},
    },
    sign::CertifiedKey,
};

use super::{Env, NamedFile};

/// The first bytes of text that some editors write in front of it, and the first of UTF-16.
const BYTE_ORDER_MARKS: [&[u8]; 3] = [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"];

impl Env<'_> {
    /// Reads the file of certificates that `name` names, of each of which rustls makes a root. Returns `None` where the
    /// variable is unset, and where that cannot be done, which is a mistake.
    pub fn root_certificates(&mut self, name: &str) -> Option<Vec<CertificateDer<'static>>> {
        self.pem(name, read_root_certificates)
    }

    /// Reads the file of certificates that `name` names. Returns `None` where the variable is unset, and where the file holds no
    /// certificate, which is a mistake.
    pub fn certificates(&mut self, name: &str) -> Option<Vec<CertificateDer<'static>>> {
        self.pem(name, read_certificates)
    }

    /// Reads the file with a private key that `name` names. Returns `None` where the variable is unset, and where the file holds
    /// none that can be used, which is a mistake.
    pub fn private_key(&mut self, name: &str) -> Option<PrivateKeyDer<'static>> {
        self.pem(name, read_private_key)
    }

    fn pem<T>(&mut self, name: &str, read: impl FnOnce(&[u8]) -> Result<T, String>) -> Option<T> {
        let NamedFile { path, bytes } = self.file(name)?;
        read(&bytes).map_err(|reason| self.mistake(format!("{name} is {path:?}: {reason}"))).ok()
    }
}

/// Whether a private key is that of another certificate. A form that is not known here counts as no.
#[must_use]
pub fn is_key_of_another(certificate: CertificateDer<'static>, key: PrivateKeyDer<'static>) -> bool {
    let pair = CertifiedKey::from_der(vec![certificate], key, &aws_lc_rs::default_provider());
    matches!(pair, Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)))
}

/// What is wrong with a certificate that cannot be decoded, by its place in the file.
#[must_use]
pub fn damaged(number: usize) -> String {
    format!("certificate {number} in the file is damaged; copy the file again")
}

/// Reads certificates in PEM, and checks that rustls makes a root of each.
///
/// # Errors
/// What is wrong with the text, and the remedy.
pub fn read_root_certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = read_certificates(text)?;
    let mut roots = RootCertStore::empty();
    for (certificate, number) in certificates.iter().zip(1..) {
        roots.add(certificate.clone()).map_err(|error| match error {
            Error::InvalidCertificate(CertificateError::BadEncoding) => damaged(number),
            _ => format!("certificate {number} in the file cannot be a root for TLS; issue it as X.509 version 3"),
        })?;
    }
    Ok(certificates)
}

fn read_certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    check_form(text, "certificate", "-----BEGIN CERTIFICATE-----", |label| label == "CERTIFICATE")?;
    CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>().map_err(|error| damage(&error))
}

fn read_private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    let is_encrypted = |label: &str| label == "ENCRYPTED PRIVATE KEY";
    if labels(text).any(is_encrypted) || contains(text, b"Proc-Type: 4,ENCRYPTED") {
        return Err("the private key is encrypted; decrypt it with `openssl pkey -in FILE -out KEY`".to_owned());
    }
    let is_key = |label: &str| ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"].contains(&label);
    check_form(text, "private key", "-----BEGIN PRIVATE KEY-----", is_key)?;
    PrivateKeyDer::from_pem_slice(text).map_err(|error| damage(&error))
}

/// Checks that a text is PEM, with a section that is `wanted`.
fn check_form(text: &[u8], wanted: &str, begin: &str, is_wanted: impl Fn(&str) -> bool) -> Result<(), String> {
    if BYTE_ORDER_MARKS.iter().any(|mark| text.starts_with(mark)) {
        return Err("the file starts with a byte order mark; save it as UTF-8 without one".to_owned());
    }
    if labels(text).any(is_wanted) {
        return Ok(());
    }
    let found: Vec<_> = labels(text).map(str::to_lowercase).collect();
    if !found.is_empty() {
        let found = found.join(", ");
        return Err(format!("no {wanted} in the file, but: {found}; expected PEM with {begin}"));
    }
    // DER begins with a sequence; of text, 0 would be the first character.
    if text.starts_with(b"\x30") && std::str::from_utf8(text).is_err() {
        let convert = match wanted {
            "certificate" => {
                "`openssl x509 -inform der -in FILE -out PEM`, or `openssl pkcs12 -in FILE -nokeys -out PEM`"
            }
            _ => "`openssl pkey -inform der -in FILE -out PEM`, or `openssl pkcs12 -in FILE -nocerts -nodes -out PEM`",
        };
        return Err(format!("the file is binary (DER or PKCS #12) and not PEM; convert it with {convert}"));
    }
    Err(format!("no {wanted} in the file; expected PEM with {begin}"))
}

/// The names of the sections of a text in PEM.
fn labels(text: &[u8]) -> impl Iterator<Item = &str> {
    text.split(|byte| matches!(byte, b'\n' | b'\r')).filter_map(|line| {
        let label = line.trim_ascii_end().strip_prefix(b"-----BEGIN ")?.strip_suffix(b"-----")?;
        std::str::from_utf8(label).ok()
    })
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// What is wrong with a text in PEM. The words of the reader show bytes as numbers.
fn damage(error: &pem::Error) -> String {
    let reason = match error {
        pem::Error::MissingSectionEnd { .. } => "the end of the file is missing: a section has no line -----END …-----",
        pem::Error::IllegalSectionStart { .. } => "a line -----BEGIN …----- is damaged",
        _ => "the base64 of a section is damaged",
    };
    format!("{reason}; copy the file again")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A self-signed certificate and its private key, in PEM.
    fn issue() -> (String, String) {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        (cert.pem(), signing_key.serialize_pem())
    }

    #[test]
    fn certificates_are_read_with_whatever_else_is_in_the_file() {
        let (certificate, key) = issue();
        let text = format!("subject=a.test\r\n{}\n{key}{certificate}", certificate.replace('\n', "\r\n"));
        assert_eq!(read_root_certificates(text.as_bytes()).unwrap().len(), 2);
        assert!(read_private_key(text.as_bytes()).is_ok());
    }

    #[test]
    fn file_without_certificate_is_refused_with_what_it_is_and_the_remedy() {
        let (certificate, key) = issue();
        let der = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let cut = certificate.split_at(certificate.len() - 40).0;
        let utf16 = std::iter::once(0xfeff).chain(certificate.encode_utf16()).flat_map(u16::to_le_bytes);
        for (text, expected) in [
            (
                key.into_bytes(),
                "no certificate in the file, but: private key; expected PEM with -----BEGIN CERTIFICATE-----",
            ),
            (b"-----BEGIN CERTIFICATE REQUEST-----\n".to_vec(), "but: certificate request;"),
            (b"-----BEGIN TRUSTED CERTIFICATE-----\n".to_vec(), "but: trusted certificate;"),
            (b"hello".to_vec(), "no certificate in the file; expected PEM with"),
            (b" \n".to_vec(), "no certificate in the file; expected PEM with"),
            (der.to_vec(), "is binary (DER or PKCS #12) and not PEM; convert it with `openssl x509 -inform der"),
            (cut.as_bytes().to_vec(), "the end of the file is missing"),
            (certificate.replace("MII", "M??").into_bytes(), "the base64 of a section is damaged"),
            (format!("{certificate}{garbage}").into_bytes(), "certificate 2 in the file is damaged"),
            (format!("\u{feff}{certificate}").into_bytes(), "byte order mark"),
            (utf16.collect(), "byte order mark"),
        ] {
            let reason = read_root_certificates(&text).unwrap_err();
            assert!(reason.contains(expected), "{expected} is not in {reason}");
        }
    }

    #[test]
    fn file_without_private_key_is_refused_with_what_it_is_and_the_remedy() {
        let encrypted = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n";
        let (certificate, _) = issue();
        for (text, expected) in [
            (
                certificate.as_str(),
                "no private key in the file, but: certificate; expected PEM with -----BEGIN PRIVATE KEY-----",
            ),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----\n", "is encrypted; decrypt it with `openssl pkey"),
            (encrypted, "is encrypted; decrypt it with `openssl pkey"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\n", "but: openssh private key;"),
            ("-----BEGIN PUBLIC KEY-----\n", "but: public key;"),
        ] {
            let reason = read_private_key(text.as_bytes()).unwrap_err();
            assert!(reason.contains(expected), "{expected} is not in {reason}");
        }
    }

    #[test]
    fn private_key_of_another_certificate_is_recognised() {
        let [(certificate, key), (_, other)] = [issue(), issue()];
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let [key, other] = [key, other].map(|key| read_private_key(key.as_bytes()).unwrap());
        assert!(!is_key_of_another(certificate.clone(), key));
        assert!(is_key_of_another(certificate, other));
    }

    #[test]
    fn every_variable_that_names_a_bad_file_is_reported_with_its_path_and_no_private_key() {
        let (directory, (_, key)) = (std::env::temp_dir(), issue());
        let lookup = |name: &str| match name {
            "WM_MISSING" => Some("/nonexistent.pem".to_owned()),
            "WM_RELATIVE" => Some("nonexistent.pem".to_owned()),
            "WM_HOME" => Some("~/nonexistent.pem".to_owned()),
            "WM_BELOW_A_FILE" => Some("/dev/null/ca.pem".to_owned()),
            "WM_DIRECTORY" => Some(directory.display().to_string()),
            "WM_DEVICE" => Some("/dev/null".to_owned()),
            "WM_TEXT" => Some(key.clone()),
            _ => None,
        };
        let mut env = Env::new(&lookup);
        for name in ["MISSING", "RELATIVE", "HOME", "BELOW_A_FILE", "DIRECTORY", "DEVICE", "TEXT", "UNSET"] {
            assert_eq!(env.private_key(&format!("WM_{name}")), None);
        }

        let error = env.finish(()).unwrap_err().to_string();

        for expected in [
            "WM_MISSING is \"/nonexistent.pem\": there is no such file; check the path",
            "WM_RELATIVE is \"nonexistent.pem\": there is no such file in /",
            "WM_HOME is \"~/nonexistent.pem\": there is no such file; write the home directory in full",
            "WM_BELOW_A_FILE is \"/dev/null/ca.pem\": a part of the path is a file",
            "this is a directory; expected a file",
            "WM_DEVICE is \"/dev/null\": this is a pipe or a device; expected a file",
            "WM_TEXT contains PEM text: expected the path of a file that contains it",
        ] {
            assert!(error.contains(expected), "{expected} is not in {error}");
        }
        assert_eq!(error.lines().count(), 8, "{error}");
        assert!(!error.contains("BEGIN"), "{error}");
    }
}
