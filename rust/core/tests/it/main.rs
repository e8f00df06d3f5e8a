//! Tests of the library through its public interface, in one binary, with a module per topic.

mod catalog_rest;
mod catalog_sqlite;
mod commit_append;
mod commit_faults;
mod commit_foreign;
mod commit_merge;
mod commit_support;
mod convert;
mod decode;
mod storage;
mod strategies;
mod write;
