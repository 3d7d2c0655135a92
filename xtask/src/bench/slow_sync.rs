//! A disk whose syncs are slow: what a bench shows on a fast one says little about the machines that have none.

use std::path::Path;
use std::process::{Command, ExitStatus};

use anyhow::Context;

const SOURCE: &str = include_str!("slow_sync.c");

/// Milliseconds that each sync takes longer in this process, as set by [`again`].
const BY: &str = "SLOW_SYNC_MS";

/// Whether this process has slow syncs already.
pub(super) fn is_on() -> bool {
    std::env::var_os(BY).is_some()
}

/// Runs this very command once more, with syncs in it and in its children that take so much longer.
///
/// # Errors
/// Without a C compiler named `cc`.
pub(super) fn again(milliseconds: u32, folder: &Path) -> anyhow::Result<ExitStatus> {
    let (source, library) = (folder.join("slow_sync.c"), folder.join("slow_sync.so"));
    std::fs::write(&source, SOURCE).context("writing the library's source")?;
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"]).arg(&library).arg(&source);
    let compiled = compiler.status().context("starting the C compiler `cc`")?;
    anyhow::ensure!(compiled.success(), "the library does not compile");
    let mut command = Command::new(std::env::current_exe().context("finding this program")?);
    command.args(std::env::args_os().skip(1)).env("LD_PRELOAD", library).env(BY, milliseconds.to_string());
    command.status().context("starting this program again")
}
