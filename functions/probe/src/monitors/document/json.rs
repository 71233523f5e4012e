//! JSON (RFC 8259) with places and exact numbers.

use super::{Entry, MAX_DEPTH, Map, Mistake, Node, Number, Parsed, Place, Value, twice};

/// Reads a JSON text of up to `max_values` values.
///
/// # Errors
/// What is wrong with it, where: a text that begins with "not JSON", or with "JSON" where JSON is beyond a limit.
pub(crate) fn parse(text: &str, max_values: usize) -> Result<Parsed, Mistake> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let place = Place { line: 1, column: 1 };
    let mut reader = Reader { rest: text, place, values_left: max_values, max_values, mistakes: Vec::new() };
    reader.skip_blanks();
    let node = reader.node(0)?;
    reader.skip_blanks();
    if !reader.rest.is_empty() {
        return Err(reader.expected("the end of the text"));
    }
    Ok(Parsed { documents: vec![node], mistakes: reader.mistakes })
}

struct Reader<'text> {
    rest: &'text str,
    /// Where the rest begins.
    place: Place,
    values_left: usize,
    max_values: usize,
    mistakes: Vec<Mistake>,
}

impl<'text> Reader<'text> {
    fn node(&mut self, depth: usize) -> Result<Node, Mistake> {
        let place = self.place;
        let Some(values_left) = self.values_left.checked_sub(1) else {
            return Err(place.mistake(format!("JSON of more than {} values", self.max_values)));
        };
        self.values_left = values_left;
        let value = match self.rest.bytes().next() {
            Some(b'{' | b'[') if depth == MAX_DEPTH => {
                return Err(place.mistake(format!("JSON nested more than {MAX_DEPTH} levels deep")));
            }
            Some(b'{') => self.map(depth)?,
            Some(b'[') => self.list(depth)?,
            Some(b'"') => Value::Text(self.text()?),
            Some(b'-' | b'0'..=b'9') => Value::Number(self.number()?),
            _ => self.word()?,
        };
        Ok(Node { place, value })
    }

