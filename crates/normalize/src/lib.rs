//! Cleaners and their lists: email, phone, domain, company name, country, person name, number, text.
//!
//! Every cleaner is a pure function, never panics, and is idempotent: cleaning what it made changes nothing.
//! One that cannot clean answers a [`Reason`], which contains no personal data. The original stays with the
//! caller; cleaned forms are for keys, comparison and tidy display.
//!
//! The first use of [`phone`] loads metadata for all countries (seconds in a debug build): call
//! [`warm_up`] off the hot path at start.

mod company;
mod country;
mod domain;
mod email;
mod lists;
mod number;
mod person;
mod phone;
mod reason;
mod text;

#[cfg(test)]
mod tests;

pub use company::{CompanyName, company};
pub use country::{Country, country};
pub use domain::{Domain, domain};
pub use email::{Email, email};
pub use lists::{is_disposable, is_free_mail, is_shared_platform};
pub use number::number;
pub use person::{PersonName, person_name};
pub use phone::{Phone, phone, warm_up};
pub use reason::Reason;
pub use text::{ascii_key, key, lower, tidy};
