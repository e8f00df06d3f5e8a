//! Integration tests of the core, one binary with a module per topic.

mod decode;
mod strategies;
//! Tests of the library through its public interface, in one binary.

mod catalog_sqlite;
mod commit_append;
mod commit_faults;
mod commit_merge;
mod commit_support;
