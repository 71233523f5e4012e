//! Schema, reader of files and reader of events agree on every file: generated ones, of valid and nearly valid values for
//! every key, as JSON and as YAML.

use jsonschema::Validator;
use proptest::{prelude::*, sample::select};
use serde_json::{Map, Value, json};

use super::{
    tests::{defaults, schema},
    *,
};
use crate::input::{Selection, Tick};

/// Words of the mistakes that a JSON schema cannot express; one that a file has besides these, a schema has to find.
pub(super) const BEYOND_A_SCHEMA: &[&str] = &[
    // What is no document.
    "not YAML",
    "documents: expected one",
    "is a key of line",
    "no value of JSON",
    // Other parts of the file, or of the configuration.
    "is the id of a monitor on line",
    "WM_PROBE_TICK",
    "in capitals and small letters",
    "ends before it begins",
    // Bytes, not characters.
    "is no name: it has",
    "bytes cannot be probed",
    // Other languages: URLs, paths, patterns, references.
    "is not a URL:",
    "is not a URL that can be probed",
    "is not a JSONPath",
    "is not a regular expression",
    "leads nowhere",
    "a reference is not closed",
    "is not a host, such as",
    "has the port 0",
    "matches every text",
    // Contradictions.
    "an answer to HEAD has no body",
    "asks for a coding that probe does not undo",
    "there is no certificate at an http:// URL",
    "is given up after timeout",
    "redirects with such a status are followed",
    "a server sends another status",
    "has no body, and",
    "cannot be together",
];

fn one_of(values: Vec<Value>) -> BoxedStrategy<Value> {
    select(values).boxed()
}

/// Values that are of no use for any key, or for few.
fn odd() -> BoxedStrategy<Value> {
    one_of(vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(1e30),
        json!(""),
        json!(" "),
        json!("x"),
        json!("1"),
        json!([]),
        json!({}),
        json!([[]]),
        json!([null]),
        json!({"x": 1}),
    ])
}

/// Mostly these values, sometimes odd ones.
fn mostly(values: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    prop_oneof![9 => values, 1 => odd()].boxed()
}

/// One value, or a list of up to three.
fn or_list(values: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let list = prop::collection::vec(values.clone(), 0..4).prop_map(Value::from);
    mostly(prop_oneof![values, list].boxed())
}

fn text(pattern: &'static str) -> BoxedStrategy<Value> {
    pattern.prop_map(Value::from).boxed()
}

fn name() -> BoxedStrategy<Value> {
    let lengths = [255, 256].map(|length| json!("n".repeat(length)));
    let bytes = [127, 128, 255, 256].map(|length| json!("é".repeat(length)));
    let odd = ["a", "b", "🚨", " a ", "a\tb", "a\u{7f}", "a\u{85}", "null", "1.0", "~", "a: b", "# c", "- d"]
        .map(Value::from);
    one_of([lengths.to_vec(), bytes.to_vec(), odd.to_vec()].concat())
}

fn url() -> BoxedStrategy<Value> {
    let urls = [
        "http://a.test/",
        "HTTP://a.test/",
        "hTTps://A.test:8443/x?y#z",
        "https://a.test",
        " http://a.test/",
        "http://a.test/ ",
        "http://a.test/a b",
        "http://a b.test/",
        "http://a.test/\u{a0}",
        "\u{a0}http://a.test/",
        "https:a.test",
        "https:/a.test",
        "http:///a.test",
        "http:\\\\a.test",
        "http://a.test\\b",
        "//a.test",
        "a.test",
        "ftp://a.test/",
        "http://",
        "http://?a",
        "http://#a",
        "https://me@a.test/",
        "https://@a.test/",
        "https://me:secret@a.test",
        "http://a.test/@me",
        "http://a.test?@me",
        "http://a.test#@me",
        "http://a.test\\@me",
        "http://a\t.test/",
        "http://a.test/\n",
        "http://a.test/\u{7f}",
        "http://a.test/\u{85}",
        "http://[::1]:80/",
        "http://[::1",
        "http://a.test:99999/",
        "http://a.test:0/",
        "http://:80/",
        "http://%/",
        "http://münchen.test/ü",
        "${URL}",
        " ${URL}",
        "${URL} ",
        "${URL}\n",
        "${URL",
        "${MISSING}",
        "http://${HOST}/",
        "ftp://${HOST}/",
        "$${URL}",
    ];
    let long = |character: &str, count: usize| json!(format!("http://a.test/{}", character.repeat(count)));
    let long = vec![long("x", 2_034), long("x", 2_035), long("é", 1_017), long("é", 1_018), long("é", 2_035)];
    let listed = one_of([urls.map(Value::from).to_vec(), long].concat());
    prop_oneof![3 => Just(json!("https://a.test/")), 3 => listed, 1 => text("[hH][tT]tps?:/{0,3}[a-z@ /?#\\\\:$.]{0,6}")].boxed()
}

