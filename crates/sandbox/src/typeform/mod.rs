//! The Typeform simulator: responses, webhooks, and the form tool's own CRM integration.

pub(crate) mod http;
pub(crate) mod responses;
pub(crate) mod sim;
pub(crate) mod state;
pub(crate) mod webhooks;

pub use sim::{Submission, Taken, TypeformSim};
pub use state::{Field, FormSpec};
pub use webhooks::sign;
