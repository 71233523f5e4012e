//! Looks paths up, in a limited number of steps.

use std::{borrow::Cow, cmp::Ordering};

use super::{Condition, Operand, Operator, Pattern, Query, Segment, Selector, Start, pattern};
use crate::monitors::document::{Node, Number, Place, Value};

/// The bytes of text that are compared or searched in one step.
const BYTES_PER_STEP: usize = 64;
/// Compiling a pattern takes as long as these steps, and so much longer for each of its bytes.
const STEPS_PER_PATTERN: usize = 10_000;

/// The nodes that a query selects.
///
/// # Errors
/// It takes more than `max_steps`, or a pattern of the document cannot be used.
pub(super) fn query<'node>(
    query: &'node Query,
    root: &'node Node,
    max_steps: usize,
) -> Result<Vec<&'node Node>, String> {
    Evaluation { root, steps_left: max_steps, max_steps }.query(query, root)
}

struct Evaluation<'node> {
    root: &'node Node,
    steps_left: usize,
    max_steps: usize,
}

/// The value of an operand, if it has one.
type Operated<'node> = Option<Cow<'node, Node>>;

impl<'node> Evaluation<'node> {
    fn take(&mut self, steps: usize) -> Result<(), String> {
        let left = self.steps_left.checked_sub(steps);
        self.steps_left = left.ok_or_else(|| {
            format!("it takes more than {} steps in this document: expected a more specific path", self.max_steps)
        })?;
        Ok(())
    }

