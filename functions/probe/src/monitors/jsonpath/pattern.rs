//! I-Regexp (RFC 9485), the patterns of `match` and `search`, as patterns of the `regex` crate.

use regex::{Regex, RegexBuilder};

/// How large a compiled pattern may become that a path has.
pub(super) const MAX_WRITTEN_BYTES: usize = 10 << 20;
/// How large one may become that a document has, which may be hostile.
pub(super) const MAX_FOUND_BYTES: usize = 1 << 18;

/// Compiles a pattern to fit all of a text, or a part of it.
///
/// # Errors
/// It is no regular expression.
pub(super) fn compile(pattern: &str, is_whole: bool, max_bytes: usize) -> Result<Regex, String> {
    let translated = translate(pattern);
    let anchored = if is_whole { format!(r"\A(?:{translated})\z") } else { translated };
    let compiled = RegexBuilder::new(&anchored).size_limit(max_bytes).build();
    compiled.map_err(|error| {
        // The last line says what is wrong; those before draw it.
        let error = error.to_string();
        format!("{pattern:?} is not a regular expression: {}", error.lines().last().unwrap_or_default())
    })
}

/// Writes what has another meaning in the `regex` crate as what it means there: a point outside of a class is anything but
/// an end of a line, and in a class `[`, `&` and `~` are characters.
fn translate(pattern: &str) -> String {
    let mut translated = String::with_capacity(pattern.len());
    let (mut is_in_class, mut is_escaped) = (false, false);
    for character in pattern.chars() {
        if is_escaped {
            translated.push(character);
            is_escaped = false;
            continue;
        }
        match (character, is_in_class) {
            ('.', false) => translated.push_str(r"[^\n\r]"),
            ('[' | '&' | '~', true) => translated.extend(['\\', character]),
            _ => {
                translated.push(character);
                is_escaped = character == '\\';
                is_in_class = (is_in_class || character == '[') && character != ']';
            }
        }
    }
    translated
}

#[cfg(test)]
mod tests {
    use super::{MAX_FOUND_BYTES, MAX_WRITTEN_BYTES, compile};

    #[test]
    fn pattern_means_what_it_means_in_rfc_9485() {
        for (pattern, text, whole, part) in [
            ("a.c", "abc", true, true),
            ("a.c", "a\rc", false, false),
            ("a.c", "a\u{2028}c", true, true),
            ("a[.]c", "abc", false, false),
            (r"a\.c", "xa.c", false, true),
            ("a|b", "ab", false, true),
            ("[[&&a]", "&", true, true),
            (r"\p{Lu}[^a]", "É1", true, true),
            ("", "a", false, true),
        ] {
            let is_match = |is_whole| compile(pattern, is_whole, MAX_FOUND_BYTES).unwrap().is_match(text);
            assert_eq!((is_match(true), is_match(false)), (whole, part), "{pattern} {text}");
        }
        assert!(compile("a(", true, MAX_WRITTEN_BYTES).unwrap_err().contains("\"a(\" is not a regular expression"));
        assert!(compile("((a{99}){99}){9}", false, MAX_FOUND_BYTES).is_err());
    }
}
