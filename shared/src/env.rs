//! Reading configuration: one pass over a lookup, every mistake reported at once, each naming its variable.
//!
//! A function's `Config::from_env` takes a lookup (`Fn(&str) -> Option<String>`), which is [`process`] in `main` and
//! a map in tests. An empty value counts as unset, since templates cannot leave a variable out.

pub mod file;
#[cfg(feature = "tls")]
pub mod pem;

use std::{fmt, ops::RangeInclusive, str::FromStr, time::Duration};

pub use self::file::NamedFile;

/// The shortest retention.
const MIN_RETENTION: Duration = Duration::from_secs(3_600);
/// The longest length of time, so that what it reaches back to stays within the years that a timestamp can have.
const MAX_LENGTH_DAYS: u64 = 36_500;

/// Reads a length of time: a whole number and a unit, `s`, `m`, `h` or `d`. From 1 s to a hundred years.
///
/// # Errors
/// A sentence that begins with the text and says what is expected.
pub fn parse_length(text: &str) -> Result<Duration, String> {
    let bad = || format!("{text:?}: expected a number and a unit, as in 90s, 15m, 24h or 7d");
    let unit = text.chars().last().ok_or_else(bad)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(bad()),
    };
    let number = text.strip_suffix(unit).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let number: u64 = number.and_then(|digits| digits.parse().ok()).ok_or_else(bad)?;
    match number.checked_mul(seconds) {
        Some(0) => Err(format!("{text:?}: expected more than nothing")),
        Some(length) if length <= MAX_LENGTH_DAYS * 86_400 => Ok(Duration::from_secs(length)),
        _ => Err(format!("{text:?}: expected at most {MAX_LENGTH_DAYS}d")),
    }
}

/// Reads a short length of time: as [`parse_length`] does, or in whole milliseconds (`ms`), or `0s`.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    match text.strip_suffix("ms") {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok().map(Duration::from_millis)
        }
        _ if text == "0s" => Some(Duration::ZERO),
        _ => parse_length(text).ok(),
    }
}

/// Prints a length of time as [`parse_duration`] reads it, in the largest unit that leaves no remainder.
#[must_use]
pub fn print_duration(duration: Duration) -> String {
    match duration.as_millis() {
        0 => "0s".to_owned(),
        millis if millis.is_multiple_of(86_400_000) => format!("{}d", millis / 86_400_000),
        millis if millis.is_multiple_of(3_600_000) => format!("{}h", millis / 3_600_000),
        millis if millis.is_multiple_of(60_000) => format!("{}m", millis / 60_000),
        millis if millis.is_multiple_of(1_000) => format!("{}s", millis / 1_000),
        millis => format!("{millis}ms"),
    }
}

/// What is expected of a duration, for messages.
#[must_use]
pub fn expected_duration(range: &RangeInclusive<Duration>) -> String {
    let [low, high] = [*range.start(), *range.end()].map(print_duration);
    format!("expected a duration with its unit from {low} to {high}, as in 800ms, 10s or 1m")
}

/// The process environment: the one place that reads it. What is not UTF-8 in a value becomes a replacement character, so that
/// the value is reported as wrong and not taken for unset.
#[must_use]
pub fn process(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// What is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden<T>(pub T);

impl<T> fmt::Debug for Hidden<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("(hidden)")
    }
}

/// Reads variables from a lookup and gathers what is wrong with them.
pub struct Env<'lookup> {
    lookup: &'lookup dyn Fn(&str) -> Option<String>,
    mistakes: Vec<String>,
}

/// Every mistake found in the environment, one line each. `Debug` is the same text: it is what a `main` that returns
/// the error prints.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    mistakes: Vec<String>,
}

impl<'lookup> Env<'lookup> {
    /// Starts a reading of `lookup`.
    #[must_use]
    pub fn new(lookup: &'lookup dyn Fn(&str) -> Option<String>) -> Self {
        Self { lookup, mistakes: Vec::new() }
    }

