//! From a lead to the account that it belongs to, with the reason.
//!
//! Two steps. [`lead_keys`] says under which keys a lead's account may be found and [`account_keys`] under which an
//! account is filed; the store brings both together. [`choose`] then decides among the accounts found. A wrong
//! account sends the lead to a wrong owner, none at all only to the next rule: in doubt the answer is none.
//!
//! Only exact keys so far: registrable domains that belong to one company, and cleaned company names.

mod choose;
mod clues;
mod doubt;
mod keys;
mod legal;
mod likeness;

#[cfg(test)]
mod tests;

pub use choose::{Match, RunnerUp, choose};
pub use keys::{account_keys, lead_keys};
