//! What probe reads from its environment.

use std::{borrow::Cow, time::Duration};

use rustls::pki_types::CertificateDer;
use shared::{
    env::{ConfigError, Env, Hidden},
    record::MAX_NAME_BYTES,
};
use url::Url;

use crate::{
    extension::{self, Extension},
    monitors::{Defaults, source::Source},
    stream::StreamConfig,
};

/// Default of `WM_PROBE_CONNECT_TIMEOUT_MS`.
const CONNECT_TIMEOUT_MS: u64 = 5_000;
/// Default of `WM_PROBE_TIMEOUT_MS`.
const TIMEOUT_MS: u64 = 10_000;
/// Default of `WM_PROBE_TICK`.
const TICK: Duration = Duration::from_secs(60);
/// Default of `WM_PROBE_SPREAD`.
const SPREAD: Duration = Duration::from_secs(1);
/// The longest timeout that makes sense within the 15 minutes of an invocation.
const MAX_TIMEOUT_MS: u64 = 800_000;
/// Default of `WM_PROBE_CONCURRENCY`: keeps sockets below the 1,024 file descriptors of a Lambda environment.
const CONCURRENCY: usize = 200;

/// The configuration of probe.
#[derive(Debug, Clone)]
pub struct ProbeConfig {
    /// `WM_URL`, `WM_MONITORS_FILE` or the file that is shipped: what to probe where the event does not say.
    pub source: Source,
    /// `WM_PROBE_CONNECT_TIMEOUT_MS` (5,000), `WM_PROBE_TIMEOUT_MS` (10,000) and `WM_PROBE_TICK` (1m).
    pub defaults: Defaults,
    /// `WM_PROBE_SPREAD`: over how much time the starts of a slot are spread. Default 1s.
    pub spread: Duration,
    /// How secrets are fetched that monitors refer to.
    pub extension: Extension,
    /// `WM_PROBE_CONCURRENCY`: requests at a time. Default 200.
    pub concurrency: usize,
    /// `WM_LOCATION`, or else `AWS_REGION`: where the probes are made from. Default `local`.
    pub location: String,
    /// `WM_ALLOW_PRIVATE_TARGETS`: whether targets in private networks and on this machine are probed. Default false.
    pub allow_private_targets: bool,
    /// `WM_PROBE_CA_FILE`: certificates, in PEM, that are trusted for targets in addition to Mozilla's roots.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// `AWS_LAMBDA_RUNTIME_API`: what is never probed.
    pub runtime_api: Option<String>,
    /// Where records go.
    pub stream: StreamConfig,
}

impl ProbeConfig {
    /// Reads the configuration from a lookup of variables.
    ///
    /// # Errors
    /// Every mistake, each naming its variable.
    pub fn from_env(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut env = Env::new(lookup);
        let config = Self::read(&mut env);
        env.finish(config)
    }

    /// The same as part of another configuration. Mistakes are noted in `env`.
    #[must_use]
    pub fn read(env: &mut Env<'_>) -> Self {
        let defaults = Defaults::from_env(env);
        let spread = env.duration("WM_PROBE_SPREAD", SPREAD, Duration::ZERO..=Duration::from_secs(600));
        let source = Source::from_env(env, &defaults);
        let extension = Extension {
            port: env.parsed("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", extension::PORT, "a port", |port| *port > 0),
            token: env.optional("AWS_SESSION_TOKEN").map(Hidden),
        };
        let concurrency = env
            .parsed("WM_PROBE_CONCURRENCY", CONCURRENCY, "a number from 1 to 900", |count| (1..=900).contains(count));
        let location = env.optional("WM_LOCATION").or_else(|| env.optional("AWS_REGION"));
        if location.as_ref().is_some_and(|location| location.len() > MAX_NAME_BYTES) {
            env.mistake(format!("WM_LOCATION is longer than the {MAX_NAME_BYTES} bytes that a record may carry"));
        }
        let allow_private_targets = env.switch("WM_ALLOW_PRIVATE_TARGETS");
        let extra_roots = env.root_certificates("WM_PROBE_CA_FILE").unwrap_or_default();
        let runtime_api = env.optional("AWS_LAMBDA_RUNTIME_API");
        let stream = StreamConfig::from_env(env);
        Self {
            source,
            defaults,
            spread,
            extension,
            concurrency,
            location: location.unwrap_or_else(|| "local".to_owned()),
            allow_private_targets,
            extra_roots,
            runtime_api,
            stream,
        }
    }
}

