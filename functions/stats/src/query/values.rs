//! The values of parameters: what each is read as, or what is wrong with it and what is expected.

use jiff::Timestamp;
use shared::{env::parse_length, timestamp};

use super::{Metric, Window};
use crate::history::{
    Quorum,
    split::{Bucket, By},
};

/// Percentiles in one answer, at most.
const MAX_PERCENTILES: usize = 20;
/// Targets in one page, at most.
const MAX_LIMIT: usize = 1_000;
/// Names of one sort in one query, at most.
const MAX_NAMES: usize = 1_000;

pub(super) fn add_name(names: &mut Vec<String>, text: &str, what: &str) -> Result<(), String> {
    if names.len() == MAX_NAMES {
        return Err(format!("there are more than {MAX_NAMES} of them"));
    }
    names.push(parse_name(text, what)?);
    Ok(())
}

fn parse_name(text: &str, what: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err(format!("it is empty: expected {what}"));
    }
    if text.contains('\0') {
        return Err("it contains a NUL character".to_owned());
    }
    Ok(text.to_owned())
}

pub(super) fn parse_window(text: &str) -> Result<Window, String> {
    if text == "all" {
        return Ok(Window::All);
    }
    let length = parse_length(text).map_err(|error| format!("{error}, or all"))?;
    Ok(Window::Last { name: text.to_owned(), length })
}

pub(super) fn parse_by(text: &str) -> Result<By, String> {
    let mut by = By::default();
    for part in text.split(',') {
        let field = match part {
            "location" => &mut by.location,
            "status" => &mut by.status,
            "outcome" => &mut by.outcome,
            "phase" => &mut by.phase,
            _ => return Err(format!("{text:?}: expected location, status, outcome or phase, or several with commas")),
        };
        if std::mem::replace(field, true) {
            return Err(format!("{text:?}: {part} is in it more than once"));
        }
    }
    Ok(by)
}

pub(super) fn parse_quorum(text: &str) -> Result<Quorum, String> {
    match text {
        "1" => Ok(Quorum::One),
        "majority" => Ok(Quorum::Majority),
        "all" => Ok(Quorum::All),
        _ => Err(format!("{text:?}: expected 1, majority or all")),
    }
}

pub(super) fn parse_compare(text: &str) -> Result<bool, String> {
    if text == "previous" { Ok(true) } else { Err(format!("{text:?}: expected previous")) }
}

pub(super) fn parse_limit(text: &str) -> Result<usize, String> {
    let limit =
        Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit())).and_then(|text| text.parse().ok());
    limit
        .filter(|limit| (1..=MAX_LIMIT).contains(limit))
        .ok_or_else(|| format!("{text:?}: expected a whole number from 1 to {MAX_LIMIT}"))
}

pub(super) fn parse_metric(text: &str) -> Result<Metric, String> {
    match text {
        "uptime" => Ok(Metric::Uptime),
        "p50" => Ok(Metric::P50),
        "p95" => Ok(Metric::P95),
        "p99" => Ok(Metric::P99),
        _ => Err(format!("{text:?}: expected uptime, p50, p95 or p99")),
    }
}

pub(super) fn parse_bucket(text: &str) -> Result<Bucket, String> {
    match text {
        "1m" => Ok(Bucket::Minute),
        "5m" => Ok(Bucket::FiveMinutes),
        "1h" => Ok(Bucket::Hour),
        "1d" => Ok(Bucket::Day),
        _ => Err(format!("{text:?}: expected 1m, 5m, 1h or 1d")),
    }
}

pub(super) fn parse_instant(text: &str) -> Result<Timestamp, String> {
    timestamp::parse(text).map_err(|error| format!("{error}, as in 2026-11-23T12:00:00Z (RFC 3339; + is written %2B)"))
}

pub(super) fn parse_percentiles(text: &str) -> Result<Vec<f64>, String> {
    let percentiles: Option<Vec<f64>> = text.split(',').map(parse_percentile).collect();
    let percentiles = percentiles.filter(|percentiles| percentiles.len() <= MAX_PERCENTILES).ok_or_else(|| {
        format!("{text:?}: expected at most {MAX_PERCENTILES} numbers above 0 and below 100, as in 50,95,99.9")
    })?;
    let mut sorted = percentiles.clone();
    sorted.sort_by(f64::total_cmp);
    match sorted.windows(2).find(|pair| pair.first() == pair.last()) {
        Some(pair) => Err(format!("{text:?}: {} is in it more than once", pair.first().copied().unwrap_or_default())),
        None => Ok(percentiles),
    }
}

/// A number such as 99.9, with six digits after the point at most, and no more digits than it needs before.
fn parse_percentile(text: &str) -> Option<f64> {
    let (whole, part) = text.split_once('.').map_or((text, None), |(whole, part)| (whole, Some(part)));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_short = is_number(whole) && whole.len() <= 2 && (whole == "0" || !whole.starts_with('0'));
    let has_part = part.is_none_or(|part| is_number(part) && part.len() <= 6);
    text.parse().ok().filter(|percentile| is_short && has_part && *percentile > 0.0)
}
