//! The answer over HTTP, and the one place where an error becomes a status.

use lambda_http::{
    Body, Request, Response,
    http::{HeaderValue, Method, StatusCode, header},
};
use serde_json::json;

use crate::{history::HistoryError, query::BadParameter, report::StatsReport};

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum StatsError {
    /// No such path.
    #[error("no such path")]
    NotFound,
    /// The path takes GET only.
    #[error("only GET is allowed")]
    MethodNotAllowed,
    /// Parameters that cannot be used.
    #[error("bad parameters: {0:?}")]
    BadParameters(Vec<BadParameter>),
    /// The database cannot be asked, or what is asked for cannot be had from it; the details are for the log.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The report cannot be written as JSON.
    #[error("cannot encode the report: {0}")]
    Encode(#[from] serde_json::Error),
}

impl From<Vec<BadParameter>> for StatsError {
    fn from(bad: Vec<BadParameter>) -> Self {
        Self::BadParameters(bad)
    }
}

/// The query string of a request for statistics.
///
/// # Errors
/// Another path, or another method.
pub fn route(request: &Request) -> Result<&str, StatsError> {
    match request.uri().path() {
        "/stats" | "/stats/" if request.method() == Method::GET => Ok(request.uri().query().unwrap_or_default()),
        "/stats" | "/stats/" => Err(StatsError::MethodNotAllowed),
        _ => Err(StatsError::NotFound),
    }
}

/// The HTTP response: a report, or a problem document (RFC 9457) that tells the client what it can act on and no
/// more.
#[must_use]
pub fn to_http(answer: Result<StatsReport, StatsError>) -> Response<Body> {
    let error = match answer.map(|report| serde_json::to_string(&report)) {
        Ok(Ok(report)) => return respond(StatusCode::OK, "application/json", report),
        Ok(Err(error)) => StatsError::Encode(error),
        Err(error) => error,
    };
    let (status, detail) = match &error {
        StatsError::NotFound => (StatusCode::NOT_FOUND, json!({"detail": "expected GET /stats"})),
        StatsError::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, json!({"detail": "expected GET"})),
        StatsError::BadParameters(bad) => (StatusCode::BAD_REQUEST, json!({"errors": bad})),
        StatsError::Encode(error) => {
            lambda_http::tracing::error!("{error}");
            (StatusCode::INTERNAL_SERVER_ERROR, json!({}))
        }
        StatsError::History(
            error @ (HistoryError::TooMany { .. } | HistoryError::Dropped | HistoryError::TooLarge { .. }),
        ) => {
            let parameter = if matches!(error, HistoryError::TooLarge { .. }) { "bucket" } else { "window" };
            let errors = [BadParameter { parameter: parameter.to_owned(), detail: error.to_string() }];
            (StatusCode::BAD_REQUEST, json!({ "errors": errors }))
        }
        StatsError::History(HistoryError::Database(error)) => {
            lambda_http::tracing::error!("{error}");
            (StatusCode::SERVICE_UNAVAILABLE, json!({"detail": "the database cannot be asked at the moment"}))
        }
    };
    let mut problem = json!({"title": status.canonical_reason(), "status": status.as_u16()});
    if let (Some(problem), Some(detail)) = (problem.as_object_mut(), detail.as_object()) {
        problem.extend(detail.clone());
    }
    let mut response = respond(status, "application/problem+json", problem.to_string());
    match status {
        StatusCode::METHOD_NOT_ALLOWED => response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET")),
        StatusCode::SERVICE_UNAVAILABLE => {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"))
        }
        _ => None,
    };
    response
}

fn respond(status: StatusCode, content_type: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::Text(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
