//! The `usher` binary: reads the command line, runs one verb, answers with an exit code.
//!
//! 0: fine. 1: what was given is wrong, and the message says what to do. 2: our fault, or the machine's.

mod attend;
mod cli;
mod daemon;
mod failure;
mod heart;
mod output;
mod registry;
mod setup;
mod tokens;

use std::process::ExitCode;

/// Also what SQLite allocates from; the feature's reason stands in Cargo.toml.
#[cfg(all(feature = "jemalloc", not(target_env = "msvc")))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // The TLS provider is chosen once for the process; a second choice would be a defect, and harmless.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::note(&format!("error: the program could not start its threads: {error}"));
            return ExitCode::from(2);
        }
    };
    runtime.block_on(cli::main())
}
