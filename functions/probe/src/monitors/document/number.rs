//! Numbers by their exact value, of any size and precision and however they are written.

use std::{
    cmp::{Ordering, Reverse},
    fmt, iter,
};

/// The largest exponent for which the place of the decimal point is computed.
const MAX_EXPONENT: i128 = 1_000_000_000_000_000_000_000_000_000_000;

/// A decimal number, kept as its text. `0.10`, `0.1` and `1e-1` are equal, and so are `-0` and `0`.
///
/// Exponents have any size. Beyond [`MAX_EXPONENT`], two numbers are equal only if their exponents are: the places of their
/// points are not added.
#[derive(Debug, Clone)]
pub(crate) struct Number(Box<str>);

/// A number as `±0.DIGITS × 10^point`, with a first digit that is not 0. Zero has no digits.
struct Parts<'text> {
    is_negative: bool,
    /// Digits before the point of the text, and those after it, without the zeros at the beginning.
    digits: iter::Skip<iter::Chain<std::str::Bytes<'text>, std::str::Bytes<'text>>>,
    is_zero: bool,
    point: Point<'text>,
}

/// The place of the decimal point, in the order of the numbers that have it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Point<'text> {
    /// Below -[`MAX_EXPONENT`]: the length and the digits of the exponent, and the place in the digits of the number.
    FarLeft(Reverse<(usize, &'text str)>, i128),
    At(i128),
    /// Beyond [`MAX_EXPONENT`], as for `FarLeft`.
    FarRight((usize, &'text str), i128),
}

impl<'text> Point<'text> {
    fn new(exponent: &'text str, place: i128) -> Self {
        let digits = exponent.trim_start_matches(['-', '+']).trim_start_matches('0');
        let size = (digits.len(), digits);
        match exponent.parse::<i128>() {
            _ if digits.is_empty() => Self::At(place),
            Ok(exponent) if exponent.abs() <= MAX_EXPONENT => Self::At(exponent + place),
            _ if exponent.starts_with('-') => Self::FarLeft(Reverse(size), place),
            _ => Self::FarRight(size, place),
        }
    }
}

impl Number {
    /// Reads a decimal number: a sign, digits, a point and digits, an exponent. Of these, only some digits are required.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (mantissa, exponent) = split(unsigned, &['e', 'E']);
        let (whole, fraction) = split(mantissa, &['.']);
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let has_digits = !whole.is_empty() || fraction.is_some_and(|fraction| !fraction.is_empty());
        if !has_digits || !is_digits(whole) || !fraction.is_none_or(is_digits) {
            return None;
        }
        if let Some(exponent) = exponent {
            let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
            if digits.is_empty() || !is_digits(digits) {
                return None;
            }
        }
        Some(Self(text.into()))
    }

    /// Its value, if it is a whole number of 64 bits: `14`, `14.0` and `1.4e1` are all 14.
    pub(crate) fn as_integer(&self) -> Option<i64> {
        let Parts { is_negative, digits, is_zero, point } = self.parts();
        if is_zero {
            return Some(0);
        }
        let Point::At(point) = point else { return None };
        let places = usize::try_from(point).ok().filter(|places| (1..=19).contains(places))?;
        let mut digits = digits.chain(iter::repeat_n(b'0', places));
        let whole = digits.by_ref().take(places).fold(0, |value, digit| value * 10 + i128::from(digit - b'0'));
        let is_whole = digits.all(|digit| digit == b'0');
        i64::try_from(if is_negative { -whole } else { whole }).ok().filter(|_| is_whole)
    }

    /// The length of its text, which is what a comparison costs.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    fn parts(&self) -> Parts<'_> {
        let unsigned = self.0.strip_prefix(['-', '+']).unwrap_or(&self.0);
        let (mantissa, exponent) = split(unsigned, &['e', 'E']);
        let (whole, fraction) = split(mantissa, &['.']);
        let digits = whole.bytes().chain(fraction.unwrap_or_default().bytes());
        let zeros = digits.clone().take_while(|digit| *digit == b'0').count();
        let digits = digits.skip(zeros);
        Parts {
            is_negative: self.0.starts_with('-'),
            is_zero: digits.clone().next().is_none(),
            point: Point::new(exponent.unwrap_or_default(), whole.len() as i128 - zeros as i128),
            digits,
        }
    }
}

fn split<'text>(text: &'text str, at: &[char]) -> (&'text str, Option<&'text str>) {
    text.split_once(at).map_or((text, None), |(before, after)| (before, Some(after)))
}

/// Compares digits after the point: the shorter one continues with zeros.
fn compare_digits(mut one: impl Iterator<Item = u8>, mut other: impl Iterator<Item = u8>) -> Ordering {
    loop {
        let (one, other) = (one.next(), other.next());
        if one.is_none() && other.is_none() {
            return Ordering::Equal;
        }
        let order = one.unwrap_or(b'0').cmp(&other.unwrap_or(b'0'));
        if order.is_ne() {
            return order;
        }
    }
}