fn duration() -> BoxedStrategy<Value> {
    let edges = [
        "1ms",
        "0ms",
        "999ms",
        "1000ms",
        "01s",
        "0001m",
        "0s",
        "1s",
        "800s",
        "801s",
        "800000ms",
        "800001ms",
        "13m",
        "14m",
        "1h",
        "1d",
        "1440m",
        "1441m",
        "24h",
        "25h",
        "2d",
        "86400s",
        "86401s",
        "86400000ms",
        "86400001ms",
        "1e1s",
        "+1s",
        "-1s",
        "1.5s",
        "1 s",
        " 1s",
        "1s ",
        "1s\n",
        "1S",
        "s",
        "ms",
        "1",
        "1min",
        "١s",
        "99999999999999999999s",
        "30s",
        "1m",
        "5m",
    ];
    prop_oneof![3 => one_of(edges.map(Value::from).to_vec()), 1 => text("0{0,2}[0-9]{1,9}(ms|s|m|h|d)")].boxed()
}

fn whole(last: i64) -> BoxedStrategy<Value> {
    let last_float = f64::from(i32::try_from(last).unwrap());
    one_of(vec![
        json!(0),
        json!(1),
        json!(1.0),
        json!(-0.0),
        json!(last),
        json!(last_float),
        json!(last + 1),
        json!(-1),
        json!(1.5),
        json!(1e300),
        json!("1"),
    ])
}

fn status() -> BoxedStrategy<Value> {
    let texts = [
        "200-299",
        "200 - 299",
        "200  -299",
        "0200-0299",
        "+200-299",
        "200-+299",
        "299-200",
        "200",
        "099-200",
        "200-1000",
        "200-",
        "-299",
        "200-299-300",
        "200\t-299",
        " 200-299",
        "200-299 ",
        "２００-299",
        "200–299",
        "100-199",
        "301-303",
        "204-204",
    ];
    let numbers = [
        json!(200),
        json!(200.0),
        json!(99),
        json!(100),
        json!(999),
        json!(1000),
        json!(204),
        json!(301),
        json!(200.5),
    ];
    one_of([texts.map(Value::from).to_vec(), numbers.to_vec()].concat())
}

fn header_name() -> BoxedStrategy<String> {
    let names = [
        "accept",
        "Host",
        "X-A",
        "x-a",
        "",
        "a b",
        "a:b",
        "é",
        "Connection",
        "CONTENT-LENGTH",
        "transfer-Encoding",
        "upgrade",
        "~|`",
        "(x)",
    ];
    select(names.map(str::to_owned).to_vec()).boxed()
}

fn some_text() -> BoxedStrategy<Value> {
    one_of(
        [
            "x", "", " ", "^$", "(", "🚨", "[", "\\d+", "a\nb", "a\tb", "a\u{0}", "a\u{7f}", "é", "${HOST}", "${",
            "$${", " x", "x\t", "x\n", "x*", "a/b", "a.test",
        ]
        .map(Value::from)
        .to_vec(),
    )
}

fn object(keys: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    let fields: Vec<_> = keys
        .into_iter()
        .map(|(key, value)| prop::option::weighted(0.4, value).prop_map(move |value| (key, value)))
        .collect();
    let object = fields.prop_map(|fields| {
        let given = fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        Value::Object(given.collect())
    });
    object.boxed()
}

fn headers(value: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    prop::collection::btree_map(header_name(), value, 0..3)
        .prop_map(|map| Value::Object(map.into_iter().collect()))
        .boxed()
}

