//! Health: what the steps, the connections and the clock tell, what a watchdog makes of it, and which alerts that means.

mod book;
mod signs;
#[cfg(test)]
mod tests;
mod watchdog;

pub use book::{Notice, NoticeKind};
pub use signs::{Health, Signs};
pub use watchdog::Watchdog;
