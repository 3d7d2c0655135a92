//! Ports on loopback for programs that are stopped and started again.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

/// Where to look: below the ports that systems hand out by themselves (from 32,768 on Linux), which a connection of
/// anybody's could have taken by the time that a stopped program comes back.
const FIRST: u32 = 20_000;
const COUNT: u32 = 12_000;

/// A port that nobody listens on.
#[must_use]
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        // Another process begins somewhere else.
        let place = std::process::id().wrapping_mul(97).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(FIRST + place % COUNT).unwrap_or(u16::MAX);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
