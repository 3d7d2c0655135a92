//! The simulators over real HTTP: each documented behaviour, each switch, and the official client.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "vendor/api.rs"]
mod api;
#[path = "vendor/batches.rs"]
mod batches;
#[path = "vendor/control.rs"]
mod control;
#[path = "vendor/crm.rs"]
mod crm;
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
#[path = "vendor/pipedrive.rs"]
mod pipedrive;
#[path = "vendor/pipedrive_client.rs"]
mod pipedrive_client;
#[path = "vendor/pipedrive_documents.rs"]
mod pipedrive_documents;
#[path = "vendor/pipedrive_faults.rs"]
mod pipedrive_faults;
#[path = "vendor/pipedrive_hooks.rs"]
mod pipedrive_hooks;
#[path = "vendor/pipedrive_leads.rs"]
mod pipedrive_leads;
#[path = "vendor/pipedrive_limits.rs"]
mod pipedrive_limits;
#[path = "vendor/pipedrive_oauth.rs"]
mod pipedrive_oauth;
#[path = "vendor/pipedrive_records.rs"]
mod pipedrive_records;
#[path = "vendor/pipedrive_schema.rs"]
mod pipedrive_schema;
#[path = "vendor/pipedrive_search.rs"]
mod pipedrive_search;
#[path = "vendor/records.rs"]
mod records;
#[path = "vendor/search.rs"]
mod search;
#[path = "vendor/size.rs"]
mod size;
