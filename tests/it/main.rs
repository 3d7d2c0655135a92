//! Whole-program tests: the house, the command line, the daemon against the simulators.

#![allow(clippy::unwrap_used)]

mod architecture;
mod bad_input;
mod daemon;
mod installation;
mod limits;
mod verbs;
