//! Routing: who gets a lead, and why.
//!
//! Pure: `decide(policy, roster, input, state, now, seed)` answers the same for the same arguments, byte for byte.
//! A [`Policy`] is a checked `routing.yaml`; a [`Roster`] ties its reps to the owners of the CRM; a [`State`] holds
//! the balances of the pools' ledgers; an [`Outcome`] is what was resolved, with the trace that says why.
//!
//! The steps are: the guard for people who have an owner already, the rules in order, the candidates with their
//! eliminations, the pool's pick, and where nobody can take the lead: wait, overflow, fallback. A lead waits once,
//! however many pools it overflows to; the fallback takes a lead even off hours.

mod case;
mod decide;
mod field;
mod ledger;
mod load;
mod outcome;
mod policy;
mod pools;
mod resolve;
mod roster;
mod scope;
mod seat;
mod words;

#[cfg(test)]
mod tests;

pub use decide::decide;
pub use ledger::State;
pub use outcome::{Input, Outcome, TurnLine};
pub use policy::{Assign, IfNobody, Member, Policy, Pool, PoolIndex, Rep, RepIndex, Rule, Strategy, Target};
pub use roster::Roster;
pub use scope::schema;
pub use seat::{nobodies, stands_for_nobody};
