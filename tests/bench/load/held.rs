//! What a process holds, as Linux tells it.

use anyhow::{Context as _, Result};

/// What a process holds now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    /// Memory that is resident, in megabytes.
    pub(crate) memory: f64,
    /// The most that was, in megabytes, since [`forget_peak`].
    pub(crate) peak: f64,
    /// Threads.
    pub(crate) threads: f64,
    /// Open files and connections.
    pub(crate) files: f64,
}

/// Begins to look for the peak anew.
pub(crate) fn forget_peak(pid: u32) -> Result<()> {
    // proc(5): /proc/PID/clear_refs.
    Ok(std::fs::write(format!("/proc/{pid}/clear_refs"), "5")?)
}

/// What a process holds now.
pub(crate) fn held(pid: u32) -> Result<Held> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let value = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let value = line.and_then(|line| line.trim().split(' ').next()?.parse::<f64>().ok());
        value.context("/proc/PID/status has another form")
    };
    Ok(Held {
        memory: value("VmRSS:")? * 1024.0 / 1e6,
        peak: value("VmHWM:")? * 1024.0 / 1e6,
        threads: value("Threads:")?,
        files: std::fs::read_dir(format!("/proc/{pid}/fd"))?.count() as f64,
    })
}
