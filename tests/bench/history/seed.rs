//! The Python CLI `wm`: its table, its insert, its query.

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader, Write as _},
    pin::pin,
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};
use flush::batch::{Batch, Observation};
use local_stack::tools;
use serde_json::json;
use shared::{Micros, timestamp};
use tokio_postgres::{Client, binary_copy::BinaryCopyInWriter, types::Type};

/// Its table, under a name that leaves ours alone.
pub(crate) const TABLE: &str = "create table seed (id bigserial primary key, url text not null, \
                                timestamp timestamp not null, http_status_code int, response_time_ms int)";

/// What it does with a batch, in its own language and with its own driver.
pub(crate) struct Python {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Python {
    /// Starts it with a connection to a database.
    pub(crate) fn start(connection_string: &str) -> Result<Self> {
        let (python, packages) = tools::psycopg2()?;
        let mut command = Command::new(python);
        command.args(["-c", include_str!("seed_insert.py"), connection_string]).env("PYTHONPATH", packages);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = process.stdout.take().context("the seed has no output")?;
        Ok(Self { process, output: BufReader::new(output) })
    }

    /// Inserts a batch; in how many seconds, by its own clock.
    pub(crate) fn insert(&mut self, batch: &Batch) -> Result<f64> {
        let row = |one: &Observation| {
            let millis = one.record.response_time_ms.map(|millis| millis.as_micros() / 1_000);
            json!([one.record.url, timestamp::format(one.record.timestamp), one.record.http_status_code, millis])
        };
        let rows: Vec<_> = batch.observations.iter().map(row).collect();
        let input = self.process.stdin.as_mut().context("the seed has no input")?;
        writeln!(input, "{}", json!(rows))?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        line.trim().parse().context("the seed did not say how long it took")
    }
}

impl Drop for Python {
    /// Without input it ends.
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().map(drop).unwrap_or_default();
    }
}

/// The same statements without Python: an INSERT of 100 rows at a time with the values in the text, in one transaction.
pub(crate) async fn insert(client: &Client, batch: &Batch) -> Result<()> {
    client.batch_execute("begin").await?;
    for page in batch.observations.chunks(100) {
        let mut statement = "insert into seed (url, timestamp, http_status_code, response_time_ms) values ".to_owned();
        for (index, observation) in page.iter().enumerate() {
            let record = &observation.record;
            let status = record.http_status_code.map_or("null".to_owned(), |status| status.to_string());
            let millis = record.response_time_ms.map_or(0, |millis| millis.as_micros() / 1_000);
            let comma = if index == 0 { "" } else { "," };
            let instant = timestamp::format(record.timestamp);
            write!(statement, "{comma}('{}','{instant}',{status},{millis})", record.url)?;
        }
        client.batch_execute(&statement).await?;
    }
    Ok(client.batch_execute("commit").await?)
}

/// The same rows, faster: only to fill the table that its query is asked of.
pub(crate) async fn fill(client: &Client, batch: &Batch) -> Result<()> {
    let types = [Type::TEXT, Type::TIMESTAMP, Type::INT4, Type::INT4];
    let copy = "copy seed (url, timestamp, http_status_code, response_time_ms) from stdin (format binary)";
    let mut writer = pin!(BinaryCopyInWriter::new(client.copy_in(copy).await?, &types));
    for observation in &batch.observations {
        let record = &observation.record;
        let micros = Micros::from(record.timestamp).0.unsigned_abs();
        let at = SystemTime::UNIX_EPOCH + Duration::from_micros(micros);
        let status = record.http_status_code.map(i32::from);
        let millis = record.response_time_ms.map(|millis| millis.as_micros() / 1_000);
        writer.as_mut().write(&[&record.url, &at, &status, &millis]).await?;
    }
    writer.finish().await?;
    Ok(())
}

/// Its query, with the window and the URL that it does not have.
pub(crate) fn query(from: Option<Micros>, url: Option<&str>) -> String {
    let mut conditions = Vec::new();
    conditions.extend(from.map(|from| format!("timestamp >= '{}'", timestamp::format(from.timestamp()))));
    conditions.extend(url.map(|url| format!("url = '{url}'")));
    let conditions = if conditions.is_empty() { String::new() } else { format!("where {}", conditions.join(" and ")) };
    format!(
        "select url, \
         percentile_cont(0.50) within group (order by response_time_ms) as p50, \
         percentile_cont(0.95) within group (order by response_time_ms) as p95, \
         percentile_cont(0.99) within group (order by response_time_ms) as p99 \
         from seed {conditions} group by url"
    )
}
