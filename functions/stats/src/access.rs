//! Who may ask, and about what.
//!
//! A request that AWS has let in (the function URL by IAM, an HTTP API by its authorizer) may ask about everything; so may
//! anybody, where the answers are public. Else it takes a bearer token (RFC 6750), which may be for some tags only.

use lambda_http::{Request, RequestExt as _, http::header, request::RequestContext};
use shared::env::Env;
use subtle::{Choice, ConstantTimeEq as _};

/// The shortest token: what is shorter may be guessed.
const MIN_TOKEN: usize = 16;

/// Who may ask.
#[derive(Clone, Default)]
pub struct Access {
    is_public: bool,
    tokens: Vec<Token>,
}

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

impl Access {
    /// Reads `WM_STATS_PUBLIC`, a switch, and `WM_STATS_TOKENS`: tokens with blanks between them, each with the tags that it is
    /// for after a colon (`TOKEN:shop,public`), or without for everything.
    pub(crate) fn from_env(env: &mut Env<'_>) -> Self {
        let is_public = env.switch("WM_STATS_PUBLIC");
        let mut tokens = Vec::new();
        let text = env.optional("WM_STATS_TOKENS").unwrap_or_default();
        for (index, entry) in text.split_whitespace().enumerate() {
            let mut mistake = |what: &str| {
                let expected = "expected TOKEN or TOKEN:tag,tag with blanks between them";
                env.mistake(format!("WM_STATS_TOKENS, entry {}: {what}; {expected}", index + 1));
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
        Self { is_public, tokens }
    }

    /// Whether anybody may ask, so that anybody's cache may keep the answers.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.is_public
    }

    /// What a request may ask about.
    ///
    /// # Errors
    /// It may not ask at all.
    pub fn check(&self, request: &Request) -> Result<Scope, Unauthorized> {
        if is_let_in(request) {
            return Ok(None);
        }
        match bearer(request) {
            Some(token) => self.scope(token).ok_or(Unauthorized { has_token: true }),
            None if self.is_public => Ok(None),
            None => Err(Unauthorized { has_token: false }),
        }
    }

    /// What a token is for. Every one that is known is looked at, whichever it is.
    fn scope(&self, token: &str) -> Option<Scope> {
        let mut found = None;
        for known in &self.tokens {
            let is_equal: Choice = known.secret.as_bytes().ct_eq(token.as_bytes());
            if bool::from(is_equal) {
                found = Some(known.scope.clone());
            }
        }
        found
    }
}

/// Whether AWS let it in, which is in a part of the event that no client can write.
fn is_let_in(request: &Request) -> bool {
    let Some(RequestContext::ApiGatewayV2(context)) = request.request_context_ref() else { return false };
    context
        .authorizer
        .as_ref()
        .is_some_and(|authorizer| authorizer.iam.is_some() || authorizer.jwt.is_some() || !authorizer.fields.is_empty())
}

fn bearer(request: &Request) -> Option<&str> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use lambda_http::{Body, http};

    use super::*;

    const ONE: &str = "one-token-of-many-characters";
    const OTHER: &str = "other/token+of=many==";

    fn access(variables: &[(&str, &str)]) -> Result<Access, String> {
        let lookup = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let mut env = Env::new(&lookup);
        let access = Access::from_env(&mut env);
        env.finish(access).map_err(|error| error.to_string())
    }

    fn request(authorization: Option<&str>) -> Request {
        let mut request = http::Request::builder().uri("/stats");
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        request.body(Body::Empty).unwrap()
    }

    #[test]
    fn nobody_may_ask_unless_it_is_said() {
        let access = access(&[]).unwrap();

        assert_eq!(access.check(&request(None)), Err(Unauthorized { has_token: false }));
        assert_eq!(access.check(&request(Some("Bearer "))), Err(Unauthorized { has_token: true }));
        assert_eq!(access.check(&request(Some("Basic dXNlcjpwYXNz"))), Err(Unauthorized { has_token: false }));
    }

    #[test]
    fn tokens_are_for_all_or_for_some_tags_and_there_may_be_several() {
        let tokens = format!("{ONE} {OTHER}:shop,public");
        let access = access(&[("WM_STATS_TOKENS", &tokens)]).unwrap();
        let scope = |header: &str| access.check(&request(Some(header)));

        assert_eq!(scope(&format!("Bearer {ONE}")), Ok(None));
        assert_eq!(scope(&format!("bearer {OTHER}")), Ok(Some(vec!["shop".to_owned(), "public".to_owned()])));
        for wrong in [&ONE[1..], &format!("{ONE}x"), &format!("{OTHER}:shop,public"), ""] {
            assert_eq!(scope(&format!("Bearer {wrong}")), Err(Unauthorized { has_token: true }), "{wrong:?}");
        }
        assert_eq!(access.check(&request(None)), Err(Unauthorized { has_token: false }));
    }

    #[test]
    fn public_answers_take_no_token_and_refuse_a_wrong_one() {
        let access = access(&[("WM_STATS_PUBLIC", "true"), ("WM_STATS_TOKENS", ONE)]).unwrap();

        assert_eq!(access.check(&request(None)), Ok(None));
        assert_eq!(access.check(&request(Some("Bearer wrong"))), Err(Unauthorized { has_token: true }));
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
