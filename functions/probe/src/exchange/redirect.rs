//! From a response that points elsewhere to the next request (RFC 9110, section 15.4).

use reqwest::{
    Method, Response, StatusCode,
    header::{HeaderMap, LOCATION},
};
use shared::record::{Failure, FailureKind};

use super::hop::Sent;

/// Where a redirect points to. One that points nowhere is an answer like any other.
pub(super) fn location(response: &Response) -> Option<String> {
    let location = response.headers().get(LOCATION)?;
    let is_redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    is_redirect.then(|| String::from_utf8_lossy(location.as_bytes()).into_owned())
}

/// The request that a redirect asks for.
pub(super) fn follow(sent: &Sent, status: StatusCode, location: &str) -> Result<Sent, Failure> {
    let refused = |message: String| Failure { kind: FailureKind::Redirect, message };
    let url = sent.url.join(location).map_err(|error| refused(format!("redirected to what is not a URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refused(format!("redirected to a URL that starts with {}:", url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("redirected to a URL with credentials in it".to_owned()));
    }
    let mut next = Sent { url, ..sent.clone() };
    let becomes_get = match status {
        StatusCode::SEE_OTHER => sent.method != Method::HEAD,
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => sent.method == Method::POST,
        _ => false,
    };
    if becomes_get {
        next.method = Method::GET;
        next.body = None;
    }
    // What was meant for one origin is not for another: headers and body may hold secrets.
    if next.url.origin() != sent.url.origin() {
        if next.body.is_some() {
            return Err(refused("redirected to another origin, which the body is not sent to".to_owned()));
        }
        next.headers = HeaderMap::new();
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(method: Method) -> Sent {
        let mut headers = HeaderMap::new();
        headers.insert("x-api-key", "secret".parse().unwrap());
        Sent { url: "https://a.test/x/y?z".parse().unwrap(), method, headers, body: Some("body".to_owned()) }
    }

    fn follow_to(method: Method, status: u16, location: &str) -> Result<Sent, Failure> {
        follow(&sent(method), StatusCode::from_u16(status).unwrap(), location)
    }

    #[test]
    fn a_location_is_read_relative_to_the_url() {
        for (location, expected) in [
            ("../b", "https://a.test/b"),
            ("//b.test", "https://b.test/"),
            ("?q", "https://a.test/x/y?q"),
            ("http://b.test:8080/", "http://b.test:8080/"),
        ] {
            assert_eq!(follow_to(Method::POST, 302, location).unwrap().url.as_str(), expected);
        }
    }

    #[test]
    fn headers_stay_with_their_origin() {
        assert_eq!(follow_to(Method::POST, 302, "/b").unwrap().headers.len(), 1);
        for elsewhere in ["https://b.test/", "http://a.test/", "https://a.test:444/"] {
            assert!(follow_to(Method::POST, 302, elsewhere).unwrap().headers.is_empty(), "{elsewhere}");
        }
    }

    #[test]
    fn a_body_stays_with_its_origin() {
        assert!(follow_to(Method::POST, 307, "/b").unwrap().body.is_some());
        assert!(follow_to(Method::POST, 303, "https://b.test/").unwrap().body.is_none());
        let failure = follow_to(Method::POST, 307, "http://a.test/").err().unwrap();
        assert!(failure.message.contains("the body is not sent"), "{}", failure.message);
    }

    #[test]
    fn the_method_changes_as_the_status_says() {
        for (method, status, expected) in [
            (Method::POST, 301, Method::GET),
            (Method::POST, 302, Method::GET),
            (Method::PUT, 302, Method::PUT),
            (Method::PUT, 303, Method::GET),
            (Method::HEAD, 303, Method::HEAD),
            (Method::POST, 307, Method::POST),
            (Method::POST, 308, Method::POST),
        ] {
            let next = follow_to(method, status, "/").unwrap();
            assert_eq!((next.body.is_some(), next.method), (expected != Method::GET, expected), "{status}");
        }
    }

    #[test]
    fn what_cannot_be_followed_is_a_failed_redirect() {
        for (location, words) in
            [("ftp://a.test/", "ftp:"), ("http://[", "not a URL"), ("https://me:secret@a.test/", "credentials")]
        {
            let failure = follow_to(Method::GET, 302, location).err().unwrap();
            assert_eq!(failure.kind, FailureKind::Redirect);
            assert!(failure.message.contains(words) && !failure.message.contains("secret"), "{}", failure.message);
        }
    }
}
