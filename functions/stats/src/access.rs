//! Who may ask, and about what.
//!
//! A request that AWS has let in (the function URL by IAM, an HTTP API by its authorizer) may ask about everything; so may
//! anybody, where the answers are public. Else it takes a bearer token (RFC 6750), which may be for some tags only.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::header;
use shared::{
    aws::secret::{Secret, SecretError},
    env::Env,
};
use subtle::{Choice, ConstantTimeEq as _};
use tokio::sync::Mutex;

use crate::event::Request;

/// The shortest token: what is shorter may be guessed.
const MIN_TOKEN: usize = 16;

/// How long tokens of a secret are taken to be the same.
const SECRET_FOR: Duration = Duration::from_secs(300);
/// How long they count where they cannot be read anew: one that was taken out is to end some time.
const SECRET_WITHOUT_ANSWER_FOR: Duration = Duration::from_secs(3_600);
/// How long to wait before a secret is read again that could not be: not everybody with a wrong token is to ask AWS.
const PAUSE: Duration = Duration::from_secs(10);

/// Who may ask.
#[derive(Clone, Default)]
pub struct Access {
    is_public: bool,
    /// `WM_STATS_TOKENS`.
    given: Tokens,
    /// `WM_STATS_TOKENS_SECRET_ARN`.
    secret: Option<Secret>,
    read: Arc<Mutex<Read>>,
}

/// What is known of a secret.
#[derive(Default)]
struct Read {
    /// What was in it, and when.
    tokens: Option<(Tokens, SystemTime)>,
    /// Why it could not be read, and when.
    failure: Option<(SecretError, SystemTime)>,
}

type Tokens = Arc<[Token]>;

/// A token and what it is for. It cannot be printed.
#[derive(Clone)]
struct Token {
    secret: String,
    scope: Scope,
}

/// About which targets: those with one of these tags, or all.
pub type Scope = Option<Vec<String>>;

/// Nobody who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unauthorized {
    /// Whether there was a token, and it is none of those that are known.
    pub has_token: bool,
}

/// Why a request is not answered.
#[derive(Debug)]
pub enum Refused {
    /// It may not ask.
    Unauthorized(Unauthorized),
    /// Whether it may is not known, since the tokens cannot be read.
    Unknown(SecretError),
}

impl Access {
    /// Reads `WM_STATS_PUBLIC`, a switch, and `WM_STATS_TOKENS`: tokens with blanks between them, each with the tags that it is
    /// for after a colon (`TOKEN:shop,public`), or without for everything; or `WM_STATS_TOKENS_SECRET_ARN`, a secret whose
    /// text is that.
    pub(crate) fn from_env(env: &mut Env<'_>) -> Self {
        let is_public = env.switch("WM_STATS_PUBLIC");
        let secret = env.secret("WM_STATS_TOKENS_SECRET_ARN");
        let text = env.optional("WM_STATS_TOKENS").unwrap_or_default();
        if secret.is_some() && !text.is_empty() {
            env.mistake("WM_STATS_TOKENS and WM_STATS_TOKENS_SECRET_ARN are both set: leave one out".to_owned());
        }
        let (given, mistakes) = read_tokens(&text);
        mistakes.into_iter().for_each(|mistake| env.mistake(format!("WM_STATS_TOKENS, {mistake}")));
        Self { is_public, given, secret, read: Arc::default() }
    }

    /// Whether anybody may ask, so that anybody's cache may keep the answers.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.is_public
    }

    /// What a request may ask about.
    ///
    /// # Errors
    /// It may not ask at all, or that is not known.
    pub async fn check(&self, request: &Request) -> Result<Scope, Refused> {
        if request.is_authorized {
            return Ok(None);
        }
        match bearer(request) {
            Some(token) => {
                let scope = scope(&self.tokens().await.map_err(Refused::Unknown)?, token);
                scope.ok_or(Refused::Unauthorized(Unauthorized { has_token: true }))
            }
            None if self.is_public => Ok(None),
            None => Err(Refused::Unauthorized(Unauthorized { has_token: false })),
        }
    }

    /// The tokens that are known. Those of a secret are read anew when they are old; if that fails, the old ones do.
    async fn tokens(&self) -> Result<Tokens, SecretError> {
        let Some(secret) = &self.secret else { return Ok(Arc::clone(&self.given)) };
        let mut read = self.read.lock().await;
        let is_within = |at: &SystemTime, time: Duration| at.elapsed().is_ok_and(|age| age < time);
        let known = |read: &Read, time: Duration| match &read.tokens {
            Some((tokens, at)) if is_within(at, time) => Some(Arc::clone(tokens)),
            _ => None,
        };
        if let Some(tokens) = known(&read, SECRET_FOR) {
            return Ok(tokens);
        }
        let is_paused = read.failure.as_ref().is_some_and(|(_, at)| is_within(at, PAUSE));
        if !is_paused {
            match Box::pin(read_secret(secret)).await {
                Ok(tokens) => {
                    *read = Read { tokens: Some((Arc::clone(&tokens), SystemTime::now())), failure: None };
                    return Ok(tokens);
                }
                Err(error) => {
                    tracing::warn!("{error}; tokens that were known go on for an hour");
                    read.failure = Some((error, SystemTime::now()));
                }
            }
        }
        match (known(&read, SECRET_WITHOUT_ANSWER_FOR), &read.failure) {
            (Some(tokens), _) => Ok(tokens),
            (None, Some((error, _))) => Err(error.clone()),
            (None, None) => Ok(Arc::default()),
        }
    }
}

