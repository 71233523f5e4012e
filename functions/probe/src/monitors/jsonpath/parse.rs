//! Reads paths: the grammar of RFC 9535, and its rules for the types of functions.

use super::{Condition, Operand, Operator, Pattern, Query, Segment, Selector, Start, pattern};
use crate::monitors::document::{Node, Number, Place, Value};

/// The largest index, which a 64-bit float still has exactly (RFC 7493).
const MAX_INDEX: i64 = (1 << 53) - 1;
/// How deep filters, parentheses and functions may be nested.
const MAX_DEPTH: usize = 32;

/// Reads a complete path.
///
/// # Errors
/// What is wrong with it, and at which character.
pub(super) fn query(text: &str) -> Result<Query, String> {
    let mut reader = Reader { text, at: 0, depth: 0 };
    let read = reader.root();
    read.map_err(|error| {
        let character = text.get(..reader.at).unwrap_or_default().chars().count() + 1;
        format!("at character {character}: {error}")
    })
}

struct Reader<'text> {
    text: &'text str,
    /// The byte that comes next.
    at: usize,
    depth: usize,
}

/// What a filter may begin with: a query or a function may be tested or compared, a literal only compared.
enum Term {
    Literal(Node),
    Query(Query),
    /// `length`, `count` or `value`
    Value(Operand),
    /// `match` or `search`
    Condition(Condition),
}

impl<'text> Reader<'text> {
    fn root(&mut self) -> Result<Query, String> {
        if !self.take("$") {
            return Err(self.expected("$"));
        }
        let segments = self.segments()?;
        if self.rest().is_empty() {
            Ok(Query { start: Start::Root, segments })
        } else {
            Err(self.expected("a segment such as .name or [0]"))
        }
    }

    fn segments(&mut self) -> Result<Vec<Segment>, String> {
        let mut segments = Vec::new();
        loop {
            let before = self.at;
            self.skip_blanks();
            let descends = self.take("..");
            let selectors = if self.rest().starts_with('[') {
                self.bracketed()?
            } else if descends || self.take(".") {
                vec![self.shorthand()?]
            } else {
                // Blanks at the end are not the path's.
                self.at = before;
                return Ok(segments);
            };
            segments.push(Segment { descends, selectors });
        }
    }

    /// A wildcard or a name after a point.
    fn shorthand(&mut self) -> Result<Selector, String> {
        if self.take("*") {
            return Ok(Selector::Wildcard);
        }
        let is_first = |character: char| character.is_ascii_alphabetic() || character == '_' || !character.is_ascii();
        let rest = self.rest();
        let end =
            rest.find(|character: char| !is_first(character) && !character.is_ascii_digit()).unwrap_or(rest.len());
        let name = rest.get(..end).filter(|name| name.starts_with(is_first));
        let name =
            name.map(str::to_owned).ok_or_else(|| self.expected("a name, or * for all; other names stand as ['…']"))?;
        self.at += end;
        Ok(Selector::Name(name))
    }

    fn bracketed(&mut self) -> Result<Vec<Selector>, String> {
        self.at += 1;
        let mut selectors = Vec::new();
        loop {
            self.skip_blanks();
            selectors.push(self.selector()?);
            self.skip_blanks();
            if self.take("]") {
                return Ok(selectors);
            }
            if !self.take(",") {
                return Err(self.expected("a comma or ]"));
            }
        }
    }

    fn selector(&mut self) -> Result<Selector, String> {
        match self.rest().chars().next() {
            Some('*') => {
                self.at += 1;
                Ok(Selector::Wildcard)
            }
            Some('\'' | '"') => self.string().map(Selector::Name),
            Some('?') => {
                self.at += 1;
                self.skip_blanks();
                self.nested(Self::any).map(Selector::Filter)
            }
            Some(':' | '-' | '0'..='9') => self.index_or_slice(),
            _ => Err(self.expected("a name in quotes, an index, a slice, * or a filter with ?")),
        }
    }

