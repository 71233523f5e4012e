//! HTTP requests as the events of Lambda carry them, and responses as Lambda takes them.
//!
//! Three kinds of service send such events: a function URL or an HTTP API (payload format 2.0), a REST API (payload format 1.0),
//! and an Application Load Balancer. A client writes the headers, the path and the query string of an event. So this reader
//! takes any text in them, and refuses an event only if it lacks what makes a request.

mod fields;
mod response;
#[cfg(test)]
mod tests;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde_json::Value;

use self::fields::{Fields, lists, mapping, object, optional_object, text};
pub use self::response::ResponseEvent;

/// Bytes of a response body that fit into what Lambda sends, at most: six megabytes of JSON, in which quotes are escaped and
/// compressed bytes take a third more.
pub const MAX_BYTES: usize = 4_400_000;
/// The same for a load balancer, which takes one megabyte.
const MAX_BYTES_OF_LOAD_BALANCER: usize = 730_000;

/// A request to stats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path, with the stage of the API and the prefix of the function.
    pub path: String,
    /// The query string, percent-encoded, without the question mark.
    pub query: String,
    /// The headers. Those that HTTP does not allow are left out.
    pub headers: HeaderMap,
    /// The stage of the API, unless it is the default one.
    pub stage: Option<String>,
    /// Whether AWS authorized the request. No client can write the part of the event that states it.
    pub is_authorized: bool,
    /// Bytes that the body of the response may have.
    pub max_bytes: usize,
}

/// The form of an event, which its response has as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    source: Source,
    /// Whether each header is a list of values.
    has_lists: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// Payload format 2.0.
    Payload2,
    /// Payload format 1.0.
    Payload1,
    LoadBalancer,
}

/// An event that is not an HTTP request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "failed to read the request: {0}; send an event of a function URL or an HTTP API (payload format 2.0), of a REST API (payload \
     format 1.0), or of an Application Load Balancer"
)]
pub struct EventError(String);

impl Default for Request {
    /// A GET of the status page, without headers.
    fn default() -> Self {
        Self {
            method: Method::GET,
            path: "/".to_owned(),
            query: String::new(),
            headers: HeaderMap::new(),
            stage: None,
            is_authorized: false,
            max_bytes: MAX_BYTES,
        }
    }
}

/// Reads an event: the form in which the response is sent, and the request.
///
/// # Errors
/// The event is not an HTTP request. The form is known even then.
pub fn read(event: &str) -> (Form, Result<Request, EventError>) {
    let fields = object(event).unwrap_or_default();
    let context = fields.get("requestContext").and_then(|context| object(context.get())).unwrap_or_default();
    // The emulator of cargo-lambda sends payload format 2.0 with an httpMethod.
    let source = if context.contains_key("http") {
        Source::Payload2
    } else if context.contains_key("elb") {
        Source::LoadBalancer
    } else if fields.contains_key("httpMethod") {
        Source::Payload1
    } else {
        Source::Payload2
    };
    let has_lists = source != Source::Payload2
        && fields.get("multiValueHeaders").is_some_and(|headers| object(headers.get()).is_some());
    let request = match source {
        Source::Payload2 => of_payload_2(&fields, &context),
        Source::Payload1 => of_payload_1(&fields, &context),
        Source::LoadBalancer => of_load_balancer(&fields),
    };
    (Form { source, has_lists }, request)
}

fn of_payload_2(fields: &Fields<'_>, context: &Fields<'_>) -> Result<Request, EventError> {
    let http = optional_object(context, "http", "requestContext.http")?;
    let method = method(text(&http, "method")?, "requestContext.http.method")?;
    let query = match text(fields, "rawQueryString")? {
        Some(query) => query,
        None => encoded(mapping(fields, "queryStringParameters")?),
    };
    let is_authorized = optional_object(context, "authorizer", "requestContext.authorizer")
        .is_ok_and(|authorizer| ["iam", "jwt", "lambda"].iter().any(|name| says_something(&authorizer, name)));
    Ok(Request {
        method,
        path: required(text(fields, "rawPath")?, "rawPath")?,
        query,
        headers: headers(fields)?,
        stage: stage(context)?,
        is_authorized,
        max_bytes: MAX_BYTES,
    })
}

