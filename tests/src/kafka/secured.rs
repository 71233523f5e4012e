//! Listeners with TLS, one for each way to say who one is, and some whose certificates are not as they should be; for
//! tests. What the broker says of them in its settings is in
//! <https://kafka.apache.org/documentation/#security>.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::Result;

use crate::authority::Authority;

/// The name of whoever may do everything.
pub const USER: &str = "monitor";
/// The name of whoever may do nothing.
pub const STRANGER: &str = "stranger";
/// The password of both.
pub const PASSWORD: &str = "correct-horse";

/// The ports of a broker, for `localhost`.
#[derive(Debug, Clone, Copy)]
pub struct Listeners {
    /// TLS, for whoever has a certificate.
    pub mtls: u16,
    /// SASL/SCRAM-SHA-512.
    pub scram: u16,
    /// SASL/PLAIN.
    pub plain: u16,
    /// SASL/OAUTHBEARER; takes tokens that nobody has signed.
    pub oauth: u16,
    /// TLS with a certificate for another name.
    pub other_name: u16,
    /// TLS with a certificate that has run out.
    pub expired: u16,
}

impl Listeners {
    pub(super) fn new([mtls, scram, plain, oauth, other_name, expired]: [u16; 6]) -> Self {
        Self { mtls, scram, plain, oauth, other_name, expired }
    }

    fn each(&self) -> [(&'static str, u16, &'static str); 6] {
        [
            ("MTLS", self.mtls, "SSL"),
            ("SCRAM", self.scram, "SASL_SSL"),
            ("PLAIN", self.plain, "SASL_SSL"),
            ("OAUTH", self.oauth, "SASL_SSL"),
            ("OTHERNAME", self.other_name, "SSL"),
            ("EXPIRED", self.expired, "SSL"),
        ]
    }

    /// `,NAME://localhost:PORT` for each.
    pub(super) fn addresses(&self) -> String {
        self.each().map(|(name, port, _)| format!(",{name}://localhost:{port}")).concat()
    }

    /// `,NAME:PROTOCOL` for each.
    pub(super) fn protocols(&self) -> String {
        self.each().map(|(name, _, protocol)| format!(",{name}:{protocol}")).concat()
    }

    /// The other settings; the files that they name are written into `directory`.
    pub(super) fn properties(directory: &Path, authority: &Authority) -> Result<String> {
        let mut properties = String::new();
        let mut store = |listener: &str, file: &str, name: &str, expired: bool| -> Result<()> {
            let file = directory.join(file);
            let certificate = authority.issue(name, expired)?;
            fs::write(&file, [certificate.key, certificate.certificate].concat())?;
            let file = file.display();
            Ok(write!(properties, "{listener}ssl.keystore.type=PEM\n{listener}ssl.keystore.location={file}\n")?)
        };
        store("", "server.pem", "localhost", false)?;
        store("listener.name.othername.", "other-name.pem", "other.test", false)?;
        store("listener.name.expired.", "expired.pem", "localhost", true)?;
        let roots = directory.join("ca.pem");
        authority.write(&roots)?;
        let module = |class: &str| format!("org.apache.kafka.common.security.{class} required");
        let (scram, plain) = (module("scram.ScramLoginModule"), module("plain.PlainLoginModule"));
        let oauth = module("oauthbearer.OAuthBearerLoginModule");
        write!(
            properties,
            "ssl.truststore.type=PEM\n\
             ssl.truststore.location={}\n\
             listener.name.mtls.ssl.client.auth=required\n\
             listener.name.scram.sasl.enabled.mechanisms=SCRAM-SHA-512\n\
             listener.name.scram.scram-sha-512.sasl.jaas.config={scram};\n\
             listener.name.plain.sasl.enabled.mechanisms=PLAIN\n\
             listener.name.plain.plain.sasl.jaas.config={plain} \
             user_{USER}=\"{PASSWORD}\" user_{STRANGER}=\"{PASSWORD}\";\n\
             listener.name.oauth.sasl.enabled.mechanisms=OAUTHBEARER\n\
             listener.name.oauth.oauthbearer.sasl.jaas.config={oauth} unsecuredLoginStringClaim_sub=\"broker\";\n\
             authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
             super.users=User:ANONYMOUS;User:{USER};User:CN={USER}\n",
            roots.display()
        )?;
        Ok(properties)
    }

    /// What is said when the data directory is made.
    pub(super) fn format_arguments() -> Vec<String> {
        let user = |name: &str| format!("SCRAM-SHA-512=[name={name},password={PASSWORD}]");
        [USER, STRANGER].into_iter().flat_map(|name| ["--add-scram".to_owned(), user(name)]).collect()
    }
}
