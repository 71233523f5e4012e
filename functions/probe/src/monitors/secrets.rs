//! `${…}` in a monitors file: what stands in the environment, in Secrets Manager or in the Parameter Store, so that it
//! need not stand in the file. What a reference led to is shown nowhere: not in `Debug`, an error or a record.

use std::{
    borrow::Cow,
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use shared::env::Hidden;
use url::{Url, form_urlencoded};

use super::document;

/// Variables that are the credentials of the function's own role, or for Kafka and the database: a target is not to have them.
const CREDENTIALS: [&str; 7] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "WM_STREAM_SASL_PASSWORD",
    "WM_DB_CONNECTION_STRING",
    "WM_STATS_TOKENS",
];

/// What stands for a value that can be had in AWS only, where a file is checked without it.
pub const NOT_HERE: &str = "a-value-that-is-not-here";

/// What a mask leaves readable: to hide each "1" would hide everything, and a secret is longer.
const MIN_MASKED_BYTES: usize = 4;

/// What references lead to, by what stands between their braces; or why one leads nowhere.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    values: BTreeMap<String, Hidden<Result<String, String>>>,
}

/// A piece of a text.
enum Piece<'text> {
    Plain(&'text str),
    Reference(&'text str),
}

/// Takes a text apart. `$${` is a plain `${`.
fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find("${") {
        let (before, reference) = rest.split_at(at);
        let reference = reference.get(2..).unwrap_or_default();
        if let Some(before) = before.strip_suffix('$') {
            pieces.extend([Piece::Plain(before), Piece::Plain("${")]);
            rest = reference;
            continue;
        }
        let Some((name, after)) = reference.split_once('}') else {
            return Err("a reference is not closed: expected ${NAME}, or $${ for a plain ${".to_owned());
        };
        pieces.extend([Piece::Plain(before), Piece::Reference(name)]);
        rest = after;
    }
    pieces.push(Piece::Plain(rest));
    Ok(pieces)
}

/// Whether a reference leads out of the function, to be fetched.
fn is_outside(reference: &str) -> bool {
    reference.starts_with("secretsmanager:") || reference.starts_with("ssm:")
}

/// The references in a text that lead out of the function.
pub(crate) fn outside(text: &str) -> BTreeSet<String> {
    all(text).into_iter().filter(|reference| is_outside(reference)).collect()
}

/// Whatever looks like a reference in the texts of a file, as they are without their escapes: JSON may have `/` as `\/`. A
/// comment has none.
fn all(file: &str) -> BTreeSet<String> {
    let mut references = BTreeSet::new();
    let mut add = |text: &str| {
        let found = text.split("${").skip(1).filter_map(|after| after.split_once('}'));
        references.extend(found.map(|(name, _)| name.to_owned()));
    };
    match document::parse(file) {
        Ok(parsed) => parsed.documents.iter().for_each(|document| document.each_text(&mut add)),
        Err(_) => add(file),
    }
    references
}

impl Secrets {
    /// What the references in a text lead to in the environment.
    #[must_use]
    pub fn from_env(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Self {
        let inside = all(text).into_iter().filter(|reference| !is_outside(reference));
        let values = inside.map(|name| {
            let value = if CREDENTIALS.contains(&name.as_str()) {
                Err(format!("${{{name}}} is a credential of this function, which no target may have"))
            } else if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') || name.is_empty() {
                Err(format!(
                    "${{{name}}} is no reference: expected ${{NAME}} for a variable, ${{secretsmanager:NAME}}, \
                     ${{secretsmanager:NAME#KEY}} or ${{ssm:NAME}}"
                ))
            } else {
                // An empty one counts as unset, as everywhere.
                let value = lookup(&name).filter(|value| !value.is_empty());
                value.ok_or_else(|| format!("${{{name}}} leads nowhere: there is no variable {name}"))
            };
            (name, Hidden(value))
        });
        Self { values: values.collect() }
    }

    /// Adds what was fetched from outside, or why it could not be.
    pub(crate) fn insert(&mut self, reference: &str, value: Result<String, String>) {
        self.values.insert(reference.to_owned(), Hidden(value));
    }

    /// The text with what its references lead to.
    ///
    /// # Errors
    /// A reference leads nowhere; says which, and why.
    pub(super) fn expand(&self, text: &str) -> Result<String, String> {
        let mut expanded = String::new();
        for piece in pieces(text)? {
            match piece {
                Piece::Plain(text) => expanded.push_str(text),
                Piece::Reference(name) => match self.values.get(name) {
                    Some(Hidden(Ok(value))) => expanded.push_str(value),
                    Some(Hidden(Err(error))) => return Err(error.clone()),
                    None => return Err(format!("${{{name}}} leads nowhere here: references are for files")),
                },
            }
        }
        Ok(expanded)
    }

    /// The text with the references again in the place of what they lead to, as it is or as it stands in a URL: a target
    /// may send back what it was sent.
    #[must_use]
    pub fn mask<'text>(&self, text: &'text str) -> Cow<'text, str> {
        let mut masked = Cow::Borrowed(text);
        let values = self.values.iter().filter_map(|(name, Hidden(value))| Some((name, value.as_ref().ok()?)));
        let mut forms: Vec<_> = values.flat_map(|(name, value)| forms(value).map(move |form| (form, name))).collect();
        // The longest first: one value may be a part of another.
        forms.sort_by_key(|(form, _)| Reverse(form.len()));
        for (form, name) in forms {
            if form.len() >= MIN_MASKED_BYTES && masked.contains(&form) {
                masked = masked.replace(&form, &format!("${{{name}}}")).into();
            }
        }
        masked
    }
}

