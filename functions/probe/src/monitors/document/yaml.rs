//! YAML 1.2 with places and exact numbers: what of it JSON has too.

use std::{collections::BTreeMap, ops::Range};

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};

use super::{Entry, MAX_DEPTH, Map, Mistake, Node, Number, Parsed, Place, Value, twice};

/// How many values aliases may stand for, so that a short text cannot become a large document.
const MAX_ALIASED: usize = 100_000;

/// Reads the documents of a text.
///
/// # Errors
/// It is not YAML.
pub(super) fn parse(text: &str) -> Result<Parsed, Mistake> {
    let read = match Reader::default().read(text) {
        Err(Stop::Scan(error)) if error.info().contains("':' must be followed") => read_with_tabs(text),
        read => read,
    };
    read.map(|(parsed, _)| parsed).map_err(|stop| match stop {
        Stop::Scan(error) => not_yaml(&error),
        Stop::Mistake(mistake) => mistake,
    })
}

/// Reads a text with tabs after colons. The parser refuses a tab between a colon and plain text, which YAML allows
/// (section 6.2), and accepts a blank there, which means the same. In quotes and blocks it does not: their tabs come back
/// before the second reading.
fn read_with_tabs(text: &str) -> Result<(Parsed, Vec<Range<usize>>), Stop> {
    let read = Reader::default().read(&with_blanks_after_colons(text, &[]));
    match read {
        Ok((_, verbatim)) if !verbatim.is_empty() => Reader::default().read(&with_blanks_after_colons(text, &verbatim)),
        read => read,
    }
}

/// A text with a blank in the place of each first tab after a colon, except in `verbatim`: ranges of characters in the
/// order of the text.
fn with_blanks_after_colons(text: &str, verbatim: &[Range<usize>]) -> String {
    let mut verbatim = verbatim.iter().peekable();
    let mut before = '\0';
    let replace = |(at, character)| {
        while verbatim.next_if(|range| range.end <= at).is_some() {}
        let is_verbatim = verbatim.peek().is_some_and(|range| range.contains(&at));
        let is_after_colon = std::mem::replace(&mut before, character) == ':';
        if character == '\t' && is_after_colon && !is_verbatim { ' ' } else { character }
    };
    text.chars().enumerate().map(replace).collect()
}

fn not_yaml(error: &ScanError) -> Mistake {
    let marker = error.marker();
    Mistake { line: marker.line(), column: marker.col() + 1, text: format!("this is not YAML: {}", error.info()) }
}

/// Why a reading stopped.
enum Stop {
    Scan(ScanError),
    Mistake(Mistake),
}

#[derive(Default)]
struct Reader {
    documents: Vec<Node>,
    /// Lists and mappings that are not complete.
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    aliased: usize,
    mistakes: Vec<Mistake>,
    /// Where the text is that is quoted or a block, in characters.
    verbatim: Vec<Range<usize>>,
}

struct Open {
    place: Place,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    /// Entries, and the key whose value comes next.
    Map(Vec<Entry>, Option<Node>),
}

impl Reader {
    fn read(mut self, text: &str) -> Result<(Parsed, Vec<Range<usize>>), Stop> {
        for event in Parser::new_from_str(text) {
            let (event, span) = event.map_err(Stop::Scan)?;
            self.event(event, span).map_err(Stop::Mistake)?;
        }
        Ok((Parsed { documents: self.documents, mistakes: self.mistakes }, self.verbatim))
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Mistake> {
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let place = Place { line: number(span.start.line()), column: number(span.start.col() + 1) };
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                if style != ScalarStyle::Plain {
                    self.verbatim.push(span.start.index()..span.end.index());
                }
                let value = self.scalar(place, &text, style, tag.as_deref());
                self.add(Node { place, value }, anchor);
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(place, tag.as_deref(), "seq");
                self.begin(Open { place, anchor, content: Content::List(Vec::new()) })?;
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(place, tag.as_deref(), "map");
                self.begin(Open { place, anchor, content: Content::Map(Vec::new(), None) })?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(Open { place, anchor, content }) = self.open.pop() {
                    let value = match content {
                        Content::List(nodes) => Value::List(nodes),
                        Content::Map(entries, _) => {
                            let (map, earlier) = Map::new(entries);
                            self.mistakes.extend(earlier.iter().map(|entry| twice(&map, entry)));
                            Value::Map(map)
                        }
                    };
                    self.add(Node { place, value }, anchor);
                }
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return Err(place.mistake("an alias of what it is in: expected a value that is complete before it"));
                };
                self.aliased += count(&node);
                if self.aliased > MAX_ALIASED {
                    return Err(place.mistake(format!("aliases stand for more than {MAX_ALIASED} values")));
                }
                if self.open.len() + depth(&node) > MAX_DEPTH {
                    return Err(too_deep(place));
                }
                self.add(node, 0);
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn begin(&mut self, open: Open) -> Result<(), Mistake> {
        if self.open.len() == MAX_DEPTH {
            return Err(too_deep(open.place));
        }
        self.open.push(open);
        Ok(())
    }

    /// Adds a node to what it is in.
    fn add(&mut self, node: Node, anchor: usize) {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.documents.push(node),
            Some(Content::List(nodes)) => nodes.push(node),
            Some(Content::Map(entries, key)) => match key.take() {
                None => *key = Some(node),
                Some(Node { place, value: Value::Text(name) }) => entries.push(Entry { name, place, node }),
                Some(other) => {
                    let kind = other.kind();
                    let text = format!("{kind} is no key: expected text, in quotes where it looks like something else");
                    self.mistakes.push(other.place.mistake(text));
                }
            },
        }
    }

