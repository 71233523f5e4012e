//! The fields of a JSON object whose types nobody guarantees.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::EventError;

/// The fields of an object, each as it is written; of several of one name, the last.
pub(super) type Fields<'text> = BTreeMap<String, &'text RawValue>;

/// The fields of an object; `None` for anything else.
pub(super) fn object(text: &str) -> Option<Fields<'_>> {
    serde_json::from_str(text).ok()
}

/// The fields of an object within another one; none if it is absent or null.
pub(super) fn optional_object<'text>(
    fields: &Fields<'text>,
    name: &str,
    path: &str,
) -> Result<Fields<'text>, EventError> {
    let Some(value) = fields.get(name).filter(|value| value.get() != "null") else { return Ok(Fields::new()) };
    object(value.get()).ok_or_else(|| EventError(format!("{path} is not an object")))
}

/// A text; `None` if it is absent or null.
pub(super) fn text(fields: &Fields<'_>, name: &str) -> Result<Option<String>, EventError> {
    read(fields, name, "a text")
}

/// The texts of an object by their names, without those that are null.
pub(super) fn mapping(fields: &Fields<'_>, name: &str) -> Result<Vec<(String, String)>, EventError> {
    let values: Option<BTreeMap<String, Option<String>>> = read(fields, name, "an object of texts")?;
    Ok(values.into_iter().flatten().filter_map(|(name, value)| Some((name, value?))).collect())
}

/// The same for an object of lists, text by text.
pub(super) fn lists(fields: &Fields<'_>, name: &str) -> Result<Vec<(String, String)>, EventError> {
    let values: Option<BTreeMap<String, Option<Vec<String>>>> = read(fields, name, "an object of lists of texts")?;
    let each = |(name, values): (String, Option<Vec<String>>)| {
        values.into_iter().flatten().map(move |value| (name.clone(), value))
    };
    Ok(values.into_iter().flatten().flat_map(each).collect())
}

fn read<T: DeserializeOwned>(fields: &Fields<'_>, name: &str, what: &str) -> Result<Option<T>, EventError> {
    let Some(value) = fields.get(name) else { return Ok(None) };
    serde_json::from_str(value.get()).map_err(|_| EventError(format!("{name} is not {what}")))
}
