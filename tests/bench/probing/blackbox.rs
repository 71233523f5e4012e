//! `prometheus-blackbox-exporter` on the same websites, asked as Prometheus asks it: a request for each probe, so many at a
//! time.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, stream};
use local_stack::{free_port, tools};
use reqwest::Client;
use tokio::time::sleep;

use crate::usage::{Usage, usage};

/// A running exporter.
pub(crate) struct Blackbox {
    process: Child,
    client: Client,
    port: u16,
}

impl Blackbox {
    /// Starts it, trusting a certificate authority.
    pub(crate) async fn start(directory: &Path, ca_file: &Path) -> Result<Self> {
        let program = tools::on_path("prometheus-blackbox-exporter").context(
            "prometheus-blackbox-exporter is not on the PATH: on Debian and Ubuntu, apt-get install \
             prometheus-blackbox-exporter",
        )?;
        let config = directory.join("blackbox.yml");
        let module = format!(
            "modules:\n  site:\n    prober: http\n    timeout: 10s\n    http:\n      preferred_ip_protocol: ip4\n      \
             tls_config:\n        ca_file: {}\n",
            ca_file.display()
        );
        fs::write(&config, module)?;
        let port = free_port()?;
        let mut command = Command::new(program);
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}")).arg("--log.level=error");
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(60)).build()?;
        let blackbox = Self { process, client, port };
        for _ in 0..200 {
            if blackbox.client.get(format!("http://127.0.0.1:{port}/-/healthy")).send().await.is_ok() {
                return Ok(blackbox);
            }
            sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("prometheus-blackbox-exporter does not answer")
    }

    /// Probes all of them, so many at a time. Returns each one's duration, none where it failed, and the time for all.
    pub(crate) async fn probe(&self, urls: &[String], at_a_time: usize) -> Result<(Vec<Option<Duration>>, Duration)> {
        let started = Instant::now();
        let probes = stream::iter(urls).map(|url| async move {
            let target = [("target", url.as_str()), ("module", "site")];
            let query: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(target).finish();
            let request = self.client.get(format!("http://127.0.0.1:{}/probe?{query}", self.port));
            let text = request.send().await?.text().await?;
            let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
            let succeeded = value("probe_success ") == Some(1.0);
            anyhow::Ok(value("probe_duration_seconds ").filter(|_| succeeded).map(Duration::from_secs_f64))
        });
        let durations: Vec<_> = probes.buffered(at_a_time).collect().await;
        let took = started.elapsed();
        Ok((durations.into_iter().collect::<Result<_>>()?, took))
    }

    /// What it has used so far.
    pub(crate) fn usage(&self) -> Result<Usage> {
        usage(self.process.id())
    }
}

impl Drop for Blackbox {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
