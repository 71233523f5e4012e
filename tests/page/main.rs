//! What the tests of the page need beside `cargo local`, whose variables (`target/page/env`) are those of this program: the
//! past of some monitors in its topic, and what goes on in them; and stats for whoever has a token, without any probe, and
//! without a database. Says in a file where they are, and runs until it is stopped.

mod past;

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use fastrand::Rng;
use futures::future::try_join_all;
use jiff::Timestamp;
use local_stack::{
    event_source::{self, EventSourceConfig},
    functions::Functions,
    invoke_address,
    kafka::Stream,
    workspace,
};
use probe::stream::{Connection, Publisher, StreamConfig};
use shared::{
    env::{Env, process},
    record::Record,
};
use tokio::time::{interval, sleep};

/// Records on their way at once.
const AT_ONCE: usize = 2_000;
const TOKEN: &str = "a-token-for-everything-there-is";
const SCOPED_TOKEN: &str = "a-token-for-what-is-public";

#[tokio::main]
async fn main() -> Result<()> {
    let variables = |name: &str| process(name).with_context(|| format!("missing: {name}, of target/page/env"));
    let (database, page) = (variables("WM_DB_CONNECTION_STRING")?, variables("WM_PAGE_URL")?);
    let mut env = Env::new(&process);
    let stream = StreamConfig::from_env(&mut env);
    let config = env.finish(stream)?;
    let stream = Stream::new(Connection::open(&config).await?);
    let publisher = Publisher::new(stream.connection(), &config.topic)?;

    let now = Timestamp::now().as_second().div_euclid(60) * 60;
    let mut random = Rng::with_seed(1);
    let mut records = Vec::new();
    for series in past::ALL {
        for ago in series.slots() {
            records.push(series.record(ago, now, &mut random)?);
        }
    }
    eprintln!("{} records of the past", records.len());
    for records in records.chunks(AT_ONCE) {
        publish(&publisher, records).await?;
    }
    until_stored(&stream, &config.topic, &variables("WM_STREAM_CONSUMER_GROUP_ID")?).await?;
    eprintln!("all of them stored");
    let servers = start(database).await?;
    let url = |functions: &Functions| functions.client().page_url(0);
    let [tokens, empty, down] = &servers;
    let said = [
        ("PAGE_URL", page),
        ("PAGE_TOKEN_URL", url(tokens)?),
        ("PAGE_TOKEN", TOKEN.to_owned()),
        ("PAGE_SCOPED_TOKEN", SCOPED_TOKEN.to_owned()),
        ("PAGE_EMPTY_URL", url(empty)?),
        ("PAGE_DOWN_URL", url(down)?),
    ];
    let said: String = said.iter().map(|(name, value)| format!("export {name}='{value}'\n")).collect();
    let file = directory().join("servers");
    fs::write(file.with_extension("new"), said)?;
    fs::rename(file.with_extension("new"), file)?;
    go_on(&publisher, now, &mut random).await
}

fn directory() -> PathBuf {
    workspace().join("target/page")
}

async fn publish(publisher: &Publisher, records: &[Record]) -> Result<()> {
    try_join_all(records.iter().map(|record| publisher.publish(record))).await?;
    Ok(())
}

/// Waits until flush has taken all that is in the topic.
async fn until_stored(stream: &Stream, topic: &str, group: &str) -> Result<()> {
    loop {
        let source = EventSourceConfig::new(stream.clone(), topic, group);
        if tokio::task::spawn_blocking(move || event_source::is_drained(&source)).await?? {
            return Ok(());
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// Starts stats that takes tokens, stats whose database is empty, and stats that has none.
async fn start(database: String) -> Result<[Functions; 3]> {
    let start = |name: &'static str, database: &str, more: &[(&'static str, String)]| {
        let mut variables = vec![("WM_DB_CONNECTION_STRING", database.to_owned())];
        variables.extend(more.iter().cloned());
        let log = directory().join(format!("functions-{name}.log"));
        Functions::start(invoke_address(0)?, &variables, &log)
    };
    let empty = database.rsplit_once('/').map(|(server, _)| format!("{server}/postgres"));
    let empty = empty.context("WM_DB_CONNECTION_STRING is no URL")?;
    let public = [("WM_STATS_PUBLIC", "true".to_owned())];
    let tokens = [("WM_STATS_TOKENS", format!("{TOKEN} {SCOPED_TOKEN}:public"))];
    let starting = move || -> Result<_> {
        Ok([
            start("tokens", &database, &tokens)?,
            start("empty", &empty, &public)?,
            // Nobody listens there.
            start("down", "postgres://nobody@127.0.0.1:1/none?connect_timeout=1", &public)?,
        ])
    };
    tokio::task::spawn_blocking(starting).await?
}

/// Goes on with what there is to see of each minute.
async fn go_on(publisher: &Publisher, since: i64, random: &mut Rng) -> Result<()> {
    let mut clock = interval(Duration::from_secs(5));
    let mut done = since;
    loop {
        clock.tick().await;
        while done + 60 <= Timestamp::now().as_second() {
            done += 60;
            let ago = since - done;
            let going_on = past::ALL.into_iter().filter(|series| series.is_probed(ago));
            let records = going_on.map(|series| series.record(ago, since, random)).collect::<Result<Vec<_>>>()?;
            publish(publisher, &records).await?;
        }
    }
}
