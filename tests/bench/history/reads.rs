//! Answers: stats beside the seed's query, and both beside the truth.

use std::time::Instant;

use anyhow::{Result, ensure};
use shared::Micros;
use stats::history::{HistoryQuery, read};

use crate::{
    report::{Report, median},
    seed,
    store::Store,
};

const DAY: i64 = 86_400_000_000;
const FRACTIONS: [f64; 3] = [0.5, 0.95, 0.99];
/// The seed's query is asked so often, ours oftener.
const SEED_RUNS: usize = 3;
const RUNS: usize = 15;

/// The answer to a query.
struct Answer {
    seconds: f64,
    is_exact: bool,
    bound: f64,
    /// Each URL with its percentiles, in microseconds.
    urls: Vec<(String, [f64; 3])>,
}

async fn ask(store: &Store, days: Option<i64>, url: Option<&str>) -> Result<Answer> {
    let urls = url.map(|url| [url.to_owned()]);
    let query = HistoryQuery {
        urls: urls.as_ref().map(<[String; 1]>::as_slice),
        from: days.map(|days| Micros(store.now.0 - days * DAY)),
        to: days.map(|_| store.now),
        ..HistoryQuery::default()
    };
    let mut times = Vec::new();
    let mut answer = None;
    for _ in 0..RUNS {
        let timed = Instant::now();
        let history = read(&store.client, &query).await?;
        let (mut is_exact, mut bound, mut urls) = (true, 0.0_f64, Vec::new());
        for mut target in history.targets {
            is_exact &= target.total.is_exact();
            bound = bound.max(target.total.relative_error());
            urls.extend(target.total.quantiles(FRACTIONS).map(|percentiles| (target.target.url, percentiles)));
        }
        times.push(timed.elapsed().as_secs_f64());
        answer = Some(Answer { seconds: 0.0, is_exact, bound, urls });
    }
    let answer = answer.map(|answer| Answer { seconds: median(&mut times), ..answer });
    answer.ok_or_else(|| anyhow::anyhow!("nothing was asked"))
}

/// The median time of the answer over everything.
pub(crate) async fn all_time(store: &Store) -> Result<f64> {
    Ok(ask(store, None, None).await?.seconds)
}

/// Every window against the seed's query and against the rows. Returns the median time of the answer over everything.
pub(crate) async fn compare(store: &Store, report: &mut Report) -> Result<f64> {
    let windows = [("all time", None), ("24 h", Some(1)), ("7 d", Some(7)), ("30 d", Some(30))];
    let bars = [("≥ 400", ""), ("≥ 50, exact", "≤ 10 ms"), ("≥ 50, exact", "≤ 10 ms"), ("≥ 50", "≤ 10 ms")];
    let url: String = store.client.query_one("select url from targets order by id limit 1", &[]).await?.get(0);
    let mut everything = f64::NAN;
    let mut errors = Vec::new();
    for ((window, days), (bar, _)) in windows.into_iter().zip(bars) {
        let from = days.map(|days| Micros(store.now.0 - days * DAY));
        let seed = seed_query(store, days, None).await?;
        let answer = ask(store, days, None).await?;
        let how = if answer.is_exact { "exact" } else { "days from histograms" };
        let what = format!("all targets, {window}, {} M probes: seed's query → stats ({how})", store.millions);
        report.speedup(&what, seed, answer.seconds, bar);
        if days.is_none() {
            everything = answer.seconds;
        }
        errors.push((window, worst(store, from, &answer).await?, answer.bound));
    }
    for (window, days) in windows {
        let seed = seed_query(store, days, Some(&url)).await?;
        let answer = ask(store, days, Some(&url)).await?;
        ensure!(answer.is_exact, "one target over {window} is not exact");
        report.speedup(&format!("one target, {window}: seed's query → stats (exact)"), seed, answer.seconds, "≤ 10 ms");
    }
    for (window, worst, bound) in errors {
        let bar = format!("≤ {:.2} %", bound * 100.0);
        report.row(
            &format!("worst relative error of p50, p95, p99 over {window}"),
            format!("{:.3} %", worst * 100.0),
            "beside percentile_cont over all rows",
            &bar,
        );
    }
    Ok(everything)
}

/// The median time of the seed's query over so many days, or over everything.
pub(crate) async fn seed_query(store: &Store, days: Option<i64>, url: Option<&str>) -> Result<f64> {
    let query = seed::query(days.map(|days| Micros(store.now.0 - days * DAY)), url);
    let mut times = Vec::new();
    for _ in 0..SEED_RUNS {
        let timed = Instant::now();
        let rows = store.client.query(&query, &[]).await?;
        times.push(timed.elapsed().as_secs_f64());
        ensure!(!rows.is_empty(), "the seed's query found nothing");
    }
    Ok(median(&mut times))
}

/// The largest relative error of an answer.
async fn worst(store: &Store, from: Option<Micros>, answer: &Answer) -> Result<f64> {
    let truth = "select url, percentile_cont(array[0.5, 0.95, 0.99]) within group (order by response_time_us) \
                 from probes join targets on targets.id = target_id \
                 where http_status_code is not null and ($1::timestamptz is null or probed_at >= $1) \
                 and ($2::timestamptz is null or probed_at < $2) group by url order by url";
    let rows = store.client.query(truth, &[&from, &from.map(|_| store.now)]).await?;
    ensure!(rows.len() == answer.urls.len(), "{} URLs in the answer, {} in truth", answer.urls.len(), rows.len());
    let mut worst = 0.0_f64;
    for (row, (url, percentiles)) in rows.iter().zip(&answer.urls) {
        ensure!(row.get::<_, &str>(0) == url, "the URLs of the answer are not those of the rows");
        for (found, expected) in percentiles.iter().zip(row.get::<_, Vec<f64>>(1)) {
            worst = worst.max((found - expected).abs() / expected);
        }
    }
    // What the two sums differ by where floating point rounds in another order.
    Ok(if worst < 1e-12 { 0.0 } else { worst })
}
