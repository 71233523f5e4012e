//! The variables: the template sets those that the functions read, and the docs describe them.

use std::{cell::RefCell, collections::BTreeSet, fs};

use flush::FlushConfig;
use local_stack::{functions, instance::program, workspace};
use probe::ProbeConfig;
use stats::StatsConfig;

use crate::docs::pages;

/// What is read and is not in the template, because there are no files of one's own in a function, because secrets go by
/// their ARN there, or because what is reckoned from the rest of it or is the default suits.
const NOT_IN_THE_TEMPLATE: [&str; 20] = [
    "WM_DB_SSL_CA_FILE",
    "WM_MONITORS_FILE",
    "WM_PROBE_CA_FILE",
    "WM_STREAM_SSL_CA_FILE",
    "WM_STREAM_SSL_CERT_FILE",
    "WM_STREAM_SSL_KEY_FILE",
    "WM_STATS_TOKENS",
    "WM_STREAM_SASL_PASSWORD",
    "WM_STREAM_SASL_SCOPE",
    "WM_STREAM_SASL_TOKEN_ENDPOINT",
    "WM_STREAM_SASL_USERNAME",
    "WM_LOCATION",
    "WM_PROBE_CONCURRENCY",
    "WM_PROBE_CONNECT_TIMEOUT_MS",
    "WM_PROBE_SPREAD",
    "WM_PROBE_TIMEOUT_MS",
    "WM_STATS_PREFIX",
    // Of cargo local alone.
    "WM_STREAM_CONSUMER_GROUP_ID",
    "WM_PAGE_URL",
    "WM_STATS_URL",
];

/// The names that `read` looks up.
fn names(read: impl Fn(&dyn Fn(&str) -> Option<String>)) -> BTreeSet<String> {
    let names = RefCell::new(BTreeSet::new());
    read(&|name| {
        names.borrow_mut().insert(name.to_owned());
        None
    });
    names.into_inner().into_iter().filter(|name| name.starts_with("WM_")).collect()
}

/// The names of a text that begin with `WM_`.
fn mentioned(text: &str) -> BTreeSet<String> {
    let words = text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    words.filter(|word| word.starts_with("WM_") && !word.ends_with('_')).map(str::to_owned).collect()
}

#[test]
fn template_sets_and_docs_describe_the_variables_that_functions_read() {
    let functions = [
        ("ProbeFunction", names(|lookup| drop(ProbeConfig::from_env(lookup)))),
        ("FlushFunction", names(|lookup| drop(FlushConfig::from_env(lookup)))),
        ("StatsFunction", names(|lookup| drop(StatsConfig::from_env(lookup)))),
    ];
    let template = fs::read_to_string(workspace().join("template.yaml")).unwrap();
    let reference = mentioned(&fs::read_to_string(workspace().join("docs/configuration.md")).unwrap());
    let docs: BTreeSet<_> = pages().iter().flat_map(|page| mentioned(&fs::read_to_string(page).unwrap())).collect();
    let exempt: BTreeSet<_> = NOT_IN_THE_TEMPLATE.map(str::to_owned).into();

    for (resource, read) in &functions {
        let (_, rest) = template.split_once(&format!("\n  {resource}:\n")).unwrap();
        let (_, variables) = rest.split_once("\n        Variables:\n").unwrap();
        let given: BTreeSet<_> = variables
            .lines()
            .take_while(|line| line.starts_with("          "))
            .filter_map(|line| line.trim().split_once(':'))
            .filter(|(name, _)| name.starts_with("WM_"))
            .map(|(name, _)| name.to_owned())
            .collect();

        let unread: Vec<_> = given.difference(read).collect();
        assert!(unread.is_empty(), "{resource} has in the template, and does not read: {unread:?}");
        let missing: Vec<_> = read.difference(&given).filter(|name| !exempt.contains(*name)).collect();
        assert!(missing.is_empty(), "{resource} reads, and has not in the template: {missing:?}");
        let undocumented: Vec<_> = read.difference(&reference).collect();
        assert!(
            undocumented.is_empty(),
            "{resource} reads variables that docs/configuration.md lacks: {undocumented:?}"
        );
    }
    let all: BTreeSet<_> = functions.iter().flat_map(|(_, read)| read).chain(&exempt).cloned().collect();
    let unknown: Vec<_> = docs.difference(&all).filter(|name| !name.starts_with("WM_INVOKE_")).collect();
    assert!(unknown.is_empty(), "the docs mention variables that no function reads: {unknown:?}");
}

#[test]
fn function_that_cannot_start_logs_every_mistake_in_words() {
    functions::build().unwrap();
    let cases = [
        ("probe", "WM_PROBE_CA_FILE is \"/nonexistent.pem\": there is no such file; check the path"),
        ("flush", "WM_DB_SSL_CA_FILE is \"/nonexistent.pem\": there is no such file; check the path"),
        ("stats", "WM_DB_SSL_CA_FILE is \"/nonexistent.pem\": there is no such file; check the path"),
    ];
    for (function, mistake) in cases {
        let mut command = std::process::Command::new(program(function).unwrap());
        command.env_clear().env("WM_PROBE_CA_FILE", "/nonexistent.pem").env("WM_DB_SSL_CA_FILE", "/nonexistent.pem");

        let output = command.output().unwrap();

        let log = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(1), "{log}");
        assert!(log.contains(&format!("failed to run {function}: invalid configuration:\n")), "{log}");
        assert!(log.lines().any(|line| line.trim() == mistake) && log.contains(" is not set: expected "), "{log}");
        for debug in ["Error {", "Error(", "Os {", "kind:"] {
            assert!(!log.contains(debug), "{log}");
        }
    }
}
