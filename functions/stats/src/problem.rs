//! Why there is no answer, and the one place where that becomes a status.

use http::{Response, StatusCode, header};
use serde_json::json;
use shared::{aws::secret::SecretError, env::print_duration};

use crate::{
    StatsConfig,
    access::{Refused, Unauthorized},
    event::EventError,
    history::HistoryError,
    query::BadParameter,
    response::{Body, build},
    route::{Endpoint, METHODS},
};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum StatsError {
    /// The event is not an HTTP request.
    #[error(transparent)]
    Event(#[from] EventError),
    /// No such path.
    #[error("no such path")]
    NotFound,
    /// The path takes other methods only.
    #[error("only GET is allowed")]
    MethodNotAllowed,
    /// It may not be asked, by this client.
    #[error("not authorized")]
    Unauthorized(Unauthorized),
    /// Whether it may be asked is not known; the details are for the log.
    #[error(transparent)]
    Tokens(SecretError),
    /// Parameters that cannot be used.
    #[error("bad parameters: {0:?}")]
    BadParameters(Vec<BadParameter>),
    /// The answer is longer than Lambda sends.
    #[error(
        "the answer has {bytes} bytes, and may have {limit}: expected fewer targets, longer buckets, or a limit where there is one"
    )]
    TooLong {
        /// So many.
        bytes: usize,
        /// And so many could be.
        limit: usize,
    },
    /// The database took longer than it may.
    #[error("the database took too long")]
    Slow,
    /// The database cannot be asked, or what is asked for cannot be had from it; the details are for the log.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The answer cannot be written.
    #[error("cannot write the answer: {0}")]
    Write(#[from] Box<dyn std::error::Error + Send + Sync>),
}

impl From<Vec<BadParameter>> for StatsError {
    fn from(bad: Vec<BadParameter>) -> Self {
        Self::BadParameters(bad)
    }
}

impl From<Refused> for StatsError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unauthorized(unauthorized) => Self::Unauthorized(unauthorized),
            Refused::Unknown(error) => Self::Tokens(error),
        }
    }
}

impl From<std::io::Error> for StatsError {
    fn from(error: std::io::Error) -> Self {
        Self::Write(error.into())
    }
}

impl From<serde_json::Error> for StatsError {
    fn from(error: serde_json::Error) -> Self {
        Self::Write(error.into())
    }
}

impl From<csv::Error> for StatsError {
    fn from(error: csv::Error) -> Self {
        Self::Write(error.into())
    }
}

/// A problem document (RFC 9457) that tells the client what it can act on and no more.
pub(crate) fn problem(config: &StatsConfig, error: &StatsError) -> Response<Body> {
    let one = |parameter: &str| json!({"errors": [BadParameter { parameter: parameter.to_owned(), detail: error.to_string() }]});
    let mut more = Vec::new();
    let (status, detail) = match error {
        StatsError::Event(error) => (StatusCode::BAD_REQUEST, json!({"detail": error.to_string()})),
        StatsError::NotFound => (StatusCode::NOT_FOUND, json!({"detail": format!("expected {}", Endpoint::PATHS)})),
        StatsError::MethodNotAllowed => {
            more.push((header::ALLOW, METHODS.to_owned()));
            (StatusCode::METHOD_NOT_ALLOWED, json!({"detail": "expected GET"}))
        }
        StatsError::Unauthorized(Unauthorized { has_token }) => {
            let (challenge, detail) = if *has_token {
                ("Bearer error=\"invalid_token\"", "the token is not known")
            } else {
                ("Bearer", "expected a token, as in Authorization: Bearer TOKEN, or a request that AWS lets in")
            };
            more.push((header::WWW_AUTHENTICATE, challenge.to_owned()));
            (StatusCode::UNAUTHORIZED, json!({"detail": detail}))
        }
        StatsError::BadParameters(bad) => (StatusCode::BAD_REQUEST, json!({"errors": bad})),
        StatsError::TooLong { .. } => (StatusCode::BAD_REQUEST, one("limit")),
        StatsError::History(HistoryError::TooLarge { parameter, .. } | HistoryError::NotKept { parameter, .. }) => {
            (StatusCode::BAD_REQUEST, one(parameter))
        }
        StatsError::History(HistoryError::TooMany { .. } | HistoryError::Dropped) => {
            (StatusCode::BAD_REQUEST, one("window"))
        }
        StatsError::Write(error) => {
            tracing::error!("{error}");
            (StatusCode::INTERNAL_SERVER_ERROR, json!({}))
        }
        StatsError::Slow => {
            let limit = print_duration(config.query_timeout);
            let detail =
                format!("this takes the database longer than {limit}: expected a shorter window or fewer targets");
            (StatusCode::SERVICE_UNAVAILABLE, json!({"detail": detail}))
        }
        StatsError::Tokens(error) => {
            tracing::error!("{error}");
            more.push((header::RETRY_AFTER, "5".to_owned()));
            (StatusCode::SERVICE_UNAVAILABLE, json!({"detail": "the tokens cannot be read at the moment"}))
        }
        StatsError::History(HistoryError::Database(error)) => {
            tracing::error!("{error}");
            more.push((header::RETRY_AFTER, "5".to_owned()));
            (StatusCode::SERVICE_UNAVAILABLE, json!({"detail": "the database cannot be asked at the moment"}))
        }
    };
    let mut problem = json!({"title": status.canonical_reason(), "status": status.as_u16()});
    if let (Some(problem), Some(detail)) = (problem.as_object_mut(), detail.as_object()) {
        problem.extend(detail.clone());
    }
    more.extend([
        (header::CONTENT_TYPE, "application/problem+json".to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ]);
    build(status, more, Body::Text(problem.to_string()))
}
