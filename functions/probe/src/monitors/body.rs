//! The body of an answer as text: content codings undone (RFC 9110, section 8.4) and decoded by its charset.
//!
//! - Codings: `gzip`, `x-gzip` and `deflate` (with or without the zlib wrapper), up to [`MAX_CODINGS`] of them in any number
//!   of header lines, undone from the last to the first; `identity` and empty members count for nothing. probe asks for no
//!   coding, so `br`, `zstd` and others are not undone: a body that is readable text all the same is judged as it stands,
//!   and any other is a failure that names the coding.
//! - A body without bytes (204, 304, HEAD, length 0) is the empty text, whatever its coding.
//! - JSON, by its media type, is UTF-8 (RFC 8259, section 8.1): a byte order mark decides, then UTF-8 where the bytes are
//!   UTF-8, then the `charset`, which the registration of the media type does not define.
//! - Charsets of other text: a byte order mark, or else the `charset` of `Content-Type`, by the labels of the WHATWG Encoding Standard; or
//!   else, and for labels that are unknown, UTF-8. Bytes that are no text of the charset become U+FFFD. What a document
//!   says of itself, as in `<meta charset>`, is not looked at.

use std::{
    borrow::Cow,
    cell::OnceCell,
    io::{self, Read},
};

use encoding_rs::{Encoding, UTF_8};
use flate2::{
    bufread::GzDecoder,
    read::{DeflateDecoder, ZlibDecoder},
};
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};

use super::document::{Node, parse_json};
use crate::exchange::{Answer, MAX_BODY_BYTES};

/// How long a body may become when one of its codings is undone.
const MAX_DECODED_BYTES: u64 = 8 << 20;
/// How many codings are undone.
const MAX_CODINGS: usize = 5;
/// How much JSON is taken apart. A tree takes a hundred times the memory of its text where that is all brackets: a target
/// could end the function with it.
const MAX_JSON_VALUES: usize = 50_000;

/// The body of an answer as what is expected of it needs it.
pub(super) struct Body {
    /// As text.
    pub(super) text: String,
    /// Whether there was more.
    is_cut: bool,
    /// Parsed when it is first asked for.
    json: OnceCell<Result<Node, String>>,
}

impl Body {
    /// Decodes the body of an answer.
    ///
    /// # Errors
    /// Why it cannot be decoded.
    pub(super) fn decode(answer: &Answer) -> Result<Self, String> {
        let text = text(&answer.headers, &answer.body, answer.is_cut)?;
        Ok(Self::new(text, answer.is_cut))
    }

    /// A body of this text.
    pub(super) fn new(text: String, is_cut: bool) -> Self {
        Self { text, is_cut, json: OnceCell::new() }
    }

