//! The contract between the host and a connector.
//!
//! The host owns the loop, HTTP, authentication, limits, retries, clock and storage; a connector owns meaning: which
//! request to make, how to read the answer, what class a failure is. Nothing in this crate can open a socket, sleep
//! or read the clock, and a connector's manifest has nothing else to do it with.
//!
//! A connector is found by its [`Manifest`], configured without any I/O ([`Connector::configure`]), and connected with
//! a [`Host`]. A [`Connection`] has each role present or absent; no default method pretends success.

mod activity;
mod directory;
mod fault;
mod hook_secrets;
mod html;
mod http;
mod inbound;
mod limit;
mod manifest;
mod oauth;
mod pulled;
mod retry_after;
mod roles;
mod secret;
pub mod signature;
mod source;
mod subscription;
mod target;
pub mod window;

pub use crate::activity::{Activity, ActivityBatch, Sight};
pub use crate::directory::{AccountBatch, CrmAccount, CrmPerson, Directory};
pub use crate::fault::{Fault, FaultClass};
pub use crate::hook_secrets::HookSecrets;
pub use crate::html::as_html;
pub use crate::http::{Access, Body, CallLane, Http, Request, Response, Shape};
pub use crate::inbound::{Check, Inbound, Item, Parts, Refusal, Reply, SplitError};
pub use crate::limit::{Gauge, LimitReport, LimitSpec, LimitStanding, Measure, Protocol};
pub use crate::manifest::{Auth, ConfigExample, Manifest, Role, Scope};
pub use crate::oauth::{ClientAuth, Endpoint, Granted, OAuth, scopes_at, text_at};
pub use crate::pulled::read_pulled;
pub use crate::retry_after::{http_date, retry_after};
pub use crate::roles::{Configured, Connection, Connector, FileEntry, Files, Host};
pub use crate::secret::Secret;
pub use crate::source::{Batch, Cursor, Fetched, Merge, Pull, RowProblem, Source, StreamSpec};
pub use crate::subscription::{Subscribed, Subscriber, Subscription};
pub use crate::target::{
    Capability, KeyProperty, KeyState, MARKER, OwnerEntry, OwnerRead, SendFailure, Target, Verdict, VerifyBy,
    Write, Written, bound,
};
pub use usher_model::ChangedBy;
