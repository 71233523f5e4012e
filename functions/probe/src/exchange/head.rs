//! The heads of requests and responses: what is sent by default, and how large a head may be.

use http::{
    HeaderMap, HeaderValue, Method, Uri,
    header::{ACCEPT, CONTENT_LENGTH, HOST, USER_AGENT},
    uri::{Authority, PathAndQuery},
};
use shared::record::{Failure, FailureKind};
use url::{Position, Url};

use super::hop::Sent;

/// The largest head of a response: the bytes of its header lines. The limit of curl since 8.4.
pub(super) const MAX_BYTES: usize = 300 << 10;
/// The most header lines of a response; the limit of curl.
pub(super) const MAX_HEADERS: usize = 5_000;
/// Bytes by which a head may be larger than its headers: status lines, interim responses, and blanks that are removed.
pub(super) const SLACK: usize = 64 << 10;
/// Sent unless the monitor sets another.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("website-monitor/", env!("CARGO_PKG_VERSION")));

/// The parts of a request that both protocols send, each in its own form.
#[derive(Debug)]
pub(super) struct RequestHead {
    /// `Host` or `:authority`: that of the URL, unless the monitor sets another.
    pub(super) authority: Authority,
    pub(super) path: PathAndQuery,
    /// Without `Host`.
    pub(super) headers: HeaderMap,
}

impl RequestHead {
    /// Puts the head together: the monitor's headers after the defaults, which are `user-agent`, `accept` and, where the
    /// method has content by its meaning or there is some, `content-length`.
    ///
    /// # Errors
    /// The host that the monitor sets, or the URL, cannot be sent.
    pub(super) fn new(sent: &Sent) -> Result<Self, Failure> {
        let failed = |message: String| Failure { kind: FailureKind::Protocol, message };
        let authority = match sent.headers.get(HOST) {
            Some(host) => authority(host).map_err(failed)?,
            None => Authority::try_from(&sent.url[Position::BeforeHost..Position::AfterPort])
                .map_err(|error| failed(format!("the host of the URL cannot be sent: {error}")))?,
        };
        let path = PathAndQuery::try_from(&sent.url[Position::BeforePath..Position::AfterQuery])
            .map_err(|error| failed(format!("the path of the URL cannot be sent: {error}")))?;
        let mut headers = HeaderMap::with_capacity(sent.headers.len() + 3);
        headers.insert(USER_AGENT, AGENT);
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        let length = sent.body.as_ref().map_or(0, String::len);
        // RFC 9110, section 8.6.
        if length > 0 || matches!(sent.method, Method::POST | Method::PUT | Method::PATCH) {
            headers.insert(CONTENT_LENGTH, length.into());
        }
        for (name, value) in sent.headers.iter().filter(|(name, _)| *name != HOST) {
            headers.insert(name, value.clone());
        }
        Ok(Self { authority, path, headers })
    }

    /// The absolute form of the URL, with the authority that is sent.
    pub(super) fn absolute(&self, url: &Url) -> Result<Uri, http::Error> {
        Uri::builder().scheme(url.scheme()).authority(self.authority.clone()).path_and_query(self.path.clone()).build()
    }
}

/// The host that a monitor sets, as it is sent.
///
/// # Errors
/// It is empty, or not a host.
pub(crate) fn authority(host: &HeaderValue) -> Result<Authority, String> {
    let authority = Authority::try_from(host.as_bytes()).ok().filter(|host| !host.as_str().contains('@'));
    authority.ok_or_else(|| "the header host of the monitor is not a host, such as a.test or a.test:8080".to_owned())
}

/// Checks the size of a response's head and takes blanks from the ends of its values, which unfolding may leave there.
///
/// # Errors
/// It is larger than [`MAX_BYTES`] or has more lines than [`MAX_HEADERS`].
pub(super) fn check_response(headers: &mut HeaderMap) -> Result<(), Failure> {
    if headers.len() > MAX_HEADERS || size(headers) > MAX_BYTES {
        return Err(too_large());
    }
    for value in headers.values_mut() {
        let trimmed = value.as_bytes().trim_ascii();
        if trimmed.len() < value.len()
            && let Ok(trimmed) = HeaderValue::from_bytes(trimmed)
        {
            *value = trimmed;
        }
    }
    Ok(())
}

/// The size of headers as lines of HTTP/1.1, in bytes: the name, a colon and a blank, the value, CRLF.
pub(super) fn size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

/// The failure of a response whose head is beyond a limit.
pub(super) fn too_large() -> Failure {
    let message = format!("the response head is larger than {MAX_BYTES} bytes or {MAX_HEADERS} headers");
    Failure { kind: FailureKind::Protocol, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_header_that_is_not_a_host_is_refused() {
        for host in ["me@other.test", "a b", "", "a/b"] {
            let refused = authority(&HeaderValue::from_static(host)).unwrap_err();
            assert!(refused.contains("the header host of the monitor is not a host"), "{host}: {refused}");
        }
        for host in ["other.test", "other.test:8080", "[::1]:80"] {
            assert_eq!(authority(&HeaderValue::from_static(host)).unwrap(), host);
        }
    }
}
