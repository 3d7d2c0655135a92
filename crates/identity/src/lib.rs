//! Identity keys and the decision whether a lead's person is known.
//!
//! [`keys`] takes out of a lead's fields what can name a person. The store finds the persons who have one of these
//! keys, and [`resolve`] decides among them. Two strangers made one is worse than one person twice: the first hands
//! somebody's history and owner to a stranger, the second is repaired by a merge. So only a personal e-mail address
//! decides alone; phone numbers and shared inboxes (`info@…`) need a name that does not contradict.
//!
//! For the same reason one key may be held by several persons: storage must not make keys unique.

mod keys;
mod names;
mod resolve;
mod shared;

#[cfg(test)]
mod tests;

pub use keys::keys;
pub use names::{Likeness, Names};
pub use resolve::{KnownPerson, Resolution, resolve};
pub use shared::is_shared_inbox;
