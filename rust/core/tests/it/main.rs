//! Tests of the library through its public interface, in one binary, with a module per topic.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![allow(
    clippy::decimal_bitwise_operands,
    clippy::format_collect,
    clippy::from_iter_instead_of_collect,
    clippy::items_after_statements,
    clippy::ref_option_ref,
    clippy::unnecessary_wraps,
    reason = "matters of taste that tests read well without"
)]

mod arrival;
mod batches;
mod batches_out_of_sight;
mod catalog_rest;
mod catalog_sqlite;
mod catalog_sqlite_database;
mod catalog_sqlite_evolve;
mod catalog_sqlite_places;
mod commit_append;
mod commit_expire;
mod commit_faults;
mod commit_foreign;
mod commit_forgetful;
mod commit_lagging;
mod commit_merge;
mod commit_overtaken;
mod commit_receipts;
mod commit_receipts_found;
mod commit_renamed;
mod commit_replace;
mod commit_requests;
mod commit_support;
mod commit_window;
mod compaction;
mod convert;
mod dead_letters;
mod decode;
mod found;
mod logged;
mod odd_manifests;
mod own_process;
mod s3tables;
mod storage;
mod strategies;
mod write;
