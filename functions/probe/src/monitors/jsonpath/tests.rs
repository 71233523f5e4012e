//! The compliance suite of RFC 9535, and what it leaves open: exact numbers and limits.

use super::*;
use crate::monitors::document::parse_json;

/// <https://github.com/jsonpath-standard/jsonpath-compliance-test-suite>, as the npm package jsonpath-rfc9535 1.3.0 ships it.
/// Its licence is next to it.
const COMPLIANCE_SUITE: &str = include_str!("../../../fixtures/jsonpath-compliance/cts.json");

fn document(text: &str) -> Node {
    parse_json(text, usize::MAX).unwrap().documents.remove(0)
}

fn select(path: &str, document: &Node) -> Result<String, String> {
    let path = JsonPath::parse(path)?;
    let found: Vec<_> = path.select(document)?.iter().map(ToString::to_string).collect();
    Ok(found.join(" "))
}

#[test]
fn path_passes_every_case_of_the_compliance_suite() {
    let suite = document(COMPLIANCE_SUITE);
    let cases = suite.get("tests").unwrap().as_list().unwrap();
    let mut failed = Vec::new();
    for case in cases {
        let selector = case.get("selector").unwrap().as_text().unwrap();
        let path = JsonPath::parse(selector);
        let found = path.as_ref().ok().zip(case.get("document")).map(|(path, document)| path.select(document).unwrap());
        let is_right = match (case.get("invalid_selector"), found) {
            (Some(_), _) => path.is_err(),
            (None, None) => false,
            (None, Some(found)) => {
                let is_result = |result: &Node| result.as_list().unwrap().iter().eq(found.iter().copied());
                let several = case.get("results").and_then(Node::as_list);
                case.get("result").is_some_and(is_result)
                    || several.is_some_and(|results| results.iter().any(is_result))
            }
        };
        if !is_right {
            failed.push(format!("{}: {selector}", case.get("name").unwrap()));
        }
    }
    assert_eq!((cases.len(), failed), (687, Vec::new()));
}

#[test]
fn filter_compares_numbers_exactly_and_at_any_depth() {
    for (path, text, expected) in [
        ("$[?@ == 18446744073709551614]", "[18446744073709551615, 18446744073709551614]", "18446744073709551614"),
        ("$[?@ > 9007199254740992]", "[9007199254740992, 9007199254740993]", "9007199254740993"),
        ("$[?@ == 0.1]", "[0.10, 1e-1, 0.1000000000000000055511151231257827]", "0.10 1e-1"),
        ("$[?@ == 1e400]", "[1e400, 10e399, 1e401]", "1e400 10e399"),
        ("$[?@ == -0]", "[0, -0, 0.0, 1]", "0 -0 0.0"),
        ("$[?@.a == @.b].c", r#"[{"a": [10, {"x": 1}], "b": [10.0, {"x": 1e0}], "c": 1}]"#, "1"),
        ("$[?@[-1] == 2]", "[[1, 2], [2, 1], []]", "[1,2]"),
    ] {
        assert_eq!(select(path, &document(text)).as_deref(), Ok(expected), "{path}");
    }
    assert_eq!(select("$[?@[?@>1]]", &document("[[0],[42]]")).unwrap(), "[42]");
}

#[test]
fn path_that_is_invalid_is_refused_with_its_place() {
    for (path, expected) in [
        ("a", "at character 1: this is 'a': expected $"),
        ("$.a ", "at character 4: this is ' ': expected a segment"),
        ("$.a[?length(@.b)]", "at character 6: the value of this function is no condition: expected a comparison"),
        ("$[?count(@..*)]", "at character 4: the value of this function is no condition"),
        ("$[?length(@.*) < 3]", "at character 11: this may select several values"),
        ("$[?@.* == 1]", "at character 4: this may select several values"),
        ("$[?match(@.a, 'x') == true]", "at character 4: match and search have no value"),
        ("$[?match(@.a, 'x(')]", "at character 15: \"x(\" is not a regular expression"),
        ("$[?true]", "at character 4: a literal alone is no condition"),
        ("$[?size(@) > 1]", "at character 4: an unknown function"),
        ("$['é', 01]", "at character 8: \"01\" is no index"),
        ("$[9007199254740992]", "\"9007199254740992\" is no index"),
        ("$.a[", "at character 5: this is the end: expected a name in quotes"),
        ("$['a", "at character 3: this text has no end"),
        ("$[?length(@.a==@.b)>2]", "at character 14: this is '=': expected )"),
    ] {
        let error = JsonPath::parse(path).unwrap_err();
        let (_, reason) = error.split_once("is not a JSONPath (RFC 9535): ").unwrap();
        assert!(reason.contains(expected), "{reason}\nfor {path}");
    }
    let deep = format!("${}", "[?@".repeat(100_000));
    assert!(JsonPath::parse(&deep).unwrap_err().contains("nested more than"));
}

#[test]
fn hostile_document_ends_the_search_after_a_limited_number_of_steps() {
    let wide = document(&format!("[{}]", vec!["0"; 49_000].join(",")));
    let chain = document(&format!("{}0{}", "[0,".repeat(120), "]".repeat(120)));
    let objects = document(&format!("[{}]", vec![r#"{"a":"x"}"#; 20_000].join(",")));
    // What a monitor asks for is found, however large the document.
    for path in ["$..*", "$[?@ == 1]", "$[48999]", "$[?@..a]", "$..[?@ > 1 || @ == 'x']"] {
        assert!(select(path, &wide).is_ok(), "{path}");
    }
    assert_eq!(JsonPath::parse("$[?search(@.a, '^x')]").unwrap().select(&objects).unwrap().len(), 20_000);
    for (path, document) in [
        ("$[?count($..*) > 1]", &wide),
        ("$[?$[?$[?@ > 1]]]", &wide),
        ("$..*..*..*..*", &chain),
        ("$..[?@..[?@..[?@..[?@..*]]]]", &chain),
        ("$[?match(@.a, @.a)]", &objects),
    ] {
        let error = select(path, document).unwrap_err();
        assert!(error.contains("it takes more than 2000000 steps"), "{path}: {error}");
    }
}

#[test]
fn pattern_of_the_document_that_cannot_be_used_is_an_error() {
    let error = select("$[?match(@.a, @.b)]", &document(r#"[{"a": "x", "b": "("}]"#)).unwrap_err();
    assert!(error.contains("cannot be looked up: \"(\" is not a regular expression"), "{error}");
}
