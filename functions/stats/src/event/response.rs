//! Responses in the form of their event.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderMap, Response};
use serde::Serialize;

use super::{Form, Source};
use crate::response::Body;

/// A response as Lambda takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResponseEvent {
    status_code: u16,
    /// For load balancers.
    #[serde(skip_serializing_if = "Option::is_none")]
    status_description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    multi_value_headers: Option<BTreeMap<String, Vec<String>>>,
    /// For payload format 2.0; stats sets none.
    #[serde(skip_serializing_if = "Option::is_none")]
    cookies: Option<[(); 0]>,
    body: String,
    is_base64_encoded: bool,
}

impl Form {
    /// A response to an event of this form.
    #[must_use]
    pub fn write(self, response: Response<Body>) -> ResponseEvent {
        let (parts, body) = response.into_parts();
        let (body, is_base64_encoded) = match body {
            Body::Empty => (String::new(), false),
            Body::Text(text) => (text, false),
            // Not every service decodes base64.
            Body::Binary(bytes) => match String::from_utf8(bytes) {
                Ok(text) => (text, false),
                Err(error) => (BASE64_STANDARD.encode(error.as_bytes()), true),
            },
        };
        let lists = lists(&parts.headers);
        let description =
            || format!("{} {}", parts.status.as_str(), parts.status.canonical_reason().unwrap_or_default());
        ResponseEvent {
            status_code: parts.status.as_u16(),
            status_description: (self.source == Source::LoadBalancer).then(description),
            headers: (!self.has_lists).then(|| joined(&lists)),
            multi_value_headers: self.has_lists.then_some(lists),
            cookies: (self.source == Source::Payload2).then_some([]),
            body,
            is_base64_encoded,
        }
    }
}

fn lists(headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    let mut lists: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        lists.entry(name.as_str().to_owned()).or_default().push(value);
    }
    lists
}

fn joined(lists: &BTreeMap<String, Vec<String>>) -> BTreeMap<String, String> {
    lists.iter().map(|(name, values)| (name.clone(), values.join(", "))).collect()
}