fn of_payload_1(fields: &Fields<'_>, context: &Fields<'_>) -> Result<Request, EventError> {
    let mut headers = headers(fields)?;
    // A REST API sends compressed bytes only if it is configured to, and base64 otherwise.
    headers.remove(header::ACCEPT_ENCODING);
    let authorizer = optional_object(context, "authorizer", "requestContext.authorizer").unwrap_or_default();
    let identity = optional_object(context, "identity", "requestContext.identity").unwrap_or_default();
    let is_authorized =
        authorizer.keys().any(|name| says_something(&authorizer, name)) || says_something(&identity, "userArn");
    // The path of the context has the stage, as that of payload format 2.0 has.
    let path = match text(context, "path")? {
        Some(path) => Some(path),
        None => text(fields, "path")?,
    };
    Ok(Request {
        method: method(text(fields, "httpMethod")?, "httpMethod")?,
        path: required(path, "path")?,
        query: encoded(parameters(fields)?),
        headers,
        stage: stage(context)?,
        is_authorized,
        max_bytes: MAX_BYTES,
    })
}

fn of_load_balancer(fields: &Fields<'_>) -> Result<Request, EventError> {
    // A load balancer leaves parameters as the client encoded them.
    let parameters = parameters(fields)?.into_iter().map(|(name, value)| format!("{name}={value}"));
    Ok(Request {
        method: method(text(fields, "httpMethod")?, "httpMethod")?,
        path: required(text(fields, "path")?, "path")?,
        query: parameters.collect::<Vec<_>>().join("&"),
        headers: headers(fields)?,
        stage: None,
        is_authorized: false,
        max_bytes: MAX_BYTES_OF_LOAD_BALANCER,
    })
}

fn method(text: Option<String>, name: &str) -> Result<Method, EventError> {
    let text = required(text, name)?;
    Method::from_bytes(text.as_bytes()).map_err(|_| EventError(format!("{name} {text:?} is not a method of HTTP")))
}

fn required(text: Option<String>, name: &str) -> Result<String, EventError> {
    text.ok_or_else(|| EventError(format!("{name} is missing")))
}

fn stage(context: &Fields<'_>) -> Result<Option<String>, EventError> {
    Ok(text(context, "stage")?.filter(|stage| !stage.is_empty() && stage != "$default"))
}

/// Whether a field is a text or an object that is not empty.
fn says_something(fields: &Fields<'_>, name: &str) -> bool {
    match fields.get(name).and_then(|value| serde_json::from_str(value.get()).ok()) {
        Some(Value::Object(object)) => !object.is_empty(),
        Some(Value::String(text)) => !text.is_empty(),
        _ => false,
    }
}

/// Headers, from lists of values or from single ones.
fn headers(fields: &Fields<'_>) -> Result<HeaderMap, EventError> {
    let pairs = match lists(fields, "multiValueHeaders")? {
        pairs if pairs.is_empty() => mapping(fields, "headers")?,
        pairs => pairs,
    };
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let header = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_bytes(value.as_bytes()).ok());
        if let Some((name, value)) = header
            && headers.try_append(name, value).is_err()
        {
            return Err(EventError("it has too many headers".to_owned()));
        }
    }
    Ok(headers)
}

/// Parameters of the query string, from lists of values or from single ones.
fn parameters(fields: &Fields<'_>) -> Result<Vec<(String, String)>, EventError> {
    match lists(fields, "multiValueQueryStringParameters")? {
        pairs if pairs.is_empty() => mapping(fields, "queryStringParameters"),
        pairs => Ok(pairs),
    }
}

fn encoded(parameters: Vec<(String, String)>) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish()
}