async fn read_secret(secret: &Secret) -> Result<Tokens, SecretError> {
    match read_tokens(&secret.read().await?) {
        (tokens, mistakes) if mistakes.is_empty() => Ok(tokens),
        (_, mistakes) => Err(secret.error(format!("has no tokens that can be used: {}", mistakes.join(", ")))),
    }
}

/// The tokens of a text, and what is wrong with it.
fn read_tokens(text: &str) -> (Tokens, Vec<String>) {
    let (mut tokens, mut mistakes) = (Vec::new(), Vec::new());
    for (index, entry) in text.split_whitespace().enumerate() {
        let mut mistake = |what: &str| {
            let expected = "expected TOKEN or TOKEN:tag,tag with blanks between them";
            mistakes.push(format!("entry {}: {what}; {expected}", index + 1));
        };
        let (secret, tags) = entry.split_once(':').map_or((entry, None), |(secret, tags)| (secret, Some(tags)));
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if secret.len() < MIN_TOKEN {
            mistake(&format!("the token is shorter than {MIN_TOKEN} characters"));
        } else if !secret.bytes().all(is_token) {
            mistake("the token has other characters than letters, digits and -._~+/=");
        }
        let scope: Scope = tags.map(|tags| tags.split(',').map(str::to_owned).collect());
        if scope.as_ref().is_some_and(|tags| tags.iter().any(String::is_empty)) {
            mistake("a tag is empty");
        }
        tokens.push(Token { secret: secret.to_owned(), scope });
    }
    (tokens.into(), mistakes)
}

/// What a token is for. Every one that is known is looked at, whichever it is.
fn scope(known: &[Token], token: &str) -> Option<Scope> {
    let mut found = None;
    for known in known {
        let is_equal: Choice = known.secret.as_bytes().ct_eq(token.as_bytes());
        if bool::from(is_equal) {
            found = Some(known.scope.clone());
        }
    }
    found
}

fn bearer(request: &Request) -> Option<&str> {
    let value = request.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "one-token-of-many-characters";
    const OTHER: &str = "other/token+of=many==";

    fn access(variables: &[(&str, &str)]) -> Result<Access, String> {
        let lookup = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let mut env = Env::new(&lookup);
        let access = Access::from_env(&mut env);
        env.finish(access).map_err(|error| error.to_string())
    }

    async fn check(access: &Access, authorization: Option<&str>) -> Result<Scope, Unauthorized> {
        match access.check(&request(authorization)).await {
            Ok(scope) => Ok(scope),
            Err(Refused::Unauthorized(unauthorized)) => Err(unauthorized),
            Err(Refused::Unknown(error)) => panic!("{error}"),
        }
    }

    fn request(authorization: Option<&str>) -> Request {
        let mut request = Request::default();
        request.headers.extend(authorization.map(|value| (header::AUTHORIZATION, value.parse().unwrap())));
        request
    }

    #[tokio::test]
    async fn nobody_may_ask_unless_it_is_said() {
        let access = access(&[]).unwrap();

        assert_eq!(check(&access, None).await, Err(Unauthorized { has_token: false }));
        assert_eq!(check(&access, Some("Bearer ")).await, Err(Unauthorized { has_token: true }));
        assert_eq!(check(&access, Some("Basic dXNlcjpwYXNz")).await, Err(Unauthorized { has_token: false }));
    }

    #[tokio::test]
    async fn tokens_are_for_all_or_for_some_tags_and_there_may_be_several() {
        let tokens = format!("{ONE} {OTHER}:shop,public");
        let access = access(&[("WM_STATS_TOKENS", &tokens)]).unwrap();
        let scope = async |header: &str| check(&access, Some(header)).await;

        assert_eq!(scope(&format!("Bearer {ONE}")).await, Ok(None));
        assert_eq!(scope(&format!("bearer {OTHER}")).await, Ok(Some(vec!["shop".to_owned(), "public".to_owned()])));
        for wrong in [&ONE[1..], &format!("{ONE}x"), &format!("{OTHER}:shop,public"), ""] {
            assert_eq!(scope(&format!("Bearer {wrong}")).await, Err(Unauthorized { has_token: true }), "{wrong:?}");
        }
        assert_eq!(check(&access, None).await, Err(Unauthorized { has_token: false }));
    }

    #[tokio::test]
    async fn public_answers_take_no_token_and_refuse_a_wrong_one() {
        let access = access(&[("WM_STATS_PUBLIC", "true"), ("WM_STATS_TOKENS", ONE)]).unwrap();

        assert_eq!(check(&access, None).await, Ok(None));
        assert_eq!(check(&access, Some("Bearer wrong")).await, Err(Unauthorized { has_token: true }));
    }

    #[test]
    fn a_mistake_names_the_entry_and_not_the_token() {
        for (tokens, expected) in [
            ("short", "entry 1: the token is shorter"),
            ("one-token-of-many-characters other-token-with-ümlaut", "entry 2: the token has other characters"),
            ("one-token-of-many-characters:a,,b", "entry 1: a tag is empty"),
        ] {
            let mistakes = access(&[("WM_STATS_TOKENS", tokens)]).err().unwrap();
            assert!(mistakes.contains(expected) && !mistakes.contains("one-token"), "{mistakes}");
        }
    }
}
