//! Files on S3: what is stored, what happens when the service fails, and what is said about it.

mod chain;
mod failures;
mod files;
mod places;
pub mod stub;
pub mod tables;
mod vended;
