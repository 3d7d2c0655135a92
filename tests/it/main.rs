//! Whole-program tests: the house, the command line, the daemon against the simulators.

#![allow(clippy::unwrap_used)]

mod alerts;
mod architecture;
mod bad_input;
mod daemon;
mod disk;
mod installation;
mod restore;
mod stop;
mod verbs;