    /// What of the body there is.
    pub(super) fn part(&self) -> String {
        if self.is_cut { format!("the first {MAX_BODY_BYTES} bytes of the body") } else { "the body".to_owned() }
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// It is not JSON, or too much of it.
    pub(super) fn json(&self) -> Result<&Node, String> {
        let json = self.json.get_or_init(|| match parse_json(&self.text, MAX_JSON_VALUES) {
            Ok(parsed) => parsed.documents.into_iter().next().ok_or_else(|| format!("{} is empty", self.part())),
            Err(mistake) => {
                let (line, column) = (mistake.line, mistake.column);
                Err(format!("{} is {} (line {line}, column {column})", self.part(), mistake.text))
            }
        });
        json.as_ref().map_err(Clone::clone)
    }
}

fn text(headers: &HeaderMap, bytes: &[u8], is_cut: bool) -> Result<String, String> {
    if bytes.is_empty() {
        return Ok(String::new());
    }
    let codings = codings(headers);
    if codings.len() > MAX_CODINGS {
        return Err(format!("the body has {} content codings: expected at most {MAX_CODINGS}", codings.len()));
    }
    let mut unknown = Vec::new();
    let mut decoded = Cow::Borrowed(bytes);
    for coding in codings.iter().rev() {
        // Servers also announce a coding that they did not apply to an empty body.
        if decoded.is_empty() {
            break;
        }
        match undo(coding, &decoded, is_cut) {
            None => unknown.push(coding.as_str()),
            Some(Ok(bytes)) => decoded = bytes.into(),
            Some(Err(error)) => return Err(unreadable(&unknown).unwrap_or(error)),
        }
    }
    let charset = if is_json(headers) && is_json_in_utf_8(&decoded, is_cut) { None } else { charset(headers) };
    let (text, is_readable) = decode(&decoded, charset, is_cut);
    match unreadable(&unknown) {
        Some(error) if !is_readable => Err(error),
        _ => Ok(text),
    }
}

/// Why a body is not read that has codings which are not undone.
fn unreadable(unknown: &[&str]) -> Option<String> {
    let coding = unknown.first()?;
    Some(format!(
        "the body has the content coding {coding:?}, which probe does not undo, and is no readable text: have the server send \
         it plain or with gzip"
    ))
}

/// The codings in the order in which they were applied, in lower case.
fn codings(headers: &HeaderMap) -> Vec<String> {
    let lines = headers.get_all(CONTENT_ENCODING).iter().map(|line| String::from_utf8_lossy(line.as_bytes()));
    let members =
        lines.flat_map(|line| line.split(',').map(|coding| coding.trim().to_ascii_lowercase()).collect::<Vec<_>>());
    members.filter(|coding| !matches!(coding.as_str(), "" | "identity")).collect()
}

/// The bytes before a coding was applied; nothing for a coding that is not known.
fn undo(coding: &str, bytes: &[u8], is_cut: bool) -> Option<Result<Vec<u8>, String>> {
    let decoded = match coding {
        "gzip" | "x-gzip" => gunzip(bytes, is_cut),
        "deflate" => inflate(bytes, is_cut),
        _ => return None,
    };
    Some(decoded.map_err(|error| format!("the body cannot be decompressed: {error}")).and_then(|decoded| {
        if decoded.len() as u64 > MAX_DECODED_BYTES {
            return Err(format!("the body is larger than {MAX_DECODED_BYTES} bytes when it is decompressed"));
        }
        Ok(decoded)
    }))
}

/// The members of a gzip file, one after the other. What follows them and is none is left out, as browsers do.
fn gunzip(mut bytes: &[u8], is_cut: bool) -> io::Result<Vec<u8>> {
    let mut decoded = Vec::new();
    loop {
        let mut member = GzDecoder::new(bytes);
        read(&mut member, &mut decoded, is_cut)?;
        bytes = member.into_inner();
        if !bytes.starts_with(&[0x1f, 0x8b]) || decoded.len() as u64 > MAX_DECODED_BYTES {
            return Ok(decoded);
        }
    }
}

/// "deflate" means the zlib format; some servers send what is in it without the wrapper.
fn inflate(bytes: &[u8], is_cut: bool) -> io::Result<Vec<u8>> {
    let is_wrapped = matches!(bytes, [first, second, ..] if first & 0xf == 8 && (u16::from(*first) << 8 | u16::from(*second)) % 31 == 0);
    let mut decoded = Vec::new();
    let wrapped = if is_wrapped { Some(read(ZlibDecoder::new(bytes), &mut decoded, is_cut)) } else { None };
    match wrapped {
        Some(Ok(())) => Ok(decoded),
        wrapped => {
            decoded.clear();
            let plain = read(DeflateDecoder::new(bytes), &mut decoded, is_cut);
            match (plain, wrapped) {
                (Ok(()), _) => Ok(decoded),
                (Err(_), Some(Err(error))) | (Err(error), _) => Err(error),
            }
        }
    }
}

/// Reads to the end, or one byte beyond the limit. What was cut ends in the middle.
fn read(decoder: impl Read, decoded: &mut Vec<u8>, is_cut: bool) -> io::Result<()> {
    let left = (MAX_DECODED_BYTES + 1).saturating_sub(decoded.len() as u64);
    match decoder.take(left).read_to_end(decoded) {
        Err(error) if !is_cut => Err(error),
        _ => Ok(()),
    }
}

/// The last `Content-Type`.
fn content_type(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    let line = headers.get_all(CONTENT_TYPE).iter().next_back()?;
    Some(String::from_utf8_lossy(line.as_bytes()))
}

/// Whether the media type is `application/json` or ends in `+json`.
fn is_json(headers: &HeaderMap) -> bool {
    content_type(headers).is_some_and(|line| {
        let media_type = line.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        media_type == "application/json" || media_type.ends_with("+json")
    })
}

/// Whether bytes may be JSON in UTF-8. JSON has no control characters but blanks; UTF-16 and ISO-2022-JP, whose bytes can be
/// valid UTF-8 too, have some.
fn is_json_in_utf_8(bytes: &[u8], is_cut: bool) -> bool {
    let is_utf_8 = match str::from_utf8(bytes) {
        Ok(_) => true,
        // What was cut may end in the middle of a character.
        Err(error) => is_cut && error.error_len().is_none(),
    };
    is_utf_8 && !bytes.iter().any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace())
}