/// A value as it may stand in a message: as it is, without blanks around it, escaped, in one of the encodings of a URL, or as
/// the name of a host.
fn forms(value: &str) -> [String; 9] {
    let json = serde_json::Value::from(value).to_string();
    let json = json.strip_prefix('"').and_then(|json| json.strip_suffix('"')).unwrap_or_default().to_owned();
    let form: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
    let [mut path, mut query] = ["http://a/?", "http://a/?"].map(|url| Url::parse(url).ok());
    if let (Some(path), Some(query)) = (&mut path, &mut query) {
        path.set_path(value);
        query.set_query(Some(value));
    }
    let path = path.map(|url| url.path().trim_start_matches('/').to_owned()).unwrap_or_default();
    let query = query.and_then(|url| url.query().map(str::to_owned)).unwrap_or_default();
    let (trimmed, host) = (value.trim().to_owned(), value.to_ascii_lowercase());
    [
        value.to_owned(),
        trimmed,
        host,
        value.escape_debug().to_string(),
        json,
        form.replace('+', "%20"),
        form,
        path,
        query,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(text: &str) -> Secrets {
        Secrets::from_env(text, &|name| match name {
            "TOKEN" => Some("s3cret/value".to_owned()),
            "AWS_SECRET_ACCESS_KEY" => Some("the role's own".to_owned()),
            _ => None,
        })
    }

    #[test]
    fn a_reference_becomes_what_it_leads_to_and_two_dollars_a_plain_one() {
        for (text, expected) in [
            ("Bearer ${TOKEN}", "Bearer s3cret/value"),
            ("${TOKEN}${TOKEN}", "s3cret/values3cret/value"),
            ("$${TOKEN}", "${TOKEN}"),
            ("price: $5 {TOKEN}", "price: $5 {TOKEN}"),
        ] {
            assert_eq!(secrets(text).expand(text).unwrap(), expected);
        }
    }

    #[test]
    fn a_reference_that_leads_nowhere_says_why() {
        for (text, words) in [
            ("${MISSING}", "there is no variable MISSING"),
            ("${TOKEN", "not closed"),
            ("${}", "is no reference"),
            ("${vault:x}", "is no reference"),
            ("${AWS_SECRET_ACCESS_KEY}", "a credential of this function"),
            ("${WM_DB_CONNECTION_STRING}", "a credential of this function"),
        ] {
            let error = secrets(text).expand(text).unwrap_err();
            assert!(error.contains(words) && !error.contains("own"), "{error}");
        }
    }

    #[test]
    fn what_a_reference_led_to_is_not_to_be_seen() {
        let secrets = secrets("${TOKEN}");
        assert!(!format!("{secrets:?}").contains("s3cret"));
        let told = "the header echo is \"s3cret/value\", from https://a.test/s3cret%2Fvalue";
        assert_eq!(secrets.mask(told), "the header echo is \"${TOKEN}\", from https://a.test/${TOKEN}");
    }

    #[test]
    fn a_value_is_masked_in_every_form_in_which_it_may_be_told() {
        let lookup = |name: &str| match name {
            "USER" => Some("admin".to_owned()),
            "PASSWORD" => Some("admin\"p@ss w/rd\n".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let secrets = Secrets::from_env("${USER} ${PASSWORD} ${EMPTY}", &lookup);
        let value = lookup("PASSWORD").unwrap();
        let mut url = Url::parse("http://a.test/").unwrap();
        url.set_path(&value);
        for told in [value.clone(), format!("{value:?}"), serde_json::json!([value]).to_string(), url.to_string()] {
            let masked = secrets.mask(&told);
            assert!(masked.contains("${PASSWORD}") && !masked.contains("p@ss") && !masked.contains("USER"), "{masked}");
        }
        assert!(secrets.expand("${EMPTY}").is_err());
    }

    #[test]
    fn a_value_is_masked_without_the_blanks_around_it_and_as_the_name_of_a_host() {
        let secrets = Secrets::from_env("${TOKEN}", &|_| Some(" S3cretValue ".to_owned()));
        assert_eq!(secrets.mask("echo: S3cretValue"), "echo: ${TOKEN}");
        let secrets = Secrets::from_env("${TOKEN}", &|_| Some("S3cretValue".to_owned()));
        assert_eq!(
            secrets.mask("not valid for name \"s3cretvalue.hooks.test\""),
            "not valid for name \"${TOKEN}.hooks.test\""
        );
    }

    #[test]
    fn what_is_outside_is_found_in_the_text() {
        let text = "a: ${ssm:/one} ${TOKEN}\nb: ${secretsmanager:two#key} ${ssm:/one}";
        assert_eq!(Vec::from_iter(outside(text)), ["secretsmanager:two#key", "ssm:/one"]);
        let escaped = r#"{"a": "\u0024{ssm:\/one}", "b": ["$\u007bssm:\u002ftwo}"]}"#;
        assert_eq!(Vec::from_iter(outside(escaped)), ["ssm:/one", "ssm:/two"]);
        assert!(outside("a: 1 # ${ssm:/one}").is_empty());
    }
}