    fn scalar(&mut self, place: Place, text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
        let Some(tag) = tag else {
            return if style == ScalarStyle::Plain { plain(text) } else { Value::Text(text.to_owned()) };
        };
        if tag.is_yaml_core_schema() && tag.suffix == "str" {
            return Value::Text(text.to_owned());
        }
        let value = plain(text);
        let fits = match (tag.suffix.as_str(), &value) {
            ("null", Value::Null) | ("bool", Value::Bool(_)) | ("float", Value::Number(_) | Value::NotJson(_)) => true,
            ("int", Value::Number(_)) => !text.contains(['.', 'e', 'E']) || text.starts_with("0x"),
            _ => false,
        };
        if !tag.is_yaml_core_schema() || !fits {
            self.mistakes.push(place.mistake(format!("{text:?} cannot have the tag {}: remove it", print(tag))));
        }
        value
    }

    fn check_tag(&mut self, place: Place, tag: Option<&Tag>, expected: &str) {
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema() || tag.suffix != expected) {
            self.mistakes.push(place.mistake(format!("the tag {} has no meaning here: remove it", print(tag))));
        }
    }
}

fn too_deep(place: Place) -> Mistake {
    place.mistake(format!("this is nested more than {MAX_DEPTH} levels deep"))
}

fn print(tag: &Tag) -> String {
    let handle = if tag.is_yaml_core_schema() { "!!" } else { tag.handle.as_str() };
    format!("{handle}{}", tag.suffix)
}

/// Plain text by the core schema of YAML 1.2 (section 10.3.2).
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Value::NotJson(text.to_owned());
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        let digits = text.strip_prefix(prefix).filter(|digits| digits.chars().all(|digit| digit.is_digit(radix)));
        if let Some(digits) = digits.filter(|digits| !digits.is_empty()) {
            let number = u128::from_str_radix(digits, radix).ok().map(|number| number.to_string());
            // A number beyond 128 bits is refused, not taken for text.
            return number
                .and_then(|number| Number::parse(&number))
                .map_or_else(|| Value::NotJson(text.to_owned()), Value::Number);
        }
    }
    Number::parse(text).map_or_else(|| Value::Text(text.to_owned()), Value::Number)
}

/// How many values a node has, itself included.
fn count(node: &Node) -> usize {
    1 + match &node.value {
        Value::List(nodes) => nodes.iter().map(count).sum(),
        Value::Map(map) => map.entries().iter().map(|entry| count(&entry.node)).sum(),
        _ => 0,
    }
}