    fn list(&mut self, depth: usize) -> Result<Value, Mistake> {
        self.advance(1);
        let mut nodes = Vec::new();
        self.skip_blanks();
        if self.take("]") {
            return Ok(Value::List(nodes));
        }
        loop {
            self.skip_blanks();
            nodes.push(self.node(depth + 1)?);
            self.skip_blanks();
            if self.take("]") {
                return Ok(Value::List(nodes));
            }
            if !self.take(",") {
                return Err(self.expected("a comma or ]"));
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, Mistake> {
        self.advance(1);
        let mut entries = Vec::new();
        self.skip_blanks();
        if !self.take("}") {
            loop {
                self.skip_blanks();
                let place = self.place;
                if !self.rest.starts_with('"') {
                    return Err(self.expected("a name in double quotes"));
                }
                let name = self.text()?;
                self.skip_blanks();
                if !self.take(":") {
                    return Err(self.expected("a colon"));
                }
                self.skip_blanks();
                entries.push(Entry { name, place, node: self.node(depth + 1)? });
                self.skip_blanks();
                if self.take("}") {
                    break;
                }
                if !self.take(",") {
                    return Err(self.expected("a comma or }"));
                }
            }
        }
        let (map, earlier) = Map::new(entries);
        self.mistakes.extend(earlier.iter().map(|entry| twice(&map, entry)));
        Ok(Value::Map(map))
    }

    fn word(&mut self) -> Result<Value, Mistake> {
        for (word, value) in [("null", Value::Null), ("true", Value::Bool(true)), ("false", Value::Bool(false))] {
            if self.take(word) {
                return Ok(value);
            }
        }
        Err(self.expected("a value"))
    }

    fn number(&mut self) -> Result<Number, Mistake> {
        let bytes = self.rest.as_bytes();
        let digits = |from: usize| bytes.iter().skip(from).take_while(|byte| byte.is_ascii_digit()).count();
        let byte = |at: usize| bytes.get(at).copied();
        let mut end = usize::from(byte(0) == Some(b'-'));
        let whole = digits(end);
        let mut is_good = whole > 0 && (whole == 1 || byte(end) != Some(b'0'));
        end += whole;
        if byte(end) == Some(b'.') {
            let fraction = digits(end + 1);
            is_good &= fraction > 0;
            end += 1 + fraction;
        }
        if matches!(byte(end), Some(b'e' | b'E')) {
            end += 1 + usize::from(matches!(byte(end + 1), Some(b'+' | b'-')));
            let exponent = digits(end);
            is_good &= exponent > 0;
            end += exponent;
        }
        let text = self.rest.get(..end).unwrap_or_default();
        match Number::parse(text).filter(|_| is_good) {
            Some(number) => {
                self.advance(end);
                Ok(number)
            }
            None => Err(self.not_json(format!("{text:?} is not a number"))),
        }
    }

    fn text(&mut self) -> Result<String, Mistake> {
        let start = self.place;
        self.advance(1);
        let mut text = String::new();
        loop {
            let plain = self.rest.bytes().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)).count();
            text.push_str(self.rest.get(..plain).unwrap_or_default());
            self.advance(plain);
            match self.rest.bytes().next() {
                Some(b'"') => {
                    self.advance(1);
                    return Ok(text);
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(_) => return Err(self.not_json("a control character in text: expected it escaped")),
                None => return Err(start.mistake("not JSON: this text has no end: expected a closing quote")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Mistake> {
        let place = self.place;
        let escaped = match self.rest.as_bytes().get(1).copied() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let unit = self.unit()?;
                let character = char::decode_utf16([unit]).next().and_then(Result::ok);
                if let Some(character) = character {
                    return Ok(character);
                }
                // The first half of a pair, if the second one follows.
                if (0xd800..0xdc00).contains(&unit) && self.rest.starts_with("\\u") {
                    let (rest, after_first) = (self.rest, self.place);
                    let second = self.unit()?;
                    if let Some(Ok(character)) = char::decode_utf16([unit, second]).next() {
                        return Ok(character);
                    }
                    (self.rest, self.place) = (rest, after_first);
                }
                self.mistakes.push(place.mistake(format!(
                    "\\u{unit:04x} is half of a character: expected a surrogate pair, or the character itself"
                )));
                return Ok(char::REPLACEMENT_CHARACTER);
            }
            _ => return Err(self.not_json("an unknown escape: expected one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u")),
        };
        self.advance(2);
        Ok(escaped)
    }

    /// The code unit of `\uXXXX`.
    fn unit(&mut self) -> Result<u16, Mistake> {
        let digits = self.rest.get(2..6).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let unit = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
        let unit = unit.ok_or_else(|| self.not_json("\\u without four hexadecimal digits"))?;
        self.advance(6);
        Ok(unit)
    }

    fn skip_blanks(&mut self) {
        let blanks = self.rest.bytes().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
        self.advance(blanks);
    }

    fn take(&mut self, word: &str) -> bool {
        let is_there = self.rest.starts_with(word);
        if is_there {
            self.advance(word.len());
        }
        is_there
    }

    fn advance(&mut self, bytes: usize) {
        let (passed, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        for byte in passed.bytes() {
            match byte {
                b'\n' => self.place = Place { line: self.place.line.saturating_add(1), column: 1 },
                // All but the first byte of a character.
                0x80..0xc0 => {}
                _ => self.place.column = self.place.column.saturating_add(1),
            }
        }
        self.rest = rest;
    }

    fn expected(&self, what: &str) -> Mistake {
        let found =
            self.rest.chars().next().map_or_else(|| "the end of the text".to_owned(), |found| format!("{found:?}"));
        self.not_json(format!("this is {found}: expected {what}"))
    }

    fn not_json(&self, reason: impl std::fmt::Display) -> Mistake {
        self.place.mistake(format!("not JSON: {reason}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, proptest};

    use super::*;

    fn read(text: &str) -> Result<String, String> {
        let parsed = parse(text, usize::MAX).map_err(|mistake| mistake.to_string())?;
        Ok(parsed.documents[0].to_string())
    }

    #[test]
    fn json_is_read_with_exact_numbers_and_every_escape() {
        for (text, expected) in [
            ("\u{feff} null\r\n", "null"),
            ("[1e99999999999999999999999999999999, 0e-99]", "[1e99999999999999999999999999999999,0e-99]"),
            ("[1, -0, 0.10, 1E+2, 18446744073709551616]", "[1,-0,0.10,1E+2,18446744073709551616]"),
            ("\t{\"b\":\ttrue,\n\"a\" : [ ] , \"c\":{}}", r#"{"a":[],"b":true,"c":{}}"#),
            (r#""\ud83d\udea8 \/ \u00e9 \b\f\n\r\t\\\"""#, "\"🚨 / é \\b\\f\\n\\r\\t\\\\\\\"\""),
            (r#""\ud83d \ude00""#, "\"\u{fffd} \u{fffd}\""),
            (r#""\ud83d\u0041""#, "\"\u{fffd}A\""),
            (r#"{"a": 1, "a": 2}"#, r#"{"a":2}"#),
        ] {
            assert_eq!(read(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn text_that_is_not_json_is_refused_with_its_place() {
        for (text, expected) in [
            ("", "1:1: not JSON: this is the end of the text: expected a value"),
            ("[1,\n ]", "2:2: not JSON: this is ']': expected a value"),
            ("[1 2]", "1:4: not JSON: this is '2': expected a comma or ]"),
            ("{a: 1}", "1:2: not JSON: this is 'a': expected a name in double quotes"),
            ("{\"é\" 1}", "1:6: not JSON: this is '1': expected a colon"),
            ("[01]", "1:2: not JSON: \"01\" is not a number"),
            ("[1.]", "1:2: not JSON: \"1.\" is not a number"),
            ("[-]", "1:2: not JSON: \"-\" is not a number"),
            ("[1e]", "1:2: not JSON: \"1e\" is not a number"),
            ("[+1]", "1:2: not JSON: this is '+': expected a value"),
            ("[NaN]", "1:2: not JSON: this is 'N': expected a value"),
            ("\"a\nb\"", "1:3: not JSON: a control character"),
            ("\"\\x\"", "1:2: not JSON: an unknown escape"),
            ("\"\\u12", "1:2: not JSON: \\u without"),
            ("[\"a", "1:2: not JSON: this text has no end"),
            ("{} {}", "1:4: not JSON: this is '{': expected the end of the text"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.starts_with(expected), "{error}\nfor {text}");
        }
    }

    #[test]
    fn names_that_are_there_twice_and_half_characters_are_mistakes_of_a_file() {
        let parsed = parse("{\"a\": 1,\n \"a\": \"\\ud83d\"}", usize::MAX).unwrap();
        let mistakes: Vec<_> = parsed.mistakes.iter().map(ToString::to_string).collect();
        assert_eq!(mistakes.len(), 2, "{mistakes:?}");
        assert!(mistakes[0].starts_with("2:8: \\ud83d is half of a character"), "{mistakes:?}");
        assert!(mistakes[1].starts_with("2:2: \"a\" is a key of line 1 already"), "{mistakes:?}");
    }

    #[test]
    fn depth_and_number_of_values_have_limits() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(read(&deep(MAX_DEPTH)).is_ok());
        assert_eq!(read(&deep(MAX_DEPTH + 1)).unwrap_err(), "1:129: JSON nested more than 128 levels deep");
        assert!(read(&"[".repeat(1_000_000)).is_err());
        assert!(parse("[1,2]", 3).is_ok());
        assert_eq!(parse("[1,2,3]", 3).unwrap_err().text, "JSON of more than 3 values");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn whatever_serde_json_accepts_is_read_and_nothing_else(text in r#"[\[\]{},: \n"\\ua0-9eE.+-]{0,12}|\PC{0,8}|"(\\u[dD][89cC]\PC{0,3}|[a-f0-9]){0,4}""#) {
            // It refuses numbers beyond its range and half characters; both are read here.
            match serde_json::from_str::<serde_json::Value>(&text) {
                Ok(value) => {
                    let again: serde_json::Value = serde_json::from_str(&read(&text).unwrap()).unwrap();
                    prop_assert_eq!(again, value);
                }
                Err(error) => {
                    let error = error.to_string();
                    prop_assume!(!error.contains("out of range") && !error.contains("surrogate") && !error.contains("hex escape"));
                    prop_assert!(read(&text).is_err(), "{} {}", text, error);
                }
            }
        }
    }
}