    /// The lookup that this reads from.
    pub fn lookup(&self) -> &'lookup dyn Fn(&str) -> Option<String> {
        self.lookup
    }

    /// The value of `name`, or `None` where it is unset or empty.
    #[must_use]
    pub fn optional(&self, name: &str) -> Option<String> {
        (self.lookup)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// The value of `name`; a mistake that says what is `expected` where it is unset. The empty string it then
    /// returns never gets out: [`Env::finish`] fails.
    pub fn required(&mut self, name: &str, expected: &str) -> String {
        self.optional(name).unwrap_or_else(|| {
            self.mistake(format!("{name} is not set: expected {expected}"));
            String::new()
        })
    }

    /// The value of `name` as a `T`, `default` where it is unset, and a mistake that says what is `expected` where it
    /// cannot be parsed or `valid` refuses it.
    pub fn parsed<T: FromStr>(&mut self, name: &str, default: T, expected: &str, valid: impl Fn(&T) -> bool) -> T {
        let Some(value) = self.optional(name) else {
            return default;
        };
        match value.parse() {
            Ok(parsed) if valid(&parsed) => parsed,
            _ => {
                self.mistake(format!("{name} is {value:?}: expected {expected}"));
                default
            }
        }
    }

    /// The value of `name` as a switch: `true` or `false` (also `1`, `0`, `yes`, `no`, `on`, `off`); unset is false.
    pub fn switch(&mut self, name: &str) -> bool {
        match self.optional(name).map(|value| value.to_ascii_lowercase()).as_deref() {
            None | Some("false" | "0" | "no" | "off") => false,
            Some("true" | "1" | "yes" | "on") => true,
            Some(other) => {
                self.mistake(format!("{name} is {other:?}: expected true or false"));
                false
            }
        }
    }

    /// The value of `name` as a duration such as `800ms`, `default` where it is unset.
    pub fn duration(&mut self, name: &str, default: Duration, range: RangeInclusive<Duration>) -> Duration {
        let Some(value) = self.optional(name) else { return default };
        match parse_duration(&value).filter(|duration| range.contains(duration)) {
            Some(duration) => duration,
            None => {
                self.mistake(format!("{name} is {value:?}: {}", expected_duration(&range)));
                default
            }
        }
    }

    /// The value of `name` as a length of time such as `8d`, of at least an hour; `None` where it is unset.
    pub fn retention(&mut self, name: &str) -> Option<Duration> {
        let value = self.optional(name)?;
        match parse_length(&value) {
            Ok(length) if length >= MIN_RETENTION => Some(length),
            Ok(_) => {
                self.mistake(format!("{name} is {value:?}: expected at least 1h"));
                None
            }
            Err(error) => {
                self.mistake(format!("{name} is {error}"));
                None
            }
        }
    }

    /// The ARN in `name`, of a secret of AWS Secrets Manager; `None` where it is unset.
    #[cfg(feature = "aws")]
    pub fn secret(&mut self, name: &'static str) -> Option<crate::aws::secret::Secret> {
        let arn = self.optional(name)?;
        if !arn.starts_with("arn:") || !arn.contains(":secretsmanager:") {
            // Without its value, which may be the secret itself.
            self.mistake(format!("{name} is no ARN of a secret: expected arn:aws:secretsmanager:…:secret:…"));
        }
        Some(crate::aws::secret::Secret { variable: name, arn })
    }

    /// Notes a mistake that concerns more than one variable, or one that only the caller can see. Two functions that read the
    /// same variable report its mistake once.
    pub fn mistake(&mut self, mistake: String) {
        if !self.mistakes.contains(&mistake) {
            self.mistakes.push(mistake);
        }
    }

    /// The configuration, if nothing was wrong.
    ///
    /// # Errors
    /// All mistakes of this reading.
    pub fn finish<T>(self, config: T) -> Result<T, ConfigError> {
        if self.mistakes.is_empty() { Ok(config) } else { Err(ConfigError { mistakes: self.mistakes }) }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "invalid configuration:")?;
        self.mistakes.iter().try_for_each(|mistake| write!(formatter, "\n  {mistake}"))
    }
}

impl fmt::Debug for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::Env;

    #[test]
    fn all_mistakes_are_reported_at_once_and_by_name() {
        let lookup = |name: &str| match name {
            "WM_COUNT" => Some("many".to_owned()),
            "WM_FLAG" => Some("perhaps".to_owned()),
            "WM_EMPTY" => Some("  ".to_owned()),
            _ => None,
        };
        let mut env = Env::new(&lookup);
        env.parsed("WM_COUNT", 1, "a number from 1 to 10", |count| (1..=10).contains(count));
        env.switch("WM_FLAG");
        env.required("WM_EMPTY", "anything");

        let error = env.finish(()).unwrap_err().to_string();

        assert_eq!(
            error,
            "invalid configuration:\n  WM_COUNT is \"many\": expected a number from 1 to 10\n  \
             WM_FLAG is \"perhaps\": expected true or false\n  WM_EMPTY is not set: expected anything"
        );
    }

    #[test]
    fn a_value_out_of_range_is_a_mistake_and_an_unset_one_is_the_default() {
        let lookup = |name: &str| (name == "WM_COUNT").then(|| "11".to_owned());
        let mut env = Env::new(&lookup);
        let valid = |count: &i32| *count <= 10;

        assert_eq!(env.parsed("WM_OTHER", 3, "a number up to 10", valid), 3);
        env.parsed("WM_COUNT", 1, "a number up to 10", valid);
        assert!(env.finish(()).is_err());
    }
}