impl Defaults {
    /// Reads what a monitor is like where it does not say. Mistakes are noted in `env`.
    pub fn from_env(env: &mut Env<'_>) -> Self {
        let expected = format!("milliseconds from 1 to {MAX_TIMEOUT_MS}");
        let mut milliseconds = |name: &str, default: u64| {
            let millis = env.parsed(name, default, &expected, |millis| (1..=MAX_TIMEOUT_MS).contains(millis));
            Duration::from_millis(millis)
        };
        let connect_timeout = milliseconds("WM_PROBE_CONNECT_TIMEOUT_MS", CONNECT_TIMEOUT_MS);
        let timeout = milliseconds("WM_PROBE_TIMEOUT_MS", TIMEOUT_MS);
        let tick = env.duration("WM_PROBE_TICK", TICK, Duration::from_millis(1)..=Duration::from_secs(86_400));
        Self { timeout, connect_timeout, tick }
    }
}

/// What may be shown of a URL, however wrong it is: without what stands before an `@`.
pub(crate) fn without_credentials(url: &str) -> Cow<'_, str> {
    let Some((before, after)) = url.rsplit_once('@') else { return url.into() };
    let scheme = before.split_once("//").map(|(scheme, _)| format!("{scheme}//")).unwrap_or_default();
    format!("{scheme}…@{after}").into()
}