fn json_expectation() -> BoxedStrategy<Value> {
    let paths = ["$", "$.a", "$ ", "a", "$.a[?length(@.b)]", "$[?@.a == 1]", ""].map(Value::from).to_vec();
    let equals = one_of(vec![
        json!(null),
        json!(1),
        json!(1.0),
        json!([1, {"a": "é"}]),
        json!("x"),
        json!(18_446_744_073_709_551_615_u64),
    ]);
    let exists = mostly(one_of(vec![json!(true), json!(false)]));
    let path = prop::option::weighted(0.9, mostly(one_of(paths)));
    let selects =
        prop_oneof![equals.prop_map(|value| vec![("equals", value)]), exists.prop_map(|value| vec![("exists", value)])];
    let more =
        prop::option::weighted(0.1, select(vec![("exists", json!(true)), ("equals", json!(1)), ("x", json!(1))]));
    (path, selects, more)
        .prop_map(|(path, selects, more)| {
            let path = path.map(|path| ("path", path));
            let fields = path.into_iter().chain(selects).chain(more);
            Value::Object(fields.map(|(key, value)| (key.to_owned(), value)).collect())
        })
        .boxed()
}

fn expect() -> BoxedStrategy<Value> {
    let header = prop_oneof![
        3 => some_text(),
        2 => object(vec![("contains", some_text()), ("matches", some_text()), ("exists", one_of(vec![json!(true), json!(false)]))]),
        1 => odd(),
    ];
    let body = object(vec![
        ("contains", or_list(some_text())),
        ("matches", or_list(some_text())),
        ("json", or_list(json_expectation())),
        ("x", odd()),
    ]);
    // An unknown key is rare, so that other mistakes are found by themselves.
    let body = prop_oneof![9 => body.prop_map(without_x), 1 => odd()].boxed();
    let fields = object(vec![
        ("status", or_list(status())),
        ("headers", mostly(headers(header.boxed()))),
        ("body", body),
        ("certificate_days", mostly(whole(3_650))),
    ]);
    mostly(fields)
}

fn without_x(mut value: Value) -> Value {
    if let Some(fields) = value.as_object_mut()
        && fields.len() > 1
    {
        fields.remove("x");
    }
    value
}

fn settings() -> Vec<(&'static str, BoxedStrategy<Value>)> {
    let methods = ["GET", "HEAD", "POST", "get", "TRACE"].map(Value::from).to_vec();
    vec![
        ("method", mostly(one_of(methods))),
        ("headers", mostly(headers(mostly(some_text())))),
        ("body", mostly(some_text())),
        ("timeout", mostly(duration())),
        ("connect_timeout", mostly(duration())),
        ("interval", mostly(duration())),
        ("redirects", mostly(object(vec![("max", mostly(whole(20)))]))),
        ("retries", mostly(whole(10))),
        ("expect", expect()),
        ("degraded_after", mostly(duration())),
        ("locations", or_list(name())),
        ("tags", prop_oneof![9 => or_list(name()), 1 => (49_usize..53).prop_map(|tags| (0..tags).map(|tag| tag.to_string()).collect())].boxed()),
        ("enabled", mostly(one_of(vec![json!(true), json!(false)]))),
    ]
}

/// Up to three settings: with more, nearly every file would have a mistake.
fn some_settings() -> BoxedStrategy<Map<String, Value>> {
    let setting = proptest::strategy::Union::new(
        settings().into_iter().map(|(key, value)| value.prop_map(move |value| (key, value))),
    );
    let settings = prop::collection::vec(setting, 0..4);
    settings.prop_map(|settings| settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()).boxed()
}

fn monitor() -> BoxedStrategy<Value> {
    let id = prop_oneof![3 => one_of(vec![json!("a"), json!("b"), json!("c")]), 1 => mostly(name())];
    let required = (prop::option::weighted(0.95, id), prop::option::weighted(0.95, mostly(url())));
    let monitor = (required, some_settings()).prop_map(|((id, url), mut fields)| {
        let required = [("id", id), ("url", url)].into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        fields.extend(required);
        Value::Object(fields)
    });
    prop_oneof![30 => monitor, 1 => odd()].boxed()
}

