//! The simulators over real HTTP: each documented behaviour, each switch, and the official client.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "vendor/api.rs"]
mod api;
#[path = "vendor/batches.rs"]
mod batches;
#[path = "vendor/control.rs"]
mod control;
#[path = "vendor/faults.rs"]
mod faults;
#[path = "vendor/forms.rs"]
mod forms;
#[path = "vendor/hooks.rs"]
mod hooks;
#[path = "vendor/limits.rs"]
mod limits;
#[path = "vendor/oauth.rs"]
mod oauth;
#[path = "vendor/official_client.rs"]
mod official_client;
#[path = "vendor/records.rs"]
mod records;
#[path = "vendor/search.rs"]
mod search;
#[path = "vendor/size.rs"]
mod size;
