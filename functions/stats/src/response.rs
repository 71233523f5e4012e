//! What is sent.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use serde_json::json;

use crate::{
    StatsConfig,
    cache::Answer,
    config::Cors,
    event::Request,
    health::Health,
    page::{self, Asset, HTML, Notice},
    problem::{StatsError, problem},
    route::{Fingerprint, METHODS},
};

/// The body of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// No body.
    Empty,
    /// A text.
    Text(String),
    /// Bytes of any kind.
    Binary(Vec<u8>),
}

impl Body {
    /// Bytes that it has.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }
}

/// What there is to send.
pub enum Reply {
    /// An answer, with the entity tag that it has.
    Answer {
        /// In quotes.
        tag: String,
        /// Finished.
        #[expect(private_interfaces, reason = "made and taken apart in this crate alone")]
        answer: Answer,
    },
    /// Nothing that the client does not have.
    NotModified {
        /// In quotes.
        tag: String,
    },
    /// Whether the function works.
    Health(Health),
    /// The description of all this.
    OpenApi(&'static str),
    /// The page without figures.
    Page {
        /// All of it.
        html: String,
        /// Why there are none.
        notice: Notice,
    },
    /// What belongs to the page.
    Asset {
        /// Which.
        asset: &'static Asset,
        /// Whether that is what its path promised, for ever.
        fingerprint: Fingerprint,
        /// Whether it is to be sent compressed.
        compresses: bool,
    },
    /// Where the page is, relative to what was asked for.
    Elsewhere(String),
    /// What may be asked.
    Options,
}

impl Reply {
    /// The description of all this, as OpenAPI 3.1.
    #[must_use]
    pub fn openapi() -> Self {
        Self::OpenApi(include_str!("openapi.json"))
    }
}

/// The HTTP response to a request; one to HEAD has no body.
#[must_use]
pub fn to_http(config: &StatsConfig, request: &Request, reply: Result<Reply, StatsError>) -> Response<Body> {
    let mut response = match reply {
        Ok(reply) => respond(config, reply),
        Err(error) => problem(config, &error),
    };
    share(&config.cors, request, response.headers_mut());
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if request.method == Method::HEAD {
        *response.body_mut() = Body::Empty;
    }
    response
}

fn respond(config: &StatsConfig, reply: Reply) -> Response<Body> {
    let (status, headers, body) = match reply {
        Reply::Page { html, notice } => {
            let status = match notice {
                // Its script may know a token.
                Notice::Unauthorized => StatusCode::OK,
                Notice::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            };
            let mut headers =
                vec![(header::CONTENT_TYPE, HTML.to_owned()), (header::CACHE_CONTROL, "no-store".to_owned())];
            if status == StatusCode::SERVICE_UNAVAILABLE {
                headers.push((header::RETRY_AFTER, "5".to_owned()));
            }
            (status, headers, Body::Text(html))
        }
        Reply::Asset { asset, fingerprint, compresses } => {
            let caching = match fingerprint {
                Fingerprint::Right => "public, max-age=31536000, immutable",
                Fingerprint::Other => "no-store",
            };
            let mut headers = vec![
                (header::CONTENT_TYPE, asset.content_type.to_owned()),
                (header::CACHE_CONTROL, caching.to_owned()),
                (header::VARY, "Accept-Encoding".to_owned()),
            ];
            if compresses {
                headers.push((header::CONTENT_ENCODING, "gzip".to_owned()));
            }
            let bytes = if compresses { asset.compressed.clone() } else { asset.bytes.to_vec() };
            (StatusCode::OK, headers, Body::Binary(bytes))
        }
        Reply::Elsewhere(path) => {
            let headers = vec![(header::LOCATION, path), (header::CACHE_CONTROL, "no-store".to_owned())];
            (StatusCode::PERMANENT_REDIRECT, headers, Body::Empty)
        }
        Reply::Answer { tag, answer } => {
            let mut headers = vec![(header::CONTENT_TYPE, answer.content_type.to_owned())];
            if answer.is_compressed {
                headers.push((header::CONTENT_ENCODING, "gzip".to_owned()));
            }
            // Relative to the path asked for (RFC 8288).
            headers.extend(answer.next.map(|query| (header::LINK, format!("<?{query}>; rel=\"next\""))));
            headers.extend(caching(config, tag));
            (StatusCode::OK, headers, answer.body)
        }
        Reply::NotModified { tag } => (StatusCode::NOT_MODIFIED, caching(config, tag), Body::Empty),
        Reply::Health(health) => {
            let is_ok = health.status == "ok";
            let status = if is_ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            let headers = vec![
                (header::CONTENT_TYPE, "application/json".to_owned()),
                (header::CACHE_CONTROL, "no-store".to_owned()),
            ];
            (status, headers, Body::Text(json!(health).to_string()))
        }
        Reply::OpenApi(text) => {
            let headers = vec![
                (header::CONTENT_TYPE, "application/json".to_owned()),
                (header::CACHE_CONTROL, "public, max-age=3600".to_owned()),
            ];
            (StatusCode::OK, headers, Body::Text(text.to_owned()))
        }
        Reply::Options => (StatusCode::NO_CONTENT, vec![(header::ALLOW, METHODS.to_owned())], Body::Empty),
    };
    let mut headers = headers;
    if headers.iter().any(|(name, value)| *name == header::CONTENT_TYPE && value == HTML) {
        headers.push((header::CONTENT_SECURITY_POLICY, page::POLICY.to_owned()));
        headers.push((header::REFERRER_POLICY, "no-referrer".to_owned()));
    }
    build(status, headers, body)
}

fn caching(config: &StatsConfig, tag: String) -> Vec<(HeaderName, String)> {
    let whose = if config.access.is_public() { "public" } else { "private" };
    vec![
        (header::ETAG, tag),
        (header::CACHE_CONTROL, format!("{whose}, max-age={}", config.max_age.as_secs())),
        (header::VARY, "Accept, Accept-Encoding, Authorization".to_owned()),
    ]
}

/// A response with these headers.
pub(crate) fn build(status: StatusCode, headers: Vec<(HeaderName, String)>, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    for (name, value) in headers {
        // Each is made here, of letters that headers may have.
        response.headers_mut().extend(HeaderValue::from_str(&value).ok().map(|value| (name, value)));
    }
    response
}

/// Lets pages of other origins read the response (<https://fetch.spec.whatwg.org/#http-cors-protocol>), those that may. What
/// depends on the origin says so to every client, since a cache may keep it for another one.
fn share(cors: &Cors, request: &Request, headers: &mut HeaderMap) {
    let origin = request.headers.get(header::ORIGIN);
    let allowed = match cors {
        Cors::None => None,
        Cors::Any => Some(HeaderValue::from_static("*")),
        Cors::Origins(origins) => {
            // One line: of several of one name, Lambda sends one.
            let before =
                headers.get(header::VARY).and_then(|value| value.to_str().ok()).map(|vary| format!("{vary}, "));
            let vary = HeaderValue::from_str(&format!("{}Origin", before.unwrap_or_default()));
            vary.ok().map(|vary| headers.insert(header::VARY, vary));
            let is_named = |origin: &&HeaderValue| origins.iter().any(|named| named.as_bytes() == origin.as_bytes());
            origin.filter(is_named).cloned()
        }
    };
    let Some(allowed) = allowed else { return };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("etag, link"));
    if request.method == Method::OPTIONS {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
        let allowed = HeaderValue::from_static("authorization, if-none-match");
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    }
}
