//! Ready rigs: the simulated vendors, a folder of files, and a sender that only calls.

mod catcher;
mod drive;
mod drive_counter;
mod files;
mod forms;
mod hooks;
mod hub;
mod hub_counter;

use jiff::Timestamp;

pub use self::drive::{pipedrive, pipedrive_marked};
pub use self::files::files;
pub use self::forms::typeform;
pub use self::hooks::hooks;
pub use self::hub::{hubspot, hubspot_deals, hubspot_keyed, hubspot_leads};

/// An instant of the simulators' clock.
fn instant(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or_default()
}
