//! Delivery tests: every acknowledged row is in the tables exactly once, whatever fails.
//!
//! [`faultbox`] is a proxy that injects failures, for tests in any language (`src/bin/faultbox.rs`) and for
//! the tests here. [`run`] plays a seeded [`schedule`] of failures against several processes of the library
//! that share an in-memory [`catalog`] and [`storage`]. It then compares their acknowledgements with the
//! [`truth`]. `docs/faults.md` describes what is tested and how to replay a failure.

pub mod catalog;
pub mod control;
pub mod faultbox;
pub mod gate;
pub mod http;
pub mod process;
pub mod random;
pub mod requests;
pub mod run;
pub mod schedule;
mod sending;
pub mod settings;
pub mod storage;
pub mod successor;
pub mod truth;
