//! The Pipedrive simulator: the endpoints of v1 and v2 that lead routing needs, as unkind as the vendor.

pub(crate) mod call;
pub(crate) mod change;
pub(crate) mod control;
pub(crate) mod cursor;
pub(crate) mod entities;
pub(crate) mod errors;
pub(crate) mod fields;
pub(crate) mod fields_api;
pub(crate) mod hooks;
pub(crate) mod hooks_api;
pub(crate) mod hooks_send;
pub(crate) mod http;
pub(crate) mod index;
pub(crate) mod kinds;
pub(crate) mod labels;
pub(crate) mod later;
pub(crate) mod leads;
pub(crate) mod limits;
pub(crate) mod list;
pub(crate) mod pipelines;
pub(crate) mod routes;
pub(crate) mod row;
pub(crate) mod search;
pub(crate) mod seed;
pub(crate) mod shape;
pub(crate) mod show;
pub(crate) mod sim;
pub(crate) mod state;
pub(crate) mod summary;
pub(crate) mod users;
pub(crate) mod values;

pub use fields::PipedriveField;
pub use kinds::{lead_number, lead_uuid};
pub use limits::{PipedriveLimits, PipedrivePlan};
pub use sim::{PipedriveSim, PipedriveToken};
pub use users::PipedriveUser;
