//! Whole-program tests: the house, the command line, the daemon against the simulators.

#![allow(clippy::unwrap_used)]

mod alerts;
mod architecture;
mod bad_input;
mod companies;
mod crashes;
mod daemon;
mod demo;
mod disk;
mod effects;
mod installation;
mod intake;
mod keys;
mod kills;
mod limits;
mod lossy_disk;
mod objects;
mod pipedrive;
mod poison;
mod postgres;
mod restore;
mod stop;
mod tokens;
mod touches;
mod undo;
mod verbs;