    fn index_or_slice(&mut self) -> Result<Selector, String> {
        let start = self.integer()?;
        let before = self.at;
        self.skip_blanks();
        if !self.take(":") {
            self.at = before;
            return start.map(Selector::Index).ok_or_else(|| self.expected("an index"));
        }
        self.skip_blanks();
        let end = self.integer()?;
        let before = self.at;
        self.skip_blanks();
        let mut step = None;
        if self.take(":") {
            let before = self.at;
            self.skip_blanks();
            step = self.integer()?;
            if step.is_none() {
                self.at = before;
            }
        } else {
            self.at = before;
        }
        Ok(Selector::Slice { start, end, step: step.unwrap_or(1) })
    }

    /// A whole number, if there is one: without zeros before it, and no -0.
    fn integer(&mut self) -> Result<Option<i64>, String> {
        let rest = self.rest();
        let digits = rest.strip_prefix('-').unwrap_or(rest);
        let count = digits.bytes().take_while(u8::is_ascii_digit).count();
        let end = rest.len() - digits.len() + count;
        if end == 0 {
            return Ok(None);
        }
        let text = rest.get(..end).unwrap_or_default();
        let is_canonical = text == "0" || (count > 0 && !digits.starts_with('0'));
        let number = text.parse().ok().filter(|number: &i64| is_canonical && number.abs() <= MAX_INDEX);
        let number =
            number.ok_or_else(|| format!("{text:?} is no index: expected a whole number up to {MAX_INDEX}"))?;
        self.at += end;
        Ok(Some(number))
    }

    fn string(&mut self) -> Result<String, String> {
        let quote = if self.rest().starts_with('"') { '"' } else { '\'' };
        let start = self.at;
        self.at += 1;
        let mut string = String::new();
        loop {
            let Some(character) = self.rest().chars().next() else {
                self.at = start;
                return Err("this text has no end: expected a closing quote".to_owned());
            };
            match character {
                _ if character == quote => {
                    self.at += 1;
                    return Ok(string);
                }
                '\\' => string.push(self.escape(quote)?),
                '\0'..' ' => return Err("a control character in text: expected it escaped".to_owned()),
                _ => {
                    string.push(character);
                    self.at += character.len_utf8();
                }
            }
        }
    }

    fn escape(&mut self, quote: char) -> Result<char, String> {
        let escaped = match self.rest().chars().nth(1) {
            Some('b') => '\u{8}',
            Some('t') => '\t',
            Some('n') => '\n',
            Some('f') => '\u{c}',
            Some('r') => '\r',
            Some('/') => '/',
            Some('\\') => '\\',
            Some(character) if character == quote => quote,
            Some('u') => {
                let unit = self.unit()?;
                let second = if (0xd800..0xdc00).contains(&unit) && self.rest().starts_with("\\u") {
                    Some(self.unit()?)
                } else {
                    None
                };
                let character = char::decode_utf16([unit].into_iter().chain(second)).next();
                return character
                    .and_then(Result::ok)
                    .ok_or_else(|| format!("\\u{unit:04x} is half of a character: expected a surrogate pair"));
            }
            _ => return Err(format!("an unknown escape: expected one of \\b \\t \\n \\f \\r \\/ \\\\ \\{quote} \\u")),
        };
        self.at += 2;
        Ok(escaped)
    }

    /// The code unit of `\uXXXX`.
    fn unit(&mut self) -> Result<u16, String> {
        let digits = self.rest().get(2..6).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let unit = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
        let unit = unit.ok_or_else(|| "\\u without four hexadecimal digits".to_owned())?;
        self.at += 6;
        Ok(unit)
    }

    /// Conditions of which one has to hold.
    fn any(&mut self) -> Result<Condition, String> {
        self.chain("||", Self::all, Condition::Any)
    }

    /// Conditions that all have to hold.
    fn all(&mut self) -> Result<Condition, String> {
        self.chain("&&", Self::condition, Condition::All)
    }