/// Whether `url` can be probed at all.
///
/// # Errors
/// A sentence that names the URL and what is wrong with it.
pub fn check_url(url: &str) -> Result<(), String> {
    let shown = without_credentials(url);
    let parsed = Url::parse(url).map_err(|error| format!("{shown:?} is not a URL: {error}; expected https://…"))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(format!("{shown:?} cannot be probed: expected http:// or https://"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(format!(
            "a URL of {} cannot be probed with credentials in it: send them in a header",
            parsed.host_str().unwrap_or_default()
        ));
    }
    if parsed.port() == Some(0) {
        return Err(format!("{shown:?} has the port 0, to which nothing connects: expected 1 to 65535"));
    }
    check_written_url(url)
}

/// Whether a URL is written as one that can be probed; a reference (`${…}`) may stand for its beginning. Url parsers are
/// lenient, and `monitors.schema.json` is not: it has these rules as patterns.
///
/// # Errors
/// A sentence that names the URL and what is wrong with it.
pub(crate) fn check_written_url(url: &str) -> Result<(), String> {
    let shown = without_credentials(url);
    if url.chars().any(char::is_control) {
        return Err(format!("{shown:?} cannot be probed: it contains a control character: remove it"));
    }
    if url.len() > shared::record::MAX_URL_BYTES {
        let limit = shared::record::MAX_URL_BYTES;
        return Err(format!("a URL of {} bytes cannot be probed: expected at most {limit}", url.len()));
    }
    if url.starts_with(' ') || url.ends_with(' ') {
        return Err(format!("{shown:?} has blanks around it: remove them"));
    }
    if url.starts_with("${") {
        return Ok(());
    }
    let after = ["http://", "https://"].iter().find_map(|scheme| {
        let (start, after) = url.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(after)
    });
    let authority = after.map(|after| after.split(['/', '?', '#', '\\']).next().unwrap_or_default());
    match authority {
        None | Some("") => {
            Err(format!("{shown:?} cannot be probed: expected http:// or https:// and the name of a host"))
        }
        Some(authority) if authority.contains('@') => {
            Err(format!("{shown:?} cannot be probed with credentials in it: send them in a header"))
        }
        Some(authority) if authority.contains(' ') => {
            Err(format!("{shown:?} cannot be probed: the name of its host has a blank in it"))
        }
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<ProbeConfig, ConfigError> {
        ProbeConfig::from_env(&|name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_seeds_variables_are_enough() {
        let config = read(&[
            ("WM_URL", "https://example.com, https://example.org ,"),
            ("WM_STREAM_BOOTSTRAP_SERVER", "my-kafka:1234"),
            ("WM_STREAM_TOPIC", "my-website-monitor"),
        ])
        .unwrap();

        assert!(
            matches!(&config.source, Source::Urls(urls) if urls == &["https://example.com", "https://example.org"])
        );
        let Defaults { connect_timeout, timeout, tick } = config.defaults;
        assert_eq!([connect_timeout, timeout, tick, config.spread].map(|time| time.as_secs()), [5, 10, 60, 1]);
        assert_eq!((config.concurrency, config.location.as_str()), (200, "local"));
        assert_eq!(config.stream.security, crate::stream::config::Security::default());
    }

    #[test]
    fn every_mistake_is_reported_by_name() {
        let error = read(&[
            ("WM_URL", "example.com,ftp://example.com"),
            ("WM_PROBE_TIMEOUT_MS", "10s"),
            ("WM_PROBE_CONNECT_TIMEOUT_MS", "0"),
            ("WM_PROBE_CONCURRENCY", "901"),
            ("WM_PROBE_TICK", "60"),
            ("WM_PROBE_SPREAD", "1h"),
            ("WM_MONITORS_FILE", "/nonexistent/monitors.yaml"),
            ("WM_LOCATION", &"x".repeat(256)),
            ("WM_STREAM_SSL", "true"),
            ("WM_STREAM_SSL_CERT_FILE", "/nonexistent/service.cert"),
        ])
        .unwrap_err()
        .to_string();

        for expected in [
            "WM_URL: \"example.com\" is not a URL",
            "WM_URL: \"ftp://example.com\" cannot be probed",
            "WM_PROBE_TIMEOUT_MS is \"10s\": expected milliseconds",
            "WM_PROBE_CONNECT_TIMEOUT_MS is \"0\"",
            "WM_PROBE_CONCURRENCY is \"901\"",
            "WM_PROBE_TICK is \"60\": expected a duration with its unit from 1ms to 1d",
            "WM_PROBE_SPREAD is \"1h\": expected a duration with its unit from 0s to 10m",
            "WM_URL and WM_MONITORS_FILE are both set",
            "WM_LOCATION is longer than the 255 bytes",
            "neither WM_STREAM_BOOTSTRAP_SERVER",
            "WM_STREAM_TOPIC is not set",
            "WM_STREAM_SSL_CERT_FILE is \"/nonexistent/service.cert\"",
            "WM_STREAM_SSL_CERT_FILE and WM_STREAM_SSL_KEY_FILE go together",
        ] {
            assert!(error.contains(expected), "{expected} is not in {error}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_url_is_told_without_its_password() {
        for url in [
            "htps://me:hunter2@a.test",
            "me:hunter2@a.test",
            "htps:me:hunter2@a.test",
            "http:\\\\me:hunter2@[bad/",
            "https://me:hunter2@[bad/",
            "http://me:hunter2@a.test:99999/",
            "https://me:hunter2@a.test",
        ] {
            let error = check_url(url).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
        let twice = read(&[("WM_URL", "htps://me:hunter2@a.test,htps://me:hunter2@a.test")]).unwrap_err().to_string();
        assert!(twice.contains("is there twice") && !twice.contains("hunter2"), "{twice}");
    }
}
