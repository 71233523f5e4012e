//! Files: what is read from a good one, and what is said of a bad one.

use std::{collections::BTreeSet, time::Duration};

use jsonschema::Validator;
use reqwest::Method;
use serde_json::Value;

use super::{
    expect::{ExpectBody, Selects},
    *,
};

pub(crate) fn defaults() -> Defaults {
    Defaults {
        timeout: Duration::from_secs(10),
        connect_timeout: Duration::from_secs(5),
        tick: Duration::from_secs(60),
    }
}

fn read(text: &str) -> Result<Monitors, Vec<Mistake>> {
    let secrets = Secrets::from_env(text, &|name| (name == "TOKEN").then(|| "s3cret".to_owned()));
    Monitors::read(text, &defaults(), secrets)
}

/// A file with every key.
const FULL: &str = r#"
defaults:
  timeout: 2s
  headers: {user-agent: us, accept: text/html}
  tags: [all]
monitors:
  - id: shop
    url: https://shop.test/health?key=${TOKEN}
    method: POST
    headers:
      accept: application/json
      authorization: Bearer ${TOKEN}
    body: '{"ping": "${TOKEN}"}'
    timeout: 800ms
    connect_timeout: 1s
    interval: 5m
    redirects: {max: 0}
    retries: 2
    expect:
      status: [200, 300-399]
      headers:
        content-type: application/json
        server: {contains: nginx}
        x-version: {matches: '^v\d+$'}
        x-debug: {exists: false}
      body:
        contains: [ok, fine]
        matches: 'o.'
        json:
          - {path: $.status, equals: ok}
          - {path: "$.items[?@.id > 1]", exists: true}
      certificate_days: 14
    degraded_after: 500ms
    locations: [eu-west-1]
    tags: [shop, checkout]
  - {id: plain, url: "http://plain.test"}
  - {id: off, url: "http://off.test", enabled: false}
"#;

#[test]
fn every_key_of_a_monitor_is_read_and_the_defaults_are_those_of_the_file() {
    let monitors = read(FULL).unwrap();

    assert_eq!(monitors.disabled, ["off"]);
    let [shop, plain] = monitors.enabled.as_slice() else { panic!("{monitors:?}") };
    assert_eq!((shop.id.as_deref(), shop.name()), (Some("shop"), "shop"));
    assert_eq!(shop.url, "https://shop.test/health?key=${TOKEN}");
    assert_eq!(shop.target.0.as_str(), "https://shop.test/health?key=s3cret");
    let settings = &shop.settings;
    assert_eq!(settings.method, Method::POST);
    let header = |name: &str| settings.headers[name].to_str().unwrap();
    assert_eq!(["user-agent", "accept", "authorization"].map(header), ["us", "application/json", "Bearer s3cret"]);
    assert_eq!(settings.body, Some(Hidden("{\"ping\": \"s3cret\"}".to_owned())));
    let times = [settings.timeout, settings.connect_timeout, settings.interval, settings.degraded_after.unwrap()];
    assert_eq!(times.map(|time| time.as_millis()), [800, 1_000, 300_000, 500]);
    assert_eq!((settings.max_redirects, settings.retries), (0, 2));
    assert_eq!(settings.expect.status, [200..=200, 300..=399]);
    assert_eq!((settings.expect.headers.len(), settings.expect.body.len()), (4, 5));
    assert!(matches!(
        &settings.expect.body[3],
        ExpectBody::Json { path, selects: Selects::Only(value), .. } if path.text() == "$.status" && value.as_text() == Some("ok")
    ));
    assert_eq!(settings.expect.certificate_days, Some(14));
    assert_eq!((settings.locations.as_slice(), settings.tags.len()), (["eu-west-1".to_owned()].as_slice(), 2));

    let settings = &plain.settings;
    assert_eq!(
        (settings.method.clone(), settings.timeout.as_secs(), settings.interval.as_secs()),
        (Method::GET, 2, 60)
    );
    assert_eq!(
        (settings.max_redirects, settings.retries, settings.tags.as_slice()),
        (10, 0, ["all".to_owned()].as_slice())
    );
    assert_eq!(settings.headers["accept"], "text/html");
    assert_eq!(settings.expect.status, [100..=399]);
}

