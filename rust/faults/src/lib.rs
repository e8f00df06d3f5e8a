//! Tests of delivery: what is acknowledged is in the tables once, whatever fails.
//!
//! [`faultbox`] is a proxy that fails on purpose, for tests in any language (`src/bin/faultbox.rs`) and for
//! those here: [`run`] plays a seeded [`schedule`] of failures against several processes of the library
//! that share an in-memory [`catalog`] and [`storage`], then compares what they acknowledged with the
//! [`truth`]. `docs/faults.md` says what is tested and how a failure is replayed.

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