impl From<usize> for Number {
    fn from(number: usize) -> Self {
        Self(number.to_string().into())
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let (one, other) = (self.parts(), other.parts());
        let sign = |parts: &Parts<'_>| match (parts.is_zero, parts.is_negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let (one_sign, other_sign) = (sign(&one), sign(&other));
        if one_sign != other_sign || one_sign == 0 {
            return one_sign.cmp(&other_sign);
        }
        let size = one.point.cmp(&other.point).then_with(|| compare_digits(one.digits, other.digits));
        if one_sign < 0 { size.reverse() } else { size }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Number {}

impl fmt::Display for Number {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{
        prelude::{ProptestConfig, prop_assert_eq, prop_assume},
        proptest,
    };

    use super::*;

    fn number(text: &str) -> Number {
        Number::parse(text).unwrap_or_else(|| panic!("{text} is not read"))
    }

    #[test]
    fn numbers_compare_by_exact_value() {
        use Ordering::{Equal, Less};
        for (one, other, expected) in [
            ("10", "10.0", Equal),
            ("0.1", "0.10", Equal),
            ("1e-1", "0.1", Equal),
            ("0", "-0", Equal),
            ("0e99", "-0.0", Equal),
            ("100", "1e2", Equal),
            ("12.5E+1", "125", Equal),
            ("+5", "5.", Equal),
            (".5", "0.5", Equal),
            ("007", "7", Equal),
            ("18446744073709551614", "18446744073709551615", Less),
            ("9007199254740992", "9007199254740993", Less),
            ("0.1", "0.1000000000000000055511151231257827", Less),
            ("1e400", "1e401", Less),
            ("-1e401", "-1e400", Less),
            ("1e-401", "1e-400", Less),
            ("9e999999999999999999999999999999", "1e1000000000000000000000000000000", Less),
            ("1e1000000000000000000000000000000", "1e99999999999999999999999999999999", Less),
            ("1e99999999999999999999999999999999", "1e100000000000000000000000000000000000000000000000000", Less),
            ("9e99999999999999999999999999999999", "1e100000000000000000000000000000000", Less),
            ("1e-100000000000000000000000000000000", "9e-99999999999999999999999999999999", Less),
            ("-1e100000000000000000000000000000000", "-1e99999999999999999999999999999999", Less),
            ("0", "1e-999999999999999999999999999999999999999999", Less),
            ("1.0e99999999999999999999999999999999", "1E+0099999999999999999999999999999999", Equal),
            ("1e000000000000000000000000000000000000000000000000001", "10", Equal),
            ("0e999999999999999999999999999999999999999999", "0", Equal),
            ("-0.0e-999999999999999999999999999999999999999999", "0", Equal),
            ("-1", "0", Less),
            ("-2", "-1", Less),
            ("0.09", "0.1", Less),
            ("99", "100", Less),
        ] {
            assert_eq!(number(one).cmp(&number(other)), expected, "{one} and {other}");
            assert_eq!(number(other).cmp(&number(one)), expected.reverse(), "{other} and {one}");
        }
    }

    #[test]
    fn whole_numbers_of_64_bits_are_integers() {
        for (text, expected) in [
            ("14", Some(14)),
            ("14.0", Some(14)),
            ("1.4e1", Some(14)),
            ("140e-1", Some(14)),
            ("-0", Some(0)),
            ("1e18", Some(1_000_000_000_000_000_000)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("1e400", None),
            ("14.5", None),
            ("0.14", None),
            ("1e-400", None),
            ("1e999999999999999999999999999999999999999999", None),
            ("0e999999999999999999999999999999999999999999", Some(0)),
        ] {
            assert_eq!(number(text).as_integer(), expected, "{text}");
        }
    }

    #[test]
    fn text_that_is_no_number_is_not_read() {
        for text in ["", "-", "+", ".", "e1", "1e", "1e+", "1.2.3", "1x", "0x10", "1e1.5", "1e+-1", "--1", "١"] {
            assert!(Number::parse(text).is_none(), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn comparison_agrees_with_integers_of_the_same_scale(one in -10_000_i64..10_000, other in -10_000_i64..10_000, scale in 0_usize..30) {
            let text = |value: i64| format!("{value}{}e-{scale}", "0".repeat(scale));
            prop_assert_eq!(number(&text(one)).cmp(&number(&text(other))), one.cmp(&other));
            prop_assert_eq!(number(&text(one)).as_integer(), Some(one));
            prop_assume!(one != other);
            assert_ne!(number(&format!("{one}e{scale}")), number(&format!("{other}e{scale}")));
        }
    }
}
