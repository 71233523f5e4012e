//! What a client takes: the headers `Accept`, `Accept-Encoding` and `If-None-Match` (RFC 9110). Pure.

use http::{HeaderMap, header::HeaderName};

/// The header, or nothing where it is missing or no text; several lines are one with commas.
pub(crate) fn text(headers: &HeaderMap, name: &HeaderName) -> String {
    let lines: Vec<_> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    lines.join(", ")
}

/// The media type, of those that there are, that a client likes best; the first where it takes anything, or nothing of it.
pub(crate) fn media_type<'types>(accept: &str, offered: &[&'types str]) -> &'types str {
    let mut best = offered.first().map_or(("", 0.0), |first| (*first, quality(accept, first)));
    for offer in offered.iter().skip(1) {
        let quality = quality(accept, offer);
        if quality > best.1 {
            best = (offer, quality);
        }
    }
    best.0
}

/// Whether a client takes gzip.
pub(crate) fn takes_gzip(accept_encoding: &str) -> bool {
    let named = ranges(accept_encoding).find(|(name, _)| name.eq_ignore_ascii_case("gzip"));
    let any = ranges(accept_encoding).find(|(name, _)| *name == "*");
    named.or(any).is_some_and(|(_, quality)| quality > 0.0)
}

/// Whether a client has what this tag stands for.
pub(crate) fn has(if_none_match: &str, tag: &str) -> bool {
    let opaque = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    let known = |other: &str| other == "*" || opaque(other) == opaque(tag);
    if_none_match.split(',').any(|other| known(other.trim()))
}

/// How much a client likes a media type: by the range that is the most specific about it, 0 where there is none.
fn quality(accept: &str, offer: &str) -> f64 {
    let kind = offer.split('/').next().unwrap_or_default();
    let specificity = |range: &str| match range {
        _ if range.eq_ignore_ascii_case(offer) => Some(2),
        "*/*" => Some(0),
        _ => range.strip_suffix("/*").filter(|range| range.eq_ignore_ascii_case(kind)).map(|_| 1),
    };
    let known = ranges(accept).filter_map(|(range, quality)| Some((specificity(range)?, quality)));
    known.max_by_key(|(specificity, _)| *specificity).map_or(0.0, |(_, quality)| quality)
}

/// The ranges of a header, each with its quality.
fn ranges(header: &str) -> impl Iterator<Item = (&str, f64)> {
    header.split(',').map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let quality = parts.find_map(|parameter| parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q=")));
        (name, quality.map_or(1.0, |quality| quality.parse().unwrap_or(0.0)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_that_is_liked_best_is_taken() {
        let offered = ["application/json", "text/csv"];
        for (accept, expected) in [
            ("", "application/json"),
            ("*/*", "application/json"),
            ("text/csv", "text/csv"),
            ("TEXT/CSV; q=0.5", "text/csv"),
            ("text/*", "text/csv"),
            ("text/csv;q=0.9, application/json", "application/json"),
            ("text/csv, application/json;q=0.9", "text/csv"),
            ("text/csv, application/json", "application/json"),
            ("text/html, */*;q=0.1", "application/json"),
            ("text/csv;q=0, */*", "application/json"),
            ("image/png", "application/json"),
            ("text/csv;q=bad", "application/json"),
        ] {
            assert_eq!(media_type(accept, &offered), expected, "{accept}");
        }
    }

    #[test]
    fn gzip_is_taken_unless_it_is_refused() {
        for (header, expected) in [
            ("", false),
            ("gzip", true),
            ("br, GZIP;q=0.2", true),
            ("gzip;q=0, *", false),
            ("*", true),
            ("identity", false),
        ] {
            assert_eq!(takes_gzip(header), expected, "{header}");
        }
    }

    #[test]
    fn a_tag_is_known_alone_among_others_weakly_and_by_any() {
        for (header, expected) in [
            (r#""a""#, true),
            (r#""b", "a""#, true),
            (r#"W/"a""#, true),
            ("*", true),
            (r#""ab""#, false),
            ("a", false),
            ("", false),
        ] {
            assert_eq!(has(header, r#""a""#), expected, "{header}");
            assert_eq!(has(header, r#"W/"a""#), expected, "{header}");
        }
    }
}
