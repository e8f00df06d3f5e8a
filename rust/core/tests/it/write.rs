//! `write`: batches to data files, read back with the parquet crate.

mod align;
mod chunks;
mod files;
mod join;
mod layout;
mod metrics;
mod pages;
mod properties;
mod register;
mod support;
mod tables;
