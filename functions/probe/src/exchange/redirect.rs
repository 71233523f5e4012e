//! From a response that points elsewhere to the next request (RFC 9110, section 15.4, and what browsers and curl do).
//!
//! - 301, 302, 303, 307 and 308 with a `Location` are followed. 300, 304, 305 and 306 are answers like any other, and so is
//!   a redirect without a `Location` or with an empty one, as in curl and Chromium.
//! - Equal `Location` lines are one; different ones are a failure, as in Chromium.
//! - A `Location` is bytes: those that are not UTF-8 are percent-encoded one by one, as browsers and curl do.
//! - POST becomes GET after 301 and 302, and every method but HEAD after 303. The content goes, and the headers that describe
//!   it go with it.
//! - A `Location` without a fragment inherits that of the URL (RFC 9110, section 10.2.2).

use std::{borrow::Cow, fmt::Write as _};

use http::{
    HeaderMap, HeaderName, Method, StatusCode,
    header::{
        CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_TYPE, EXPECT, LAST_MODIFIED,
        LOCATION, TRAILER,
    },
};
use shared::record::{Failure, FailureKind};

use super::hop::Sent;

/// The headers that describe the content and go with it (RFC 9110, section 15.4).
const OF_CONTENT: [HeaderName; 12] = [
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    CONTENT_LOCATION,
    CONTENT_TYPE,
    EXPECT,
    LAST_MODIFIED,
    TRAILER,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// Where a redirect points to; nothing for a response that is no redirect.
///
/// # Errors
/// It points to several places.
pub(super) fn location(status: StatusCode, headers: &HeaderMap) -> Result<Option<Cow<'_, str>>, Failure> {
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let values = headers.get_all(LOCATION).iter().map(|value| value.as_bytes().trim_ascii());
    let mut locations = values.filter(|location| !location.is_empty());
    let Some(location) = locations.next() else { return Ok(None) };
    if locations.any(|other| other != location) {
        return Err(failed("redirected to several places: the response has Location lines that differ".to_owned()));
    }
    Ok(Some(text(location)))
}

/// The bytes as text: UTF-8 as it is, anything else percent-encoded.
fn text(location: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(location) {
        return text.into();
    }
    let mut text = String::with_capacity(location.len() * 3);
    for byte in location {
        if byte.is_ascii() {
            text.push(char::from(*byte));
        } else {
            write!(text, "%{byte:02X}").unwrap_or_default();
        }
    }
    text.into()
}

/// The request that a redirect asks for.
pub(super) fn follow(sent: &Sent, status: StatusCode, location: &str) -> Result<Sent, Failure> {
    let joined = sent.url.join(location);
    let mut url = joined.map_err(|error| failed(format!("redirected to what is not a URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(failed(format!("redirected to a URL that starts with {}:", url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(failed("redirected to a URL with credentials in it".to_owned()));
    }
    if url.fragment().is_none() {
        url.set_fragment(sent.url.fragment());
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
        for name in OF_CONTENT {
            next.headers.remove(name);
        }
    }
    // What was meant for one origin is not for another: headers and body may hold secrets.
    if next.url.origin() != sent.url.origin() {
        if next.body.is_some() {
            return Err(failed("redirected to another origin, which the body is not sent to".to_owned()));
        }
        next.headers = HeaderMap::new();
    }
    Ok(next)
}

fn failed(message: String) -> Failure {
    Failure { kind: FailureKind::Redirect, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(method: Method) -> Sent {
        let mut headers = HeaderMap::new();
        headers.insert("x-api-key", "secret".parse().unwrap());
        headers.insert("content-type", "text/plain".parse().unwrap());
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
        assert_eq!(follow_to(Method::POST, 307, "/b").unwrap().headers.len(), 2);
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

    fn location_of(status: u16, lines: &[&[u8]]) -> Result<Option<String>, Failure> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(LOCATION, http::HeaderValue::from_bytes(line).unwrap());
        }
        location(StatusCode::from_u16(status).unwrap(), &headers).map(|found| found.map(Cow::into_owned))
    }

    #[test]
    fn location_is_read_only_from_a_status_that_redirects() {
        for status in [301, 302, 303, 307, 308] {
            assert_eq!(location_of(status, &[b"/a"]).unwrap().as_deref(), Some("/a"), "{status}");
        }
        for status in [200, 201, 300, 304, 305, 306, 309, 399] {
            assert_eq!(location_of(status, &[b"/a"]).unwrap(), None, "{status}");
        }
    }

    #[test]
    fn repeated_location_is_followed_only_where_its_lines_agree() {
        assert_eq!(location_of(302, &[b"/a", b"", b"/a "]).unwrap().as_deref(), Some("/a"));
        assert_eq!(location_of(302, &[b"", b" "]).unwrap(), None);
        assert_eq!(location_of(302, &[]).unwrap(), None);
        let failure = location_of(302, &[b"/a", b"/b"]).unwrap_err();
        assert!(failure.kind == FailureKind::Redirect && failure.message.contains("several"), "{}", failure.message);
    }

    #[test]
    fn location_bytes_are_percent_encoded_one_by_one() {
        for (location, expected) in [
            (b"/caf\xe9?a=\xff".as_slice(), "https://a.test/caf%E9?a=%FF"),
            ("/café".as_bytes(), "https://a.test/caf%C3%A9"),
            (b"/a b\tc", "https://a.test/a%20bc"),
            ("https://bücher.test/".as_bytes(), "https://xn--bcher-kva.test/"),
        ] {
            let location = location_of(303, &[location]).unwrap().unwrap();
            assert_eq!(follow_to(Method::GET, 303, &location).unwrap().url.as_str(), expected);
        }
    }

    #[test]
    fn headers_of_the_content_go_with_it() {
        let get = follow_to(Method::POST, 303, "/b").unwrap();
        assert!(get.headers.contains_key("x-api-key") && !get.headers.contains_key("content-type"));
        assert!(follow_to(Method::POST, 308, "/b").unwrap().headers.contains_key("content-type"));
        assert!(follow_to(Method::PUT, 302, "/b").unwrap().headers.contains_key("content-type"));
    }

    #[test]
    fn every_header_of_the_content_goes_with_it() {
        let names = ["expect", "trailer", "content-md5", "digest", "content-digest", "repr-digest"];
        let mut sent = sent(Method::POST);
        sent.headers.extend(names.map(|name| (HeaderName::from_static(name), "a".parse().unwrap())));
        let next = follow(&sent, StatusCode::FOUND, "/b").unwrap();
        assert_eq!(next.headers.keys().collect::<Vec<_>>(), ["x-api-key"]);
    }

    #[test]
    fn fragment_is_inherited_unless_the_location_has_one() {
        let sent = Sent { url: "https://a.test/#here".parse().unwrap(), ..sent(Method::GET) };
        for (location, expected) in [("/b", "https://a.test/b#here"), ("/b#there", "https://a.test/b#there")] {
            assert_eq!(follow(&sent, StatusCode::FOUND, location).unwrap().url.as_str(), expected);
        }
    }
}
