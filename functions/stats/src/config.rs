//! The configuration of stats.

use std::time::Duration;

use shared::{
    database::DatabaseConfig,
    env::{ConfigError, Env},
};

use crate::access::Access;

/// For how long an answer may be kept where nothing is said about that.
const MAX_AGE: Duration = Duration::from_secs(10);
/// How long the database may take where nothing is said about that.
const QUERY_TIMEOUT: Duration = Duration::from_secs(20);

/// The configuration of stats.
#[derive(Clone)]
pub struct StatsConfig {
    /// Where the rows are.
    pub database: DatabaseConfig,
    /// Who may ask.
    pub access: Access,
    /// Which pages of other origins may read answers.
    pub cors: Cors,
    /// What comes before the paths, without a slash at its end: behind an API that is mapped to a path of a domain.
    pub prefix: String,
    /// For how long whoever has an answer may keep it without asking again.
    pub max_age: Duration,
    /// How long the database may take with a question.
    pub query_timeout: Duration,
}

/// Which pages of other origins may read answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Cors {
    /// None.
    #[default]
    None,
    /// Those of any.
    Any,
    /// Those of these origins.
    Origins(Vec<String>),
}

impl StatsConfig {
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
        let database = DatabaseConfig::from_env(env);
        let access = Access::from_env(env);
        let cors = Cors::from_env(env);
        let prefix = read_prefix(env);
        let seconds = |from, to| Duration::from_secs(from)..=Duration::from_secs(to);
        let max_age = env.duration("WM_STATS_MAX_AGE", MAX_AGE, seconds(0, 3_600));
        if max_age.subsec_nanos() > 0 {
            env.mistake("WM_STATS_MAX_AGE has parts of a second: expected whole seconds, as in 10s".to_owned());
        }
        let query_timeout = env.duration("WM_STATS_QUERY_TIMEOUT", QUERY_TIMEOUT, seconds(1, 900));
        Self { database, access, cors, prefix, max_age, query_timeout }
    }
}

impl Cors {
    fn from_env(env: &mut Env<'_>) -> Self {
        let Some(text) = env.optional("WM_STATS_CORS_ORIGINS") else { return Self::None };
        if text == "*" {
            return Self::Any;
        }
        let origins: Vec<String> = text.split(',').map(|origin| origin.trim().to_owned()).collect();
        let is_origin = |origin: &String| {
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            host.is_some_and(|host| {
                !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/')
            })
        };
        if !origins.iter().all(is_origin) {
            let expected = "expected * or origins with commas, as in https://status.example.com";
            env.mistake(format!("WM_STATS_CORS_ORIGINS is {text:?}: {expected}"));
        }
        Self::Origins(origins)
    }
}

fn read_prefix(env: &mut Env<'_>) -> String {
    let prefix = env.optional("WM_STATS_PREFIX").unwrap_or_default();
    let is_path = prefix.strip_prefix('/').is_some_and(|rest| !rest.is_empty() && !rest.ends_with('/'));
    if !prefix.is_empty() && !is_path {
        env.mistake(format!(
            "WM_STATS_PREFIX is {prefix:?}: expected a path as in /monitor, without a slash at its end"
        ));
    }
    prefix
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(more: &[(&str, &str)]) -> Result<StatsConfig, String> {
        let lookup = |name: &str| match name {
            "WM_DB_CONNECTION_STRING" => Some("postgres://u@localhost/db".to_owned()),
            _ => more.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()),
        };
        StatsConfig::from_env(&lookup).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_set_is_the_least() {
        let config = read(&[]).unwrap();

        assert_eq!((config.cors, config.prefix.as_str(), config.max_age), (Cors::None, "", Duration::from_secs(10)));
    }

    #[test]
    fn every_mistake_is_told_by_name_and_no_token_with_it() {
        let error = read(&[
            ("WM_STATS_CORS_ORIGINS", "example.com"),
            ("WM_STATS_PREFIX", "monitor/"),
            ("WM_STATS_MAX_AGE", "1500ms"),
            ("WM_STATS_QUERY_TIMEOUT", "0s"),
            ("WM_STATS_PUBLIC", "perhaps"),
            ("WM_STATS_TOKENS", "hunter2"),
        ])
        .err()
        .unwrap();

        for name in ["CORS_ORIGINS", "PREFIX", "MAX_AGE", "QUERY_TIMEOUT", "PUBLIC", "TOKENS"] {
            assert!(error.contains(&format!("WM_STATS_{name}")), "{name}: {error}");
        }
        assert!(!error.contains("hunter2"), "{error}");
        let origins = read(&[("WM_STATS_CORS_ORIGINS", "https://a.test, http://b.test:8080")]).unwrap().cors;
        assert_eq!(origins, Cors::Origins(vec!["https://a.test".into(), "http://b.test:8080".into()]));
    }
}