/// How many levels of lists and mappings a node has.
fn depth(node: &Node) -> usize {
    match &node.value {
        Value::List(nodes) => 1 + nodes.iter().map(depth).max().unwrap_or(0),
        Value::Map(map) => 1 + map.entries().iter().map(|entry| depth(&entry.node)).max().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        let parsed = super::super::parse(text).map_err(|mistake| mistake.to_string())?;
        match parsed.mistakes.first() {
            None => Ok(parsed.documents.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")),
            Some(mistake) => Err(mistake.to_string()),
        }
    }

    #[test]
    fn scalars_are_those_of_the_core_schema_with_exact_numbers() {
        for (text, expected) in [
            ("[~, null, Null, true, FALSE, yes]", r#"[null,null,null,true,false,"yes"]"#),
            ("[18446744073709551614, 0.10, +5, 010, .5, 1e400]", "[18446744073709551614,0.10,+5,010,.5,1e400]"),
            ("[0x1F, 0o17, 0xg, 0o8, -0x1]", r#"[31,15,"0xg","0o8","-0x1"]"#),
            ("[1_000, 1e, '1', \"1\", !!str 1]", r#"["1_000","1e","1","1","1"]"#),
            ("[1e99999999999999999999999999999999, 0x]", r#"[1e99999999999999999999999999999999,"0x"]"#),
            ("[.inf, -.INF, .nan]", "[.inf,-.INF,.nan]"),
            ("a: |\n  x\n  y\n", r#"{"a":"x\ny\n"}"#),
            ("a: &a [1]\nb: *a", r#"{"a":[1],"b":[1]}"#),
            ("a: !!int '1'", r#"{"a":1}"#),
        ] {
            assert_eq!(read(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn hexadecimal_number_beyond_128_bits_is_no_text() {
        for text in ["0xffffffffffffffffffffffffffffffff1", "0o7777777777777777777777777777777777777777777777"] {
            let parsed = super::super::parse(text).unwrap();
            assert_eq!(parsed.documents[0].value, Value::NotJson(text.to_owned()));
        }
    }

    #[test]
    fn tab_after_a_colon_is_a_blank_and_a_tab_in_text_stays() {
        for (text, expected) in [
            ("url:\thttp://a.test", r#"{"url":"http://a.test"}"#),
            ("- a:\t\tb\n  c:\t1\n", r#"[{"a":"b","c":1}]"#),
            ("{a:\tb, c: [d:\te]}", r#"{"a":"b","c":[{"d":"e"}]}"#),
            ("a: \"x:\ty\"\nb:\t'z:\tz'\nc: |\n  d:\te\n", r#"{"a":"x:\ty","b":"z:\tz","c":"d:\te\n"}"#),
            (
                "k:\tv\na: |2\n   x:\ty\nb: >-\n  é:\tz\nc: 'd:\t''e:\t'\n",
                "{\"a\":\" x:\\ty\\n\",\"b\":\"é:\\tz\",\"c\":\"d:\\t'e:\\t\",\"k\":\"v\"}",
            ),
            (
                "k:\tv\n\"a:\tb\":\tc\nd: [\"e:\tf\",\t'g:\th']\n",
                "{\"a:\\tb\":\"c\",\"d\":[\"e:\\tf\",\"g:\\th\"],\"k\":\"v\"}",
            ),
            ("é:\tü\nk:\tv # a:\tb", r#"{"k":"v","é":"ü"}"#),
        ] {
            assert_eq!(read(text).as_deref(), Ok(expected), "{text}");
        }
        assert!(read("a:\tb: c").unwrap_err().contains("not YAML"));
        let many: String = (0..3_000).map(|key| format!("k{key}:\tb\nq{key}:\t\"é:\tx\"\n")).collect();
        assert_eq!(read(&many).unwrap().matches("é:\\tx").count(), 3_000);
        assert_eq!(read(&format!("{many}x: [\n")).unwrap_err().split(':').next(), Some("6002"));
    }

    #[test]
    fn json_is_read_where_the_reader_of_yaml_would_refuse_it() {
        for text in [
            "{\"a\": \"\\ud83d\\udea8\"}",
            "\n\t{\n\t\t\"a\":\t\"\\/\\ud83d\\udea8\"\n}",
            "\u{feff}[\"\\ud83d\\udea8\"]\n",
            "# [a]\n\n  # b\r\n---\r\n{\"a\":\n# c\n\"\\ud83d\\udea8\"}\n...\n# {d}\n",
            "--- {\"a\": \"\\ud83d\\udea8\"}\n# end",
        ] {
            assert!(read(text).unwrap().contains('🚨'), "{text}");
        }
        let error = read("# é\n--- {\"a\": \"\\ud83d\\udea8\", x}").unwrap_err();
        assert!(error.starts_with("2:27: this is not JSON"), "{error}");
        assert!(read("{\"a\": \"\\ud83d\"}\n---\n{}").is_err());
        // The reader that came further has the reason.
        assert!(read("{\"a\": 1,\n \"b\": \"\\ud83d\\udea8\",\n x}").unwrap_err().starts_with("3:2: this is not JSON"));
        assert!(read("{a: 1,\n b: [}").unwrap_err().contains("this is not YAML"));
        assert_eq!(read("{a: 1, 'b': [2,],}").as_deref(), Ok(r#"{"a":1,"b":[2]}"#));
    }

    #[test]
    fn what_json_does_not_have_is_a_mistake_with_its_place() {
        for (text, expected) in [
            ("a: 1\nb: 2\na: 3", "3:1: \"a\" is a key of line 1 already"),
            ("{\"a\": 1, \"a\": 2}", "1:10: \"a\" is a key of line 1 already"),
            ("a: 1\n'a': 2", "2:1: \"a\" is a key of line 1 already"),
            ("a: 1\n2: 3", "2:1: 2 is no key: expected text"),
            ("? [a]\n: b", "1:3: a list is no key: expected text"),
            ("a: !mine 1", "1:4: \"1\" cannot have the tag !mine: remove it"),
            ("a: !!int x", "1:4: \"x\" cannot have the tag !!int: remove it"),
            ("a: !!set {}", "the tag !!set has no meaning here: remove it"),
            ("a: &a [*a]", "an alias of what it is in"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{error}\nfor {text}");
        }
    }

    #[test]
    fn aliases_and_depth_have_limits() {
        let levels: String = (1..10)
            .map(|level| format!("- &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(", ")))
            .collect();
        let error = read(&format!("- &a0 x\n{levels}")).unwrap_err();
        assert!(error.contains("aliases stand for more than"), "{error}");
        let deep = |levels: usize| format!("{}x{}", "[".repeat(levels), "]".repeat(levels));
        assert!(read(&deep(MAX_DEPTH)).is_ok());
        assert!(read(&deep(MAX_DEPTH + 1)).unwrap_err().contains("nested more than"));
    }
}