    fn chain(
        &mut self,
        operator: &str,
        read: fn(&mut Self) -> Result<Condition, String>,
        join: fn(Vec<Condition>) -> Condition,
    ) -> Result<Condition, String> {
        let first = read(self)?;
        let mut conditions = Vec::new();
        loop {
            let before = self.at;
            self.skip_blanks();
            if !self.take(operator) {
                self.at = before;
                if conditions.is_empty() {
                    return Ok(first);
                }
                conditions.insert(0, first);
                return Ok(join(conditions));
            }
            self.skip_blanks();
            conditions.push(read(self)?);
        }
    }

    fn condition(&mut self) -> Result<Condition, String> {
        let is_negated = self.take("!");
        if is_negated {
            self.skip_blanks();
        }
        let condition = if self.take("(") {
            self.skip_blanks();
            let condition = self.nested(Self::any)?;
            self.skip_blanks();
            if !self.take(")") {
                return Err(self.expected(")"));
            }
            condition
        } else {
            let start = self.at;
            let term = self.term()?;
            match if is_negated { None } else { self.operator() } {
                None => self.test(term, start)?,
                Some(operator) => {
                    let one = self.operand(term, start)?;
                    self.skip_blanks();
                    let start = self.at;
                    let other = self.term()?;
                    Condition::Compare(one, operator, self.operand(other, start)?)
                }
            }
        };
        Ok(if is_negated { Condition::Not(Box::new(condition)) } else { condition })
    }

    fn operator(&mut self) -> Option<Operator> {
        let before = self.at;
        self.skip_blanks();
        for (text, operator) in [
            ("==", Operator::Equal),
            ("!=", Operator::NotEqual),
            ("<=", Operator::LessOrEqual),
            (">=", Operator::GreaterOrEqual),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ] {
            if self.take(text) {
                return Some(operator);
            }
        }
        self.at = before;
        None
    }

    /// A term that stands alone.
    fn test(&mut self, term: Term, start: usize) -> Result<Condition, String> {
        match term {
            Term::Query(query) => Ok(Condition::Exists(query)),
            Term::Condition(condition) => Ok(condition),
            Term::Literal(_) => Err(self.wrong_at(start, "a literal alone is no condition: expected a comparison")),
            Term::Value(_) => {
                Err(self.wrong_at(start, "the value of this function is no condition: expected a comparison"))
            }
        }
    }

    /// A term that is compared, or an argument that is one value.
    fn operand(&mut self, term: Term, start: usize) -> Result<Operand, String> {
        match term {
            Term::Literal(literal) => Ok(Operand::Literal(literal)),
            Term::Value(operand) => Ok(operand),
            Term::Query(query) if query.is_singular() => Ok(Operand::Singular(query)),
            Term::Query(_) => {
                Err(self
                    .wrong_at(start, "this may select several values: expected a path to one, of names and indexes"))
            }
            Term::Condition(_) => {
                Err(self.wrong_at(start, "match and search have no value: expected them alone, as a condition"))
            }
        }
    }

    fn wrong_at(&mut self, start: usize, what: &str) -> String {
        self.at = start;
        what.to_owned()
    }

    fn term(&mut self) -> Result<Term, String> {
        let node = |value: Value| Term::Literal(Node { place: Place::default(), value });
        match self.rest().chars().next() {
            Some('$' | '@') => {
                let start = if self.take("$") { Start::Root } else { Start::Current };
                self.at += usize::from(matches!(start, Start::Current));
                self.nested(Self::segments).map(|segments| Term::Query(Query { start, segments }))
            }
            Some('\'' | '"') => self.string().map(|text| node(Value::Text(text))),
            Some('-' | '0'..='9') => self.number().map(|number| node(Value::Number(number))),
            Some('a'..='z') => {
                let rest = self.rest();
                let end = rest
                    .find(|character: char| !matches!(character, 'a'..='z' | '0'..='9' | '_'))
                    .unwrap_or(rest.len());
                let (name, after) = rest.split_at_checked(end).unwrap_or_default();
                let literal = match name {
                    "true" => Value::Bool(true),
                    "false" => Value::Bool(false),
                    "null" => Value::Null,
                    _ if after.starts_with('(') => return self.function(name),
                    _ => return Err(self.expected("@, $, a literal or a function")),
                };
                self.at += end;
                Ok(node(literal))
            }
            _ => Err(self.expected("a condition: @, $, a literal or a function")),
        }
    }

