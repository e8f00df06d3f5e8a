//! Files on S3: what is stored, what happens when the service fails, and what is said about it.

mod chain;
mod failures;
mod files;
pub mod stub;
mod tables;
mod vended;