fn file() -> BoxedStrategy<Value> {
    let defaults = prop_oneof![9 => some_settings().prop_map(Value::Object), 1 => odd()];
    let monitors = prop_oneof![20 => prop::collection::vec(monitor(), 0..3).prop_map(Value::from), 1 => odd()];
    let fields =
        (prop::option::weighted(0.3, defaults), prop::option::weighted(0.98, monitors), prop::bool::weighted(0.02));
    let file = fields.prop_map(|(defaults, monitors, is_odd)| {
        let odd = is_odd.then_some(("monitor", json!([])));
        let given = defaults
            .map(|value| ("defaults", value))
            .into_iter()
            .chain(monitors.map(|value| ("monitors", value)))
            .chain(odd);
        Value::Object(given.map(|(key, value)| (key.to_owned(), value)).collect())
    });
    prop_oneof![50 => file, 1 => odd()].boxed()
}

/// JSON in ASCII, with surrogate pairs.
fn ascii(json: &str) -> String {
    let mut ascii = String::new();
    for character in json.chars() {
        if character.is_ascii() {
            ascii.push(character);
        } else {
            ascii.extend(character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    ascii
}

/// JSON indented with tabs.
fn tabbed(value: &Value) -> String {
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    serde::Serialize::serialize(value, &mut serde_json::Serializer::with_formatter(&mut bytes, formatter)).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// YAML in blocks, with plain text where that means the same.
fn yaml(value: &Value, indent: usize) -> String {
    let start = format!("\n{}", " ".repeat(indent));
    match value {
        Value::Array(values) if !values.is_empty() => {
            values.iter().map(|value| format!("{start}- {}", yaml(value, indent + 2))).collect()
        }
        Value::Object(fields) if !fields.is_empty() => {
            let field = |(key, value): (&String, &Value)| {
                format!(
                    "{start}{}:{}{}",
                    scalar(key),
                    if key.len() % 2 == 0 { "\t" } else { " " },
                    yaml(value, indent + 2)
                )
            };
            fields.iter().map(field).collect()
        }
        Value::String(text) => scalar(text),
        other => other.to_string(),
    }
}

fn scalar(text: &str) -> String {
    let is_plain = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || matches!(character, '/' | '.' | '-' | '_'));
    if is_plain && !matches!(text, "null" | "true" | "false") {
        return text.to_owned();
    }
    let escaped: String = text
        .chars()
        .map(|character| match character {
            '"' | '\\' => format!("\\{character}"),
            ' '..='~' => character.to_string(),
            _ => format!("\\U{:08x}", u32::from(character)),
        })
        .collect();
    format!("\"{escaped}\"")
}

fn read(text: &str) -> Result<(), Vec<String>> {
    let lookup = |name: &str| match name {
        "URL" => Some("http://a.test/".to_owned()),
        "HOST" => Some("a.test".to_owned()),
        _ => None,
    };
    let monitors = Monitors::read(text, &defaults(), Secrets::from_env(text, &lookup));
    // Without places, which differ, and those in words.
    let without_places = |mistakes: Vec<Mistake>| {
        let mut texts: Vec<_> = mistakes.into_iter().map(|mistake| mistake.text).collect();
        texts
            .iter_mut()
            .filter(|text| text.contains("on line"))
            .for_each(|text| text.truncate(text.find("on line").unwrap_or_default() + 7));
        texts.sort_unstable();
        texts.dedup();
        texts
    };
    monitors.map(drop).map_err(without_places)
}

/// What the reader of events makes of the monitors of a file, if an event can carry them.
fn read_event(file: &Value) -> Option<bool> {
    let monitors = file.get("monitors")?.as_array()?;
    let is_carried = !monitors.is_empty() && file.as_object()?.len() == 1 && !monitors.iter().all(Value::is_string);
    // References are for files.
    if !is_carried || file.to_string().contains("${") {
        return None;
    }
    let event = Tick::from_event(&json!({ "monitors": monitors }).to_string());
    let text = match event.map(|tick| tick.selection) {
        Ok(Selection::Monitors(text)) => text,
        _ => return Some(false),
    };
    Some(Monitors::read(&text, &defaults(), Secrets::default()).is_ok())
}

fn check(schema: &Validator, file: &Value) -> Result<(), TestCaseError> {
    let json = file.to_string();
    let verdict = read(&json);
    for rendered in [
        tabbed(file),
        ascii(&json),
        format!("# {{é\n---\n{}\n...\n# }}", ascii(&json)),
        format!("\u{feff}{json}\n"),
        yaml(file, 0).trim_start_matches('\n').to_owned(),
    ] {
        prop_assert_eq!(&read(&rendered), &verdict, "as {}", rendered);
    }
    if let Some(is_good) = read_event(file) {
        prop_assert_eq!(is_good, verdict.is_ok(), "as an event; as a file: {:?}", verdict);
    }
    let is_beyond = |mistake: &String| BEYOND_A_SCHEMA.iter().any(|words| mistake.contains(words));
    match verdict {
        Err(mistakes) if mistakes.iter().all(is_beyond) => {}
        Err(mistakes) => {
            prop_assert!(!schema.is_valid(file), "the schema accepts a file with {:?}", mistakes);
        }
        Ok(()) => {
            let refused = schema.validate(file).err();
            prop_assert!(refused.is_none(), "the schema refuses what is good: {:?}", refused);
        }
    }
    Ok(())
}

#[test]
fn schema_and_readers_agree_on_generated_files() {
    let (_, schema) = schema();
    let config = ProptestConfig { cases: 1_500, max_shrink_iters: 2_000, ..ProptestConfig::default() };
    proptest!(config, |(file in file())| check(&schema, &file)?);
}

#[test]
fn schema_and_readers_agree_on_each_value_of_each_key() {
    let (_, schema) = schema();
    let config = ProptestConfig { cases: 300, ..ProptestConfig::default() };
    let keys = settings().into_iter().chain([("id", mostly(name())), ("url", mostly(url()))]);
    for (key, value) in keys {
        proptest!(config.clone(), |(value in value)| {
            let mut monitor = json!({"id": "a", "url": "https://a.test/"});
            monitor[key] = value;
            check(&schema, &json!({ "monitors": [monitor] }))?;
        });
    }
}

/// Examples of the rules at their edges, one of each, so that no change of the generator can lose them.
#[test]
fn schema_and_readers_agree_at_the_edges() {
    let (_, schema) = schema();
    for (key, value, is_good) in [
        ("url", json!("HTTP://a.test/"), true),
        ("url", json!(" http://a.test/"), false),
        ("url", json!("https:a.test"), false),
        ("url", json!("http:///a.test"), false),
        ("url", json!("https://@a.test/"), false),
        ("url", json!("http://a.test/\u{7f}"), false),
        ("expect", json!({"status": "0200-0299"}), false),
        ("expect", json!({"status": "200 - 299"}), true),
        ("expect", json!({"certificate_days": 14.0}), true),
        ("expect", json!({"body": {"contains": ""}}), false),
        ("expect", json!({"body": {"contains": []}}), false),
        ("timeout", json!("800s"), true),
        ("timeout", json!("801s"), false),
        ("interval", json!("1d"), true),
        ("interval", json!("2d"), false),
        ("tags", json!(["a", "a"]), false),
        ("tags", json!([]), true),
        ("tags", json!("x".repeat(256)), false),
        ("locations", json!("a\u{85}"), false),
        ("headers", json!({"CONTENT-length": "1"}), false),
        ("headers", json!({"a": null}), false),
        ("expect", json!({"headers": {"a": "nginx\n"}}), false),
        ("expect", json!({"headers": {"a": " nginx"}}), false),
        ("expect", json!({"headers": {"a": "\tnginx"}}), false),
        ("expect", json!({"headers": {"a": "n g\tx"}}), true),
        ("expect", json!({"headers": {"a": "x"}}), true),
        ("expect", json!({"headers": {"a": ""}}), true),
        ("expect", json!({"headers": {"a": {"contains": " nginx "}}}), true),
        ("expect", json!({"headers": {"a": {"contains": "nginx\r"}}}), false),
    ] {
        let mut monitor = json!({"id": "a", "url": "https://a.test/"});
        monitor[key] = value;
        let file = json!({ "monitors": [monitor] });
        assert_eq!(read(&file.to_string()).is_ok(), is_good, "{file}");
        assert_eq!(schema.is_valid(&file), is_good, "{file}");
        assert_eq!(read_event(&file), Some(is_good), "{file}");
    }
}