    fn number(&mut self) -> Result<Number, String> {
        let bytes = self.rest().as_bytes();
        let digits = |from: usize| bytes.iter().skip(from).take_while(|byte| byte.is_ascii_digit()).count();
        let byte = |at: usize| bytes.get(at).copied();
        let mut end = usize::from(byte(0) == Some(b'-'));
        let whole = digits(end);
        let mut is_good = whole == 1 || (whole > 1 && byte(end) != Some(b'0'));
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
        let text = self.rest().get(..end).unwrap_or_default();
        let number = Number::parse(text).filter(|_| is_good).ok_or_else(|| format!("{text:?} is not a number"))?;
        self.at += end;
        Ok(number)
    }

    fn function(&mut self, name: &'text str) -> Result<Term, String> {
        let start = self.at;
        self.at += name.len() + 1;
        let term = self.nested(|reader| match name {
            "length" => Ok(Term::Value(Operand::Length(Box::new(reader.value_argument()?)))),
            "count" => Ok(Term::Value(Operand::Count(reader.nodes_argument()?))),
            "value" => Ok(Term::Value(Operand::Value(reader.nodes_argument()?))),
            "match" | "search" => {
                let is_whole = name == "match";
                let text = reader.value_argument()?;
                if !reader.take(",") {
                    return Err(reader.expected("a comma, and a pattern"));
                }
                reader.skip_blanks();
                let before = reader.at;
                let pattern = match reader.value_argument()? {
                    Operand::Literal(Node { value: Value::Text(text), .. }) => {
                        let compiled = pattern::compile(&text, is_whole, pattern::MAX_WRITTEN_BYTES);
                        Pattern::Written(compiled.map_err(|error| reader.wrong_at(before, &error))?)
                    }
                    operand => Pattern::Found { operand, is_whole },
                };
                Ok(Term::Condition(Condition::Match(text, pattern)))
            }
            _ => Err(reader.wrong_at(start, "an unknown function: expected length, count, value, match or search")),
        })?;
        if self.take(")") { Ok(term) } else { Err(self.expected(")")) }
    }

    /// An argument that is one value, and blanks around it.
    fn value_argument(&mut self) -> Result<Operand, String> {
        self.skip_blanks();
        let start = self.at;
        let term = self.term()?;
        let operand = self.operand(term, start)?;
        self.skip_blanks();
        Ok(operand)
    }

    /// An argument that is any number of nodes, and blanks around it.
    fn nodes_argument(&mut self) -> Result<Query, String> {
        self.skip_blanks();
        let start = self.at;
        let Term::Query(query) = self.term()? else {
            return Err(self.wrong_at(start, "this is no path: expected one with @ or $"));
        };
        self.skip_blanks();
        Ok(query)
    }

    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, String>) -> Result<T, String> {
        if self.depth == MAX_DEPTH {
            return Err(format!("this is nested more than {MAX_DEPTH} levels deep"));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    fn rest(&self) -> &'text str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, text: &str) -> bool {
        let is_there = self.rest().starts_with(text);
        if is_there {
            self.at += text.len();
        }
        is_there
    }

    fn skip_blanks(&mut self) {
        self.at += self.rest().bytes().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
    }

    fn expected(&self, what: &str) -> String {
        let found = self.rest().chars().next().map_or_else(|| "the end".to_owned(), |found| format!("{found:?}"));
        format!("this is {found}: expected {what}")
    }
}