    fn query(&mut self, query: &'node Query, current: &'node Node) -> Result<Vec<&'node Node>, String> {
        let mut nodes = match query.start {
            Start::Root => vec![self.root],
            Start::Current => vec![current],
        };
        for segment in &query.segments {
            let mut selected = Vec::new();
            for node in nodes {
                self.segment(segment, node, &mut selected)?;
            }
            nodes = selected;
        }
        Ok(nodes)
    }

    /// A node comes before those in it, and these in their order.
    fn segment(
        &mut self,
        segment: &'node Segment,
        node: &'node Node,
        selected: &mut Vec<&'node Node>,
    ) -> Result<(), String> {
        // Not recursive, whatever the depth of the document.
        let mut pending = vec![node];
        while let Some(node) = pending.pop() {
            for selector in &segment.selectors {
                self.selector(selector, node, selected)?;
            }
            if segment.descends {
                let before = pending.len();
                pending.extend(children(node));
                self.take(pending.len() - before)?;
                if let Some(children) = pending.get_mut(before..) {
                    children.reverse();
                }
            }
        }
        Ok(())
    }

    fn selector(
        &mut self,
        selector: &'node Selector,
        node: &'node Node,
        selected: &mut Vec<&'node Node>,
    ) -> Result<(), String> {
        self.take(1)?;
        let before = selected.len();
        match selector {
            Selector::Name(name) => selected.extend(node.get(name)),
            Selector::Wildcard => selected.extend(children(node)),
            Selector::Index(index) => {
                let list = node.as_list().unwrap_or_default();
                let index = if *index < 0 { index.saturating_add_unsigned(list.len() as u64) } else { *index };
                selected.extend(usize::try_from(index).ok().and_then(|index| list.get(index)));
            }
            Selector::Slice { start, end, step } => {
                let list = node.as_list().unwrap_or_default();
                selected.extend(slice(list.len(), *start, *end, *step).filter_map(|index| list.get(index)));
            }
            Selector::Filter(condition) => {
                for child in children(node) {
                    self.take(1)?;
                    if self.holds(condition, child)? {
                        selected.push(child);
                    }
                }
            }
        }
        self.take(selected.len() - before)
    }

    fn holds(&mut self, condition: &'node Condition, node: &'node Node) -> Result<bool, String> {
        self.take(1)?;
        match condition {
            Condition::Any(conditions) => {
                for condition in conditions {
                    if self.holds(condition, node)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Condition::All(conditions) => {
                for condition in conditions {
                    if !self.holds(condition, node)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Condition::Not(condition) => Ok(!self.holds(condition, node)?),
            Condition::Exists(query) => Ok(!self.query(query, node)?.is_empty()),
            Condition::Compare(one, operator, other) => {
                let (one, other) = (self.operand(one, node)?, self.operand(other, node)?);
                self.compare(one.as_deref(), *operator, other.as_deref())
            }
            Condition::Match(operand, pattern) => self.matches(operand, pattern, node),
        }
    }

    fn operand(&mut self, operand: &'node Operand, node: &'node Node) -> Result<Operated<'node>, String> {
        let number =
            |number: usize| Cow::Owned(Node { place: Place::default(), value: Value::Number(Number::from(number)) });
        Ok(match operand {
            Operand::Literal(literal) => Some(Cow::Borrowed(literal)),
            Operand::Singular(query) => self.query(query, node)?.first().copied().map(Cow::Borrowed),
            Operand::Count(query) => Some(number(self.query(query, node)?.len())),
            Operand::Value(query) => match self.query(query, node)?.as_slice() {
                [one] => Some(Cow::Borrowed(*one)),
                _ => None,
            },
            Operand::Length(operand) => {
                let Some(value) = self.operand(operand, node)? else { return Ok(None) };
                match &value.value {
                    Value::Text(text) => {
                        self.take(text.len() / BYTES_PER_STEP)?;
                        Some(number(text.chars().count()))
                    }
                    Value::List(nodes) => Some(number(nodes.len())),
                    Value::Map(map) => Some(number(map.entries().len())),
                    _ => None,
                }
            }
        })
    }

    fn compare(&mut self, one: Option<&Node>, operator: Operator, other: Option<&Node>) -> Result<bool, String> {
        let is_equal = |this: &mut Self| match (one, other) {
            (Some(one), Some(other)) => this.is_equal(one, other),
            (one, other) => Ok(one.is_none() && other.is_none()),
        };
        Ok(match operator {
            Operator::Equal => is_equal(self)?,
            Operator::NotEqual => !is_equal(self)?,
            Operator::Less => self.order(one, other)? == Some(Ordering::Less),
            Operator::Greater => self.order(one, other)? == Some(Ordering::Greater),
            Operator::LessOrEqual => self.order(one, other)? == Some(Ordering::Less) || is_equal(self)?,
            Operator::GreaterOrEqual => self.order(one, other)? == Some(Ordering::Greater) || is_equal(self)?,
        })
    }

    /// The order of two numbers or two texts; others have none.
    fn order(&mut self, one: Option<&Node>, other: Option<&Node>) -> Result<Option<Ordering>, String> {
        let (Some(one), Some(other)) = (one, other) else { return Ok(None) };
        self.take(cost(one).min(cost(other)))?;
        Ok(match (&one.value, &other.value) {
            (Value::Number(one), Value::Number(other)) => Some(one.cmp(other)),
            (Value::Text(one), Value::Text(other)) => Some(one.cmp(other)),
            _ => None,
        })
    }

    fn is_equal(&mut self, one: &Node, other: &Node) -> Result<bool, String> {
        // The longer of two numbers is read to its end.
        self.take(1 + cost(one).max(cost(other)))?;
        match (&one.value, &other.value) {
            (Value::List(one), Value::List(other)) if one.len() == other.len() => {
                for (one, other) in one.iter().zip(other) {
                    if !self.is_equal(one, other)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (Value::Map(one), Value::Map(other)) if one.entries().len() == other.entries().len() => {
                for (one, other) in one.entries().iter().zip(other.entries()) {
                    if one.name != other.name || !self.is_equal(&one.node, &other.node)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (Value::List(_), _) | (Value::Map(_), _) => Ok(false),
            (one, other) => Ok(one == other),
        }
    }

    fn matches(&mut self, operand: &'node Operand, pattern: &'node Pattern, node: &'node Node) -> Result<bool, String> {
        let Some(value) = self.operand(operand, node)? else { return Ok(false) };
        let Some(text) = value.as_text() else { return Ok(false) };
        self.take(1 + text.len() / BYTES_PER_STEP)?;
        match pattern {
            Pattern::Written(regex) => Ok(regex.is_match(text)),
            Pattern::Found { operand, is_whole } => {
                let found = self.operand(operand, node)?;
                let Some(found) = found.as_deref().and_then(Node::as_text) else { return Ok(false) };
                self.take(STEPS_PER_PATTERN.saturating_mul(1 + found.len() / BYTES_PER_STEP))?;
                Ok(pattern::compile(found, *is_whole, pattern::MAX_FOUND_BYTES)?.is_match(text))
            }
        }
    }
}

fn children<'node>(node: &'node Node) -> Box<dyn Iterator<Item = &'node Node> + 'node> {
    match &node.value {
        Value::List(nodes) => Box::new(nodes.iter()),
        Value::Map(map) => Box::new(map.entries().iter().map(|entry| &entry.node)),
        _ => Box::new(std::iter::empty()),
    }
}

/// Steps to read a text or a number.
fn cost(node: &Node) -> usize {
    match &node.value {
        Value::Text(text) => text.len() / BYTES_PER_STEP,
        Value::Number(number) => number.len() / BYTES_PER_STEP,
        _ => 0,
    }
}

/// The indexes of a slice (RFC 9535, section 2.3.4.2.2).
fn slice(len: usize, start: Option<i64>, end: Option<i64>, step: i64) -> impl Iterator<Item = usize> {
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let (default_start, default_end) = if step < 0 { (len - 1, -len - 1) } else { (0, len) };
    let normalize = |index: i64| if index < 0 { index + len } else { index };
    let (start, end) = (normalize(start.unwrap_or(default_start)), normalize(end.unwrap_or(default_end)));
    let (first, bound) = if step < 0 {
        (start.clamp(-1, len - 1), end.clamp(-1, len - 1))
    } else {
        (start.clamp(0, len), end.clamp(0, len))
    };
    let next = move |index: &i64| index.checked_add(step);
    let is_in = move |index: &i64| (step > 0 && *index < bound) || (step < 0 && *index > bound);
    std::iter::successors(Some(first), next).take_while(is_in).filter_map(|index| usize::try_from(index).ok())
}
