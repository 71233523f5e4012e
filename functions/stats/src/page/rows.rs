//! The rows of the page's table, as its script writes them: what the page says to whoever has none, and at first to everybody.

use jiff::Timestamp;

use crate::{
    badge::{duration, escape},
    estimate::{Percentile, needed},
    figures::name,
    overview::{Overview, TargetOverview, WindowOverview, state::TargetState},
};

/// What is not known.
const NOTHING: &str = "<span class=\"muted\">—</span>";
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// Below this share, it is said how much of a window was looked at.
const PART: f64 = 0.98;
/// Days before a certificate runs out from which on that is a warning.
const SOON: i64 = 14;

/// Writes the rows, what is wrong first, and where there are more of them says so.
pub(super) fn write(overview: &Overview) -> String {
    let mut targets: Vec<_> = overview.targets.iter().collect();
    targets.sort_by_key(|target| match target.state {
        TargetState::Down => 0,
        TargetState::Stale => 1,
        TargetState::Degraded => 2,
        TargetState::Up => 3,
    });
    let rows: String = targets.into_iter().map(|target| row(target, overview.as_of)).collect();
    match overview.next {
        Some(_) => {
            rows + "<tr role=\"row\"><td role=\"cell\" colspan=\"12\">There are more targets, which the script of this page \
                    shows.</td></tr>"
        }
        None => rows,
    }
}

fn row(target: &TargetOverview, as_of: Timestamp) -> String {
    let state = name(target.state);
    let monitor = target.monitor.as_deref().unwrap_or_default();
    let mut cells = vec![
        cell(
            "State",
            "c-state",
            &format!("<span class=\"state\" data-state=\"{state}\">{state}</span>{}", since(target, as_of)),
        ),
        format!("<th scope=\"row\" role=\"rowheader\" class=\"c-target\">{}{}</th>", who(target), tags(target)),
    ];
    let labels = ["24 h", "7 d", "30 d", "90 d"];
    cells.extend(
        labels
            .iter()
            .zip(&target.windows)
            .map(|(label, window)| cell(label, "n c-uptime", &uptime(window, target.interval_ms))),
    );
    cells.extend(["p50", "p95", "p99"].iter().enumerate().map(|(index, label)| {
        let percentile = target.latency.percentiles.get(index);
        let html =
            percentile.map_or_else(|| NOTHING.to_owned(), |found| latency(found, target.latency.population_size));
        cell(label, "n c-latency", &html)
    }));
    cells.push(cell("By hour", "c-spark", ""));
    cells.push(cell("90 days", "c-strip", ""));
    cells.push(cell("Certificate", "c-certificate", &certificate(target.certificate_expires_at, as_of)));
    format!(
        "<tr role=\"row\" data-key=\"{}&#10;{}\" data-target=\"{}\" data-state=\"{state}\">{}</tr>",
        escape(monitor),
        escape(&target.url),
        escape(target.monitor.as_ref().unwrap_or(&target.url)),
        cells.concat()
    )
}

fn cell(label: &str, class: &str, html: &str) -> String {
    format!("<td role=\"cell\" data-label=\"{label}\" class=\"{class}\">{html}</td>")
}

/// The name, with a link to what is known of this target alone.
fn who(target: &TargetOverview) -> String {
    // A monitor keeps its link when its URL changes.
    let (name, value) = target.monitor.as_ref().map_or(("url", &target.url), |monitor| ("monitor", monitor));
    let link = form_urlencoded::Serializer::for_suffix(String::from("?"), 1).append_pair(name, value).finish();
    let (link, url) = (escape(&link), escape(&target.url));
    match &target.monitor {
        Some(monitor) => {
            format!("<a href=\"{link}\" class=\"name\">{}</a><span class=\"url\">{url}</span>", escape(monitor))
        }
        None => format!("<a href=\"{link}\" class=\"name is-url\">{url}</a>"),
    }
}

fn tags(target: &TargetOverview) -> String {
    if target.tags.is_empty() {
        return String::new();
    }
    let tag = |tag: &String| {
        let link = form_urlencoded::Serializer::for_suffix(String::from("?"), 1).append_pair("tag", tag).finish();
        format!("<a class=\"tag\" href=\"{}\">{}</a> ", escape(&link), escape(tag))
    };
    let tags: String = target.tags.iter().map(tag).collect();
    format!("<span class=\"tags\"><span class=\"off-screen\">tags: </span>{tags}</span>")
}

fn since(target: &TargetOverview, as_of: Timestamp) -> String {
    let time = |instant: Timestamp, words: &str| format!("<time datetime=\"{instant}\">{words}</time>");
    let ago = |instant: Timestamp| length(as_of.as_second() - instant.as_second());
    let silent = target.locations.iter().filter(|seen| seen.state == TargetState::Stale).count();
    let silent = match target.locations.len() {
        all if silent > 0 && target.state != TargetState::Stale => {
            format!("<span class=\"silent\">{silent} of {all} locations silent</span>")
        }
        _ => String::new(),
    };
    let since = match (target.state, target.since, target.last_probe_at) {
        (TargetState::Stale, _, Some(last)) => time(last, &format!("last probe {} ago", ago(last))),
        (TargetState::Stale, _, None) => "<span class=\"muted\">no probe</span>".to_owned(),
        (_, Some(since), _) => time(since, &format!("for {}", ago(since))),
        (_, None, _) => "<span class=\"muted\">over 24 h</span>".to_owned(),
    };
    since + &silent
}

