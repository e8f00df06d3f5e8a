//! Files on S3: what is stored, the behaviour when the service fails, and the errors.

mod answers;
mod chain;
mod checksums;
mod failures;
mod files;
mod places;
pub mod stub;
pub mod tables;
mod vended;