/// The charset that the headers name, if it is a known one.
fn charset(headers: &HeaderMap) -> Option<&'static Encoding> {
    let line = content_type(headers)?;
    let parameter = |parameter: &str| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches(['"', '\'']).trim().to_owned())
    };
    // A semicolon in quotes separates nothing.
    let mut is_quoted = false;
    let separates = |character: char| {
        is_quoted ^= character == '"';
        character == ';' && !is_quoted
    };
    let label = line.split(separates).skip(1).find_map(parameter)?;
    Encoding::for_label_no_replacement(label.as_bytes())
}

/// The bytes as text, and whether that can be read: all of it is of the charset, and it holds no control characters.
fn decode(bytes: &[u8], charset: Option<&'static Encoding>, is_cut: bool) -> (String, bool) {
    let (encoding, mark) = Encoding::for_bom(bytes).unwrap_or((charset.unwrap_or(UTF_8), 0));
    let (text, _) = encoding.decode_without_bom_handling(bytes.get(mark..).unwrap_or_default());
    // What was cut may end in the middle of a character.
    let complete = if is_cut { text.trim_end_matches(char::REPLACEMENT_CHARACTER) } else { &text };
    let is_odd = |character: char| {
        character == char::REPLACEMENT_CHARACTER
            || (character.is_control() && !matches!(character, '\t' | '\n' | '\r' | '\u{c}'))
    };
    let is_readable = !complete.contains(is_odd);
    (text.into_owned(), is_readable)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{
        Compression,
        write::{DeflateEncoder, GzEncoder, ZlibEncoder},
    };

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn raw(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (reqwest::header::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    fn decoded(codings: &[&str], bytes: &[u8]) -> Result<String, String> {
        let lines: Vec<_> = codings.iter().map(|coding| ("content-encoding", *coding)).collect();
        text(&headers(&lines), bytes, false)
    }

    #[test]
    fn codings_are_undone_in_reverse_order_however_they_are_listed() {
        let page = b"a page";
        for (codings, bytes) in [
            (vec!["gzip"], gzip(page)),
            (vec!["GZip"], gzip(page)),
            (vec!["x-gzip"], gzip(page)),
            (vec!["deflate"], zlib(page)),
            (vec!["deflate"], raw(page)),
            (vec!["identity"], page.to_vec()),
            (vec![""], page.to_vec()),
            (vec!["deflate, gzip"], gzip(&zlib(page))),
            (vec!["gzip", "deflate"], zlib(&gzip(page))),
            (vec![" , gzip ,,\tidentity , ", "deflate,"], raw(&gzip(page))),
            (vec!["none, gzip"], gzip(page)),
            (vec!["gzip, none"], gzip(page)),
            (vec!["gzip"], [gzip(b"a "), gzip(b"page")].concat()),
            (vec!["gzip"], [gzip(page), b"\0\0 rest".to_vec()].concat()),
        ] {
            assert_eq!(decoded(&codings, &bytes).as_deref(), Ok("a page"), "{codings:?}");
        }
    }

    #[test]
    fn body_without_bytes_is_empty_whatever_its_coding() {
        for coding in ["gzip", "deflate", "br", "none"] {
            assert_eq!(decoded(&[coding], b"").as_deref(), Ok(""), "{coding}");
        }
    }

    #[test]
    fn readable_text_with_an_unknown_coding_is_judged_as_it_stands_and_other_bytes_are_a_failure() {
        for coding in ["none", "utf-8", "br", "zstd", "binary"] {
            assert_eq!(decoded(&[coding], "é is a word\r\n".as_bytes()).as_deref(), Ok("é is a word\r\n"), "{coding}");
            for bytes in [b"\x0b\x02\x80hello\x03".as_slice(), &[0x28, 0xb5, 0x2f, 0xfd, 4], b"a\0b"] {
                let error = decoded(&[coding], bytes).unwrap_err();
                assert!(error.contains(&format!("content coding {coding:?}, which probe does not undo")), "{error}");
                assert!(error.contains("have the server send it plain or with gzip"), "{error}");
            }
        }
        let error = decoded(&["gzip, br"], b"\x0b\x02\x80hello\x03").unwrap_err();
        assert!(error.contains("\"br\""), "{error}");
        // Every byte is a character of windows-1252, but no text holds these.
        let latin = headers(&[("content-encoding", "br"), ("content-type", "text/html; charset=latin1")]);
        assert_eq!(text(&latin, b"caf\xe9", false).as_deref(), Ok("café"));
        assert!(text(&latin, b"\x0b\x02\x80hello\x03", false).is_err());
    }

    #[test]
    fn what_cannot_be_decompressed_is_a_failure_unless_it_was_cut() {
        let page = b"a page ".repeat(1_000);
        for (coding, bytes) in [("gzip", gzip(&page)), ("deflate", zlib(&page)), ("deflate", raw(&page))] {
            let half = &bytes[..bytes.len() / 2];
            let error = decoded(&[coding], half).unwrap_err();
            assert!(error.contains("cannot be decompressed"), "{error}");
            assert!(text(&headers(&[("content-encoding", coding)]), half, true).unwrap().starts_with("a page "));
        }
        assert!(decoded(&["gzip"], b"a page").unwrap_err().contains("cannot be decompressed"));
    }

    #[test]
    fn number_of_codings_and_decompressed_size_have_limits() {
        let bomb = gzip(&gzip(&vec![b'0'; 16 << 20]));
        assert!(decoded(&["gzip", "gzip"], &bomb).unwrap_err().contains("larger than 8388608 bytes"));
        let members = gzip(&vec![b'0'; 3 << 20]).repeat(100);
        assert!(decoded(&["gzip"], &members).unwrap_err().contains("larger than 8388608 bytes"));
        assert!(
            decoded(&["gzip,".repeat(6).as_str()], b"x")
                .unwrap_err()
                .contains("has 6 content codings: expected at most 5")
        );
    }

    #[test]
    fn text_is_decoded_by_its_byte_order_mark_or_else_its_charset_or_else_as_utf_8() {
        let utf16: Vec<u8> = "né".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for (content_type, bytes, expected) in [
            ("text/html", "né".as_bytes(), "né"),
            ("text/html; charset=ISO-8859-1", b"n\xe9", "né"),
            ("text/html;x=y; CharSet=\"Latin1\" ; z", b"n\xe9", "né"),
            ("text/html; x=\"; charset=utf-8\"; charset=latin1", b"n\xe9", "né"),
            ("text/plain; charset=Shift_JIS", b"\x93\xfa\x96\x7b", "日本"),
            ("text/plain; charset='utf-16le'", &utf16, "né"),
            ("text/plain; charset=utf-16be", b"\0n\0\xe9", "né"),
            ("text/plain; charset=euc-kr", b"\xc7\xd1", "한"),
            ("text/plain; charset=latin1", "\u{feff}né".as_bytes(), "né"),
            ("text/plain; charset=utf-8", b"\xfe\xff\0n\0\xe9", "né"),
            ("text/plain; charset=unknown", "né".as_bytes(), "né"),
            ("text/plain", b"n\xe9", "n\u{fffd}"),
        ] {
            assert_eq!(
                text(&headers(&[("content-type", content_type)]), bytes, false).as_deref(),
                Ok(expected),
                "{content_type}"
            );
        }
    }

    #[test]
    fn json_is_decoded_as_utf_8_whatever_charset_its_media_type_names() {
        let json = "{\"a\": \"é\"}";
        let utf16: Vec<u8> = json.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for (content_type, bytes, expected) in [
            ("application/json; charset=ISO-8859-1", json.as_bytes(), json),
            ("Application/Problem+JSON ;charset=latin1", json.as_bytes(), json),
            ("application/json; charset=utf-16le", json.as_bytes(), json),
            ("application/json; charset=utf-16le", &utf16, json),
            ("application/json; charset=utf-16le", b"\xff\xfe[\0", "["),
            ("application/json; charset=latin1", b"{\"a\": \"\xe9\"}", json),
            ("application/json; charset=iso-2022-jp", b"\"\x1b$B\x46\x7c\x1b(B\"", "\"日\""),
            ("application/jsonp; charset=latin1", "é".as_bytes(), "Ã©"),
        ] {
            let headers = headers(&[("content-type", content_type)]);
            assert_eq!(text(&headers, bytes, false).as_deref(), Ok(expected), "{content_type}");
        }
        // A body that was cut in the middle of a character.
        let headers = headers(&[("content-type", "application/json; charset=latin1")]);
        assert_eq!(text(&headers, b"\"\xc3\xa9\xc3", true).as_deref(), Ok("\"é\u{fffd}"));
    }

    #[test]
    fn empty_body_that_was_compressed_fewer_times_than_announced_is_empty() {
        for (codings, bytes) in [
            ("gzip, gzip", gzip(b"")),
            ("deflate, gzip", gzip(b"")),
            ("gzip, deflate", raw(b"")),
            ("br, gzip", gzip(b"")),
        ] {
            assert_eq!(decoded(&[codings], &bytes).as_deref(), Ok(""), "{codings}");
        }
        assert!(decoded(&["gzip, gzip"], &gzip(b"x")).is_err());
    }

    #[test]
    fn json_may_have_a_byte_order_mark_and_may_be_of_another_charset() {
        let utf16: Vec<u8> = "\u{feff}{\"a\": \"é\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bytes in ["\u{feff}{\"a\": \"é\"}".as_bytes(), &utf16] {
            let body = Body::new(text(&HeaderMap::new(), bytes, false).unwrap(), false);
            assert_eq!(body.json().unwrap().to_string(), r#"{"a":"é"}"#);
        }
    }

    #[test]
    fn json_that_would_take_the_memory_of_the_function_is_refused_before_it_does() {
        let json = |text: String| Body::new(text, false).json().map(|_| ());
        let numbers = |count: usize| format!("[{}]", vec!["0"; count].join(","));
        assert_eq!(json(numbers(49_999)), Ok(()));
        let objects = format!("[{}]", vec![r#"{"":0}"#; 30_000].join(","));
        for many in [numbers(50_000), objects] {
            let error = json(many).unwrap_err();
            assert!(error.contains("the body is JSON of more than 50000 values"), "{error}");
        }
        // Commas in text are no values.
        assert_eq!(json(format!("[\"{}\"]", ",[{".repeat(100_000))), Ok(()));
    }
}