#[test]
fn no_secret_is_shown() {
    let monitors = read(FULL).unwrap();

    assert!(!format!("{monitors:?}").contains("s3cret"), "{monitors:?}");
    assert_eq!(monitors.mask("sent s3cret"), "sent ${TOKEN}");
}

#[test]
fn json_is_yaml_and_anchors_save_words() {
    assert_eq!(read(r#"{"monitors": [{"id": "a", "url": "https://a.test"}]}"#).unwrap().enabled.len(), 1);
    let text = "monitors:\n- {id: a, url: 'https://a.test', expect: &e {status: 204}}\n- {id: b, url: 'https://b.test', expect: *e}";
    assert_eq!(read(text).unwrap().enabled[1].settings.expect.status, [204..=204]);
    assert!(read("monitors: []").unwrap().enabled.is_empty());
}

#[test]
fn examples_in_the_docs_are_valid_files() {
    let readme = include_str!("../../../../README.md");
    let docs = include_str!("../../../../docs/monitors.md");
    for (text, count) in [(readme, 2), (docs, 2)] {
        let (_, after) = text.split_once("```yaml\n").unwrap();
        let (file, _) = after.split_once("```").unwrap();
        let secrets = Secrets::from_env(file, &|_| Some("value".to_owned()));

        let monitors = Monitors::read(file, &defaults(), secrets).unwrap();
        assert_eq!(monitors.enabled.len(), count);
        assert!(accepts(&schema().1, file));
    }
}

/// Bad files: each mistake with its place.
const BAD: &[(&str, &[&str])] = &[
    (
        "monitors:\n- {id: a, url: 'http://a.test', tags: [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,aa,ab,ac,ad,ae,af,ag,ah,ai,aj,ak,al,am,an,ao,ap,aq,ar,as,at,au,av,aw,ax,ay]}",
        &["these are 51 tags: expected at most 50"],
    ),
    ("monitors:\n- {id: a, url: 'http://a.test', expect: {body: {contains: }}}", &["this is nothing: expected text"]),
    (
        "monitors:\n- {id: a, url: 'http://a.test', tags: }",
        &["this is nothing: expected text, in quotes if it begins with #; or remove the key"],
    ),
    ("monitors:\n- {id: a, url: 'http://a.test', timeout: }", &["this is nothing: expected a duration"]),
    ("monitors:\n- {id: a, url: 'http://a.test', expect: {status: []}}", &["this is an empty list"]),
    (
        "monitors:\n- {id: a, url: 'http://a.test', expect: {body: {json: {path: $.a, equals: .nan}}}}",
        &[".nan is no value of JSON"],
    ),
    ("", &["1:1: there are 0 documents"]),
    ("a: [", &["this is not YAML"]),
    ("- a", &["1:1: a monitors file is a list: expected keys"]),
    ("monitors: {}", &["1:11: monitors is a mapping: expected a list"]),
    (
        "monitor: []",
        &[
            "1:1: monitors is missing",
            "1:1: \"monitor\" is not a key of a monitors file: expected one of defaults, monitors",
        ],
    ),
    ("monitors: [1]", &["1:12: a monitor is 1"]),
    ("monitors:\n- {}", &["2:3: id is missing", "2:3: url is missing"]),
    ("monitors:\n- {id: 1, url: 'http://a.test'}", &["2:8: this is 1: expected text, in quotes"]),
    ("monitors:\n- {id: '', url: 'http://a.test'}", &["2:8: \"\" is no name"]),
    ("monitors:\n- {id: a, url: a.test}", &["2:16: \"a.test\" is not a URL"]),
    (
        "monitors:\n- {id: a, url: 'https://me:secret@a.test'}",
        &["2:16: a URL of a.test cannot be probed with credentials"],
    ),
    (
        "monitors:\n- {id: a, url: 'http://a.test'}\n- {id: b, url: 'http://b.test'}\n- {id: a, url: 'http://c.test'}",
        &["4:8: \"a\" is the id of a monitor on line 2"],
    ),
    (
        "monitors:\n- {id: a, url: 'http://a.test', metod: GET}",
        &[
            "2:33: \"metod\" is not a key of a monitor: expected one of id, url, method, headers, body, timeout, connect_timeout, interval, redirects, retries, expect, degraded_after, locations, tags, enabled",
        ],
    ),
    ("monitors:\n- {id: a, url: 'http://a.test', method: get}", &["2:41: this is \"get\": expected GET, HEAD"]),
    (
        "monitors:\n- {id: a, url: 'http://a.test', timeout: 10}",
        &["2:42: this is 10: expected a duration with its unit from 1ms to 800s"],
    ),
    ("monitors:\n- {id: a, url: 'http://a.test', timeout: 0s}", &["2:42: this is \"0s\": expected a duration"]),
    ("monitors:\n- {id: a, url: 'http://a.test', timeout: 2h}", &["expected a duration with its unit from 1ms"]),
    (
        "monitors:\n- {id: a, url: 'http://a.test', interval: 90s}",
        &["2:43: \"90s\" is neither a multiple of the schedule's 1m (WM_PROBE_TICK)"],
    ),
    ("monitors:\n- {id: a, url: 'http://a.test', interval: 7s}", &["goes into it without remainder"]),
    (
        "monitors:\n- {id: a, url: 'http://a.test', headers: {accept: a, 'a b': c}}",
        &["2:54: \"a b\" is no name of a header"],
    ),
    ("monitors:\n- {id: a, url: 'http://a.test', headers: {a: \"x\\ny\"}}", &["a header cannot have this value"]),
    ("monitors:\n- {id: a, url: 'http://a.test', headers: {content-length: '1'}}", &["is set by the client itself"]),
    ("monitors:\n- {id: a, url: 'http://a.test', headers: [a]}", &["headers is a list: expected names"]),
    ("monitors:\n- {id: a, url: 'http://a.test', redirects: {}}", &["max is missing"]),
    (
        "monitors:\n- {id: a, url: 'http://a.test', redirects: {max: 21}}",
        &["this is 21: expected a whole number from 0 to 20"],
    ),
    ("monitors:\n- {id: a, url: 'http://a.test', retries: -1}", &["expected a whole number from 0 to 10"]),
    ("monitors:\n- {id: a, url: 'http://a.test', enabled: maybe}", &["this is \"maybe\": expected true or false"]),
    ("monitors:\n- {id: a, url: 'http://a.test', expect: {status: 99}}", &["this is 99: expected a status"]),
    ("monitors:\n- {id: a, url: 'http://a.test', expect: {status: [299-200]}}", &["this is \"299-200\""]),
    (
        "monitors:\n- {id: a, url: 'http://a.test', expect: {body: {matches: '('}}}",
        &["\"(\" is not a regular expression"],
    ),
    (
        "monitors:\n- {id: a, url: 'http://a.test', expect: {body: {json: {path: 'a', equals: 1}}}}",
        &["is not a JSONPath (RFC 9535)"],
    ),
    (
        "monitors:\n- {id: a, url: 'http://a.test', expect: {body: {json: {path: '$.a'}}}}",
        &["expected path, and one of equals, exists"],
    ),
    (
        "monitors:\n- {id: a, url: 'http://a.test', expect: {headers: {a: {contains: b, exists: true}}}}",
        &["expected text, or one of contains, matches, exists"],
    ),
    (
        "monitors:\n- {id: a, url: 'http://a.test', headers: {HOST: 'a b'}}",
        &["2:49: the header host of the monitor is not a host"],
    ),
    (
        "monitors:\n- {id: a, url: 'http://a.test', headers: {host: 'a/b'}}",
        &["is not a host, such as a.test or a.test:8080"],
    ),
    ("monitors:\n- {id: a, url: 'http://a.test', headers: {host: ''}}", &["is not a host"]),
    ("defaults: {headers: {host: 'me@a.test'}}\nmonitors: []", &["1:28: the header host of the monitor is not a host"]),
    ("monitors:\n- {id: a, url: 'http://a.test:0/'}", &["2:16: \"http://a.test:0/\" has the port 0"]),
    (
        "monitors:\n- {id: a, url: 'http://a.test', expect: {headers: {server: \"nginx\\n\"}}}",
        &["no header is \"nginx\\n\""],
    ),
    (
        "monitors:\n- {id: a, url: 'http://a.test', expect: {headers: {server: ' nginx'}}}",
        &["2:60: no header is \" nginx\""],
    ),
    (
        "monitors:\n- {id: a, url: 'http://a.test', expect: {headers: {server: {contains: \"nginx\\n\"}}}}",
        &["no header has \"nginx\\n\" in it: expected text without line ends"],
    ),
    (
        "monitors:\n- {id: a, url: 'http://a.test', expect: {headers: {age: 10}}}",
        &["2:57: this is 10: expected text, in quotes: '10'"],
    ),
    (
        "monitors:\n- {id: a, url: 'http://a.test', expect: {body: {matches: ['.*', 'x*', '^', '(?m)x?$', 'a|']}}}",
        &[
            "\".*\" matches every text: expected a pattern",
            "\"x*\" matches every text",
            "\"^\" matches every text",
            "\"(?m)x?$\" matches every text",
            "\"a|\" matches every text",
        ],
    ),
    (
        "monitors:\n- {id: a, url: 'http://a.test', expect: {headers: {a: {matches: '.*'}}}}",
        &["\".*\" matches every text"],
    ),
    (
        "monitors:\n- {id: a, url: 'http://a.test', expect: {certificate_days: 0}}",
        &["expected a whole number from 1 to 3650"],
    ),
    (
        "monitors:\n- {id: a, url: 'http://a.test', body: '${MISSING}', headers: {a: '${ALSO}'}}",
        &["${ALSO} leads nowhere: there is no variable ALSO", "${MISSING} leads nowhere"],
    ),
    (
        "defaults: {timeout: soon, id: x}\nmonitors:\n- {id: a, url: 'http://a.test'}",
        &["1:21: this is \"soon\"", "1:27: \"id\" is not a key of defaults"],
    ),
    (
        "monitors:\n- {id: a, url: 'http://a.test', url: 'http://b.test'}",
        &["2:33: \"url\" is a key of line 2 already: expected it once"],
    ),
    ("{\"monitors\": [], \"monitors\": []}", &["1:18: \"monitors\" is a key of line 1 already: expected it once"]),
    ("monitors:\n- {id: a, url: ' http://a.test'}", &["2:16: \" http://a.test\" has blanks around it: remove them"]),
    (
        "monitors:\n- {id: a, url: 'https:a.test'}",
        &["2:16: \"https:a.test\" cannot be probed: expected http:// or https://"],
    ),
    (
        "monitors:\n- {id: a, url: 'http://a.test', expect: {status: 0200-0299}}",
        &["this is \"0200-0299\": expected a status"],
    ),
    (
        "monitors:\n- {id: a, url: 'http://a.test', expect: {status: +200-299}}",
        &["this is \"+200-299\": expected a status"],
    ),
    (
        "monitors:\n- {id: a, url: 'http://a.test', expect: {certificate_days: 14.5}}",
        &["this is 14.5: expected a whole number"],
    ),
    ("monitors:\n- {id: a, url: 'http://a.test', tags: [a, b, a]}", &["2:46: \"a\" is there twice: expected it once"]),
    (
        "monitors:\n- {id: a, url: 'http://a.test', expect: {headers: {x-a: b, X-A: c}}}",
        &["2:52: \"x-a\" is there twice, in capitals and small letters"],
    ),
    ("monitors:\n- {id: a, url: 'http://a.test', expect: {body: {contains: ''}}}", &["2:59: this is empty"]),
    ("monitors:\n- {id: a, url: 'http://a.test', expect: {body: {matches: ['']}}}", &["this is empty"]),
    ("monitors:\n- {id: a, url: 'http://a.test', expect: {headers: {a: {contains: ''}}}}", &["this is empty"]),
    ("monitors:\n- {id: a, url: 'http://a.test', expect: {body: {contains: []}}}", &["this is an empty list"]),
    (
        "monitors:\n- {id: a, url: 'http://a.test', expect: {body: {json: {path: $, exists: false}}}}",
        &["2:62: $ is always there: expected a path"],
    ),
    (
        "monitors:\n- {id: a, url: 'http://a.test', expect: {body: {json: {path: '$.a[?length(@.b)]', exists: true}}}}",
        &["is not a JSONPath (RFC 9535): at character 6: the value of this function is no condition"],
    ),
];

#[test]
fn every_mistake_is_told_with_its_place_and_what_is_allowed() {
    for (text, expected) in BAD {
        let mistakes = read(text).map(|monitors| panic!("{text}\nis good: {monitors:?}")).unwrap_err();
        let told = mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        for words in *expected {
            assert!(told.contains(words), "{words}\nis not in\n{told}\nof\n{text}");
        }
        assert_eq!(mistakes.len(), expected.len(), "{told}\nof\n{text}");
    }
}

#[test]
fn all_mistakes_of_a_file_are_told_in_its_order() {
    let text = "monitors:\n- {id: a, url: x, retries: many}\n- {id: a, url: 'http://a.test', colour: blue}\n";
    let lines: Vec<_> = read(text).unwrap_err().iter().map(|mistake| (mistake.line, mistake.column)).collect();
    assert_eq!(lines, [(2, 16), (2, 28), (3, 8), (3, 33)]);
}

/// Whether the published schema accepts a text.
fn accepts(schema: &Validator, text: &str) -> bool {
    let Ok(parsed) = document::parse(text) else { return false };
    let json = parsed.documents.first().and_then(|root| serde_json::from_str(&root.to_string()).ok());
    json.is_some_and(|json: Value| schema.is_valid(&json))
}

pub(super) fn schema() -> (Value, Validator) {
    let schema: Value = serde_json::from_str(include_str!("../../monitors.schema.json")).unwrap();
    let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    (schema, validator)
}

#[test]
fn the_published_schema_accepts_what_is_read_and_refuses_what_is_not() {
    let (_, schema) = schema();
    let shipped = include_str!("../../monitors.yaml");
    read(shipped).unwrap();
    for good in [FULL, shipped, "monitors: []"] {
        assert!(accepts(&schema, good), "{good}");
    }
    for (bad, _) in BAD {
        let mistakes = read(bad).unwrap_err();
        let is_beyond = |mistake: &Mistake| agreement::BEYOND_A_SCHEMA.iter().any(|words| mistake.text.contains(words));
        if !mistakes.iter().all(is_beyond) {
            assert!(!accepts(&schema, bad), "{bad}");
        }
    }
}

#[test]
fn the_published_schema_has_the_keys_that_are_read() {
    let (schema, _) = schema();
    let monitor = |more: &str| format!("monitors: [{{id: a, url: 'http://a.test', {more}}}]");
    let json = "/$defs/expect/properties";
    for (text, place) in [
        ("monitors: []\nx: 1".to_owned(), "/properties".to_owned()),
        ("monitors: []\ndefaults: {x: 1}".to_owned(), "/properties/defaults/properties".to_owned()),
        (monitor("x: 1"), "/properties/monitors/items/properties".to_owned()),
        (monitor("redirects: {max: 1, x: 1}"), "/$defs/redirects/properties".to_owned()),
        (monitor("expect: {x: 1}"), json.to_owned()),
        (
            monitor("expect: {headers: {a: {exists: true, x: 1}}}"),
            format!("{json}/headers/additionalProperties/oneOf/1/properties"),
        ),
        (monitor("expect: {body: {x: 1}}"), format!("{json}/body/properties")),
        (monitor("expect: {body: {json: {path: $, exists: true, x: 1}}}"), "/$defs/json/properties".to_owned()),
    ] {
        let mistakes = read(&text).unwrap_err();
        let (_, known) = mistakes[0].text.split_once("expected one of ").unwrap();
        let published = schema.pointer(&place).unwrap().as_object().unwrap();
        let [known, published]: [BTreeSet<_>; 2] =
            [known.split(", ").collect(), published.keys().map(String::as_str).collect()];
        assert_eq!(known, published, "{text}");
    }
}

/// Monitors that are right by their parts and wrong as a whole, with the place and the reason; in the form
/// `defaults / monitor`.
const CONTRADICTIONS: &[(&str, &str)] = &[
    ("/ method: HEAD, expect: {body: {contains: x}}", "2:71: an answer to HEAD has no body: use GET"),
    (
        "/ headers: {Accept-Encoding: 'gzip, br;q=0.5'}, expect: {body: {contains: x}}",
        "the header accept-encoding asks for a coding that probe does not undo",
    ),
    ("headers: {accept-encoding: '*'} / expect: {body: {contains: x}}", "asks for a coding that probe does not undo"),
    ("expect: {body: {matches: '^$'}} / method: HEAD", "2:50: an answer to HEAD has no body"),
    (
        "/ expect: {certificate_days: 14}",
        "2:69: there is no certificate at an http:// URL: use https://, or, if it redirects",
    ),
    (
        "/ redirects: {max: 0}, expect: {certificate_days: 14}",
        "there is no certificate at an http:// URL: use https://, or remove",
    ),
    ("redirects: {max: 0} / expect: {certificate_days: 14}", "or remove certificate_days"),
    (
        "/ degraded_after: 11s",
        "2:58: an answer that takes longer than degraded_after (11s) is given up after timeout (10s)",
    ),
    ("/ degraded_after: 1m, timeout: 60s", "expected less than the timeout"),
    ("degraded_after: 2s / timeout: 1s", "2:51: an answer that takes longer than degraded_after (2s)"),
    ("/ expect: {status: 301}", "2:59: redirects with such a status are followed"),
    ("redirects: {max: 2} / expect: {status: [301-303, 307-308]}", "add redirects: {max: 0}"),
    ("/ expect: {status: 100-199}", "a server sends another status after each status below 200"),
    (
        "/ expect: {status: 204, body: {contains: x}}",
        "an answer with the status 204 has no body, and \"x\" is not in the body",
    ),
    (
        "/ expect: {status: [204, 304], body: {json: {path: $.a, exists: false}}}",
        "has no body, and the body is not JSON",
    ),
    (
        "/ expect: {body: {json: [{path: $.a, equals: 1}, {path: $.a, exists: false}]}}",
        "what is expected of $.a cannot be together",
    ),
    ("/ expect: {body: {json: [{path: $.a, equals: 1}, {path: $.a, equals: 2}]}}", "cannot be together"),
    (
        "/ expect: {body: {json: [{path: $.a, equals: 1}, {path: \"$ ['a']\", exists: false}]}}",
        "what is expected of $ ['a'] cannot be together",
    ),
];

fn of_parts(parts: &str) -> String {
    let (defaults, monitor) = parts.split_once('/').unwrap();
    format!("defaults: {{{}}}\nmonitors: [{{id: a, url: 'http://a.test', {}}}]", defaults.trim(), monitor.trim())
}

#[test]
fn settings_that_contradict_each_other_are_refused_with_the_reason() {
    for (parts, expected) in CONTRADICTIONS {
        let text = of_parts(parts);
        let mistakes = read(&text).map(|_| panic!("{text}\nis good")).unwrap_err();
        assert!(mistakes.len() == 1 && mistakes[0].to_string().contains(expected), "{mistakes:?}\nof\n{text}");
    }
    for parts in [
        "/ method: HEAD, expect: {body: {}}",
        "/ headers: {accept-encoding: br}, expect: {status: 200}",
        "/ headers: {accept-encoding: 'GZIP, x-gzip;q=1, deflate, identity, , *;q=0, br; q=0.0'}, expect: {body: {contains: x}}",
        "expect: {body: {contains: x}} / method: HEAD, expect: {status: 200}",
        "/ redirects: {max: 1}, expect: {certificate_days: 14}",
        "redirects: {max: 1} / expect: {certificate_days: 14}",
        "/ degraded_after: 9999ms",
        "degraded_after: 20s / timeout: 30s",
        "/ connect_timeout: 20s, retries: 10, interval: 1s",
        "/ redirects: {max: 0}, expect: {status: 301}",
        "/ expect: {status: [301, 304]}",
        "/ headers: {host: 'b.test:8080'}, expect: {body: {matches: ['^x*$', '\\b', '.+', '^$', 'x']}}",
        "/ expect: {body: {json: [{path: $.a, equals: 1}, {path: $.b, equals: 2}]}}",
        "/ expect: {status: [200, 301]}",
        "/ expect: {status: 204, body: {matches: '^$'}}",
        "/ expect: {status: [200, 204], body: {contains: x}}",
        "/ expect: {body: {json: [{path: $.a, equals: 1}, {path: $.a, equals: 1.0}, {path: $.a, exists: true}]}}",
    ] {
        read(&of_parts(parts)).unwrap_or_else(|mistakes| panic!("{parts}: {mistakes:?}"));
    }
    let https = "monitors: [{id: a, url: 'https://${ssm:/host}/', expect: {certificate_days: 14}}]";
    let secrets = || {
        let mut secrets = Secrets::default();
        secrets.insert("ssm:/host", Ok(secrets::NOT_HERE.to_owned()));
        secrets
    };
    assert!(Monitors::read(https, &defaults(), secrets()).is_ok());
    for wrong in ["http", "ftp", "https:"] {
        assert!(Monitors::read(&https.replace("https", wrong), &defaults(), secrets()).is_err(), "{wrong}");
    }
}

#[test]
fn whole_numbers_may_have_a_point_and_equals_is_exact() {
    let text = "monitors: [{id: a, url: 'https://a.test', retries: 2.0, redirects: {max: 1e0}, expect: {status: 200.0, \
                certificate_days: 14.0, body: {json: {path: $.a, equals: 18446744073709551614}}}}]";
    let settings = &read(text).unwrap().enabled[0].settings;
    assert_eq!((settings.retries, settings.max_redirects, settings.expect.certificate_days), (2, 1, Some(14)));
    assert_eq!(settings.expect.status, [200..=200]);
    let ExpectBody::Json { selects: Selects::Only(value), .. } = &settings.expect.body[0] else {
        panic!("{settings:?}")
    };
    assert_eq!(value.to_string(), "18446744073709551614");
}

#[test]
fn json_file_with_surrogate_pairs_tabs_and_escaped_slashes_is_a_monitors_file() {
    let text =
        "\u{feff}{\n\t\"monitors\":\t[\n\t\t{\"id\":\t\"\\ud83d\\udea8\", \"url\": \"https:\\/\\/a.test\"}\n\t]\n}\n";
    let monitors = read(text).unwrap();
    assert_eq!((monitors.enabled[0].name(), monitors.enabled[0].url.as_str()), ("🚨", "https://a.test"));
    let tab = "monitors:\n- id:\ta\n  url:\thttp://a.test\n";
    assert_eq!(read(tab).unwrap().enabled[0].url, "http://a.test");
    let mistakes = read(&text.replace("url", "uri")).unwrap_err();
    assert_eq!((mistakes[0].line, mistakes[0].column), (3, 3), "{mistakes:?}");
}
