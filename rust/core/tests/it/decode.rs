//! The reader of the OTLP wire format: against prost, and against bytes that no encoder writes.

pub mod corpus;
mod differential;
pub mod encode;
mod errors;
mod hostile;
mod rules;
pub mod samples;
mod to_prost;
mod to_prost_metrics;
pub mod walk;
