use http::Response;
use serde_json::{Value, json};

use super::*;
use crate::response::Body;

/// A file of `fixtures/`, in the shape of AWS's sample events.
fn fixture(name: &str) -> Value {
    let path = format!("{}/fixtures/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn request(event: &Value) -> Result<Request, String> {
    read(&event.to_string()).1.map_err(|error| error.to_string())
}

#[test]
fn events_of_each_service_are_the_requests_that_clients_sent() {
    let one = "url=https%3A%2F%2Fb.test%2F%3Fq%3D1%262&window=1h";
    let two = "url=https%3A%2F%2Fa.test&url=https%3A%2F%2Fb.test%2F%3Fq%3D1%262&window=1h";
    let raw = "url=https://a.test&url=https://b.test&window=1h";
    for (name, path, query, stage, is_authorized) in [
        ("function-url", "/stats", raw, None, true),
        ("http-api-jwt", "/stats", raw, None, true),
        ("http-api-lambda-authorizer", "/stats", raw, None, true),
        ("http-api-no-authorizer", "/prod/stats", "", Some("prod"), false),
        ("cargo-lambda", "/stats", "window=1h", None, false),
        ("http-api-payload-1", "/stats", two, None, false),
        ("rest-api", "/prod/stats", two, Some("prod"), false),
        ("rest-api-iam", "/prod/stats", two, Some("prod"), true),
        ("rest-api-authorizer", "/prod/stats", two, Some("prod"), true),
        ("rest-api-console-test", "/prod/stats", "", Some("prod"), false),
        ("load-balancer", "/stats", one, None, false),
        ("load-balancer-lists", "/stats", two, None, false),
    ] {
        let request = request(&fixture(name)).unwrap();
        assert_eq!(
            (request.method, request.path.as_str(), request.query.as_str()),
            (Method::GET, path, query),
            "{name}"
        );
        assert_eq!((request.stage.as_deref(), request.is_authorized), (stage, is_authorized), "{name}");
    }
}

#[test]
fn headers_come_from_lists_and_from_single_values() {
    let header = |name: &str, header: &str| {
        let request = request(&fixture(name)).unwrap();
        request.headers.get(header).map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(header("function-url", "header2").as_deref(), Some("value1,value2"));
    assert_eq!(header("rest-api", "accept").as_deref(), Some("text/csv"));
    assert_eq!(header("load-balancer-lists", "accept-encoding").as_deref(), Some("gzip"));
    // A REST API may hand on base64 as it is.
    assert_eq!(header("rest-api", "accept-encoding"), None);
    assert_eq!(header("rest-api-console-test", "accept"), None);
}

#[test]
fn any_text_in_headers_and_query_is_taken() {
    let mut event = fixture("function-url");
    event["headers"] = json!({
        "x-forwarded-proto": "http, https", "host": "<x>", "x y": "1", "": "2", "x-a": "line\nbreak", "x-b": "ümlaut \u{0}",
        "x-c": null, "authorization": "Bearer é"
    });
    event["rawQueryString"] = json!("url=\"<a b>\"&x=\u{0}%ff%&\u{1f980}=#/?");

    let request = request(&event).unwrap();

    assert_eq!(request.query, "url=\"<a b>\"&x=\u{0}%ff%&\u{1f980}=#/?");
    assert_eq!((request.headers.len(), request.headers["host"].as_bytes()), (3, &b"<x>"[..]));
}

#[test]
fn a_query_string_comes_from_its_parameters_where_it_is_absent() {
    let mut event = fixture("http-api-no-authorizer");
    event.as_object_mut().unwrap().remove("rawQueryString");
    event["queryStringParameters"] = json!({"window": "1h", "url": "https://a.test/?b=1&c"});
    assert_eq!(request(&event).unwrap().query, "url=https%3A%2F%2Fa.test%2F%3Fb%3D1%26c&window=1h");
}

#[test]
fn an_event_that_is_no_request_is_refused_by_the_field_that_is_wrong() {
    let changed = |name: &str, pointer: &str, value: Value| {
        let mut event = fixture(name);
        *event.pointer_mut(pointer).unwrap() = value;
        event
    };
    for (event, expected) in [
        (json!({}), "requestContext.http.method is missing"),
        (json!(null), "requestContext.http.method is missing"),
        (json!([1]), "requestContext.http.method is missing"),
        (fixture("websocket"), "requestContext.http.method is missing"),
        (fixture("vpc-lattice"), "requestContext.http.method is missing"),
        (changed("function-url", "/requestContext/http", json!("GET")), "requestContext.http is not an object"),
        (changed("function-url", "/requestContext/http/method", json!("G T")), "\"G T\" is not a method of HTTP"),
        (changed("function-url", "/requestContext/http/method", json!(1)), "method is not a text"),
        (changed("function-url", "/rawPath", json!(["/"])), "rawPath is not a text"),
        (changed("function-url", "/rawPath", Value::Null), "rawPath is missing"),
        (changed("function-url", "/headers", json!({"a": 1})), "headers is not an object of texts"),
        (changed("rest-api", "/multiValueHeaders", json!({"a": "b"})), "multiValueHeaders is not an object of lists"),
        (changed("load-balancer", "/path", Value::Null), "path is missing"),
    ] {
        let error = request(&event).unwrap_err();
        assert!(error.contains(expected) && error.contains("payload format 2.0"), "{error}");
    }
}

#[test]
fn an_authorizer_without_content_authorizes_nothing() {
    for authorizer in [
        Value::Null,
        json!({}),
        json!("x"),
        json!([1]),
        json!({"iam": null}),
        json!({"iam": {}}),
        json!({"jwt": true, "lambda": []}),
        json!({"other": {"a": 1}}),
    ] {
        let mut event = fixture("function-url");
        event["requestContext"]["authorizer"] = authorizer;
        assert!(!request(&event).unwrap().is_authorized, "{event}");
    }
}

#[test]
fn a_response_has_the_form_of_its_event() {
    let sent = |name: &str, body: Body| {
        let response = Response::builder().status(404).header("vary", "a").header("vary", "b").body(body).unwrap();
        json!(read(&fixture(name).to_string()).0.write(response))
    };
    let text = || Body::Text("x".to_owned());
    assert_eq!(
        sent("function-url", text()),
        json!({"statusCode": 404, "headers": {"vary": "a, b"}, "cookies": [], "body": "x", "isBase64Encoded": false})
    );
    assert_eq!(
        sent("rest-api", text()),
        json!({"statusCode": 404, "multiValueHeaders": {"vary": ["a", "b"]}, "body": "x", "isBase64Encoded": false})
    );
    assert_eq!(
        sent("load-balancer", Body::Binary(vec![0x1f, 0x8b])),
        json!({
            "statusCode": 404, "statusDescription": "404 Not Found", "headers": {"vary": "a, b"}, "body": "H4s=",
            "isBase64Encoded": true
        })
    );
    assert_eq!(sent("load-balancer-lists", Body::Empty)["multiValueHeaders"], json!({"vary": ["a", "b"]}));
    // Base64 is for bytes that are no text.
    assert_eq!(sent("websocket", Body::Binary(b"x".to_vec()))["isBase64Encoded"], false);
}
