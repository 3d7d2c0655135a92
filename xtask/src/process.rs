//! What a process costs, as Linux counts it, and how one is asked to stop.

use std::fs;
use std::process::Command;

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// Linux reports CPU time to programs in hundredths of a second, whatever the kernel's own tick is.
const TICKS_PER_SECOND: f64 = 100.0;

/// What a process has used so far.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// CPU seconds in the program.
    pub(crate) user: f64,
    /// CPU seconds in the kernel.
    pub(crate) system: f64,
    /// Memory in use now, KiB.
    pub(crate) rss_kib: u64,
    /// Of this, what is no page of a file: the program's own data, without its code. KiB.
    pub(crate) anon_kib: u64,
    /// The most that was in use since the start or the last [`reset_peak`], KiB.
    pub(crate) peak_kib: u64,
}

impl Usage {
    /// User and kernel together, seconds.
    pub(crate) fn cpu(self) -> f64 {
        self.user + self.system
    }

    /// Reads `/proc`; `None` if there is no such process.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in brackets may hold spaces; the fields after it are counted from `state`.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let kib = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse().ok()
        };
        Some(Self {
            user: ticks(11)? / TICKS_PER_SECOND,
            system: ticks(12)? / TICKS_PER_SECOND,
            rss_kib: kib("VmRSS:")?,
            anon_kib: kib("RssAnon:")?,
            peak_kib: kib("VmHWM:")?,
        })
    }

    /// Of this process.
    pub(crate) fn own() -> Self {
        Self::of(std::process::id()).unwrap_or_default()
    }
}

/// Counts this process's peak memory from now on.
pub(crate) fn reset_peak() {
    // Where the kernel does not allow it the peak counts from the start, which can only look worse.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// Open files and sockets of a process.
pub(crate) fn handles(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Sends a process a signal by its name, as `TERM`.
pub(crate) fn signal(pid: u32, name: &str) -> anyhow::Result<()> {
    let status =
        Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().context("starting sh")?;
    anyhow::ensure!(status.success(), "process {pid} got no {name}");
    Ok(())
}