/// A length of time in words, from seconds.
fn length(seconds: i64) -> String {
    match seconds.max(0) {
        seconds @ ..100 => format!("{seconds} s"),
        seconds if seconds < 100 * MINUTE - MINUTE / 2 => format!("{} min", (seconds + MINUTE / 2) / MINUTE),
        seconds if seconds < 48 * HOUR => format!("{} h", (seconds + HOUR / 2) / HOUR),
        seconds => format!("{} d", seconds / DAY),
    }
}

/// The share of the slots that was up, cut to hundredths of a percent: 100 % is all.
fn uptime(window: &WindowOverview, interval_ms: Option<i64>) -> String {
    let share = window.uptime.as_ref().and_then(|uptime| uptime.by_probes);
    let Some(share) = share else { return "<span class=\"uptime\" data-level=\"none\">—</span>".to_owned() };
    let level = match share {
        0.999.. => "good",
        0.99.. => "fair",
        _ => "poor",
    };
    let percent =
        if share < 1.0 { format!("{:.2} %", (share * 1e4 + 1e-6).floor() / 100.0) } else { "100 %".to_owned() };
    let seen = window.coverage.as_ref().and_then(|coverage| coverage.share).filter(|share| *share < PART);
    let part = seen.map(|share| format!("<small class=\"part\">{:.0} %</small>", (share * 100.0 + 1e-6).floor()));
    format!(
        "<span class=\"uptime\" data-level=\"{level}\">{percent}</span>{}{}",
        part.unwrap_or_default(),
        young(window, interval_ms)
    )
}

/// Of how much it is, where a target is not as old as the window; its first slot may be an interval away.
fn young(window: &WindowOverview, interval_ms: Option<i64>) -> String {
    let interval = interval_ms.unwrap_or(0) / 1_000;
    let seconds = |from: Option<Timestamp>| from.zip(window.to).map(|(from, to)| to.as_second() - from.as_second());
    match (seconds(window.from), seconds(window.first_probe_at)) {
        #[expect(clippy::cast_precision_loss, reason = "seconds of months")]
        (Some(whole), Some(seen)) if ((seen + interval) as f64) < PART * whole as f64 => {
            format!("<small class=\"part\">{}<span class=\"off-screen\"> of history</span></small>", length(seen))
        }
        _ => String::new(),
    }
}

fn latency(percentile: &Percentile, size: i64) -> String {
    match percentile {
        Percentile { ms: Some(_), insufficient: true, percentile, .. } => {
            let needed = needed(percentile / 100.0);
            format!("{NOTHING}<small class=\"few\">too few: {size}&nbsp;of&nbsp;{needed}</small>")
        }
        Percentile { at_least_ms: Some(ms), .. } => format!("≥ {}", duration(*ms)),
        Percentile { with_timeouts_ms: Some(ms), .. } | Percentile { ms: Some(ms), .. } => duration(*ms),
        Percentile { .. } => NOTHING.to_owned(),
    }
}

fn certificate(expires_at: Option<Timestamp>, as_of: Timestamp) -> String {
    let Some(expires_at) = expires_at else { return NOTHING.to_owned() };
    let (level, words) = match (expires_at.as_second() - as_of.as_second()).div_euclid(DAY) {
        ..=-1 => ("expired", "expired".to_owned()),
        days if days < SOON => ("soon", format!("! {days} d")),
        days => ("fine", format!("{days} d")),
    };
    format!("<time class=\"certificate\" data-level=\"{level}\" datetime=\"{expires_at}\">{words}</time>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_in_the_unit_that_suits_them() {
        for (seconds, expected) in [
            (-5, "0 s"),
            (99, "99 s"),
            (100, "2 min"),
            (5_969, "99 min"),
            (5_970, "2 h"),
            (48 * HOUR - 1, "48 h"),
            (48 * HOUR, "2 d"),
        ] {
            assert_eq!(length(seconds), expected);
        }
    }

    #[test]
    fn a_certificate_that_runs_out_soon_or_has_is_told_apart() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        for (seconds, expected) in
            [(-1, ">expired<"), (DAY - 1, "\"soon\""), (14 * DAY - 1, ">! 13 d<"), (14 * DAY, ">14 d<")]
        {
            assert!(certificate(Some(at(seconds)), at(0)).contains(expected), "{seconds}");
        }
    }

    #[test]
    fn all_is_all_and_too_few_say_how_many_it_takes() {
        let found = |ms: Option<f64>, insufficient: bool, at_least_ms: Option<f64>| Percentile {
            percentile: 99.0,
            ms,
            low_ms: None,
            high_ms: None,
            insufficient,
            with_timeouts_ms: ms,
            at_least_ms,
        };
        assert!(latency(&found(Some(5.0), true, None), 12).contains("too few: 12&nbsp;of&nbsp;368"));
        assert_eq!(latency(&found(Some(5.0), false, Some(10_000.0)), 1_000), "≥ 10.0 s");
        assert_eq!(latency(&found(None, true, None), 0), NOTHING);
    }
}
