//! The Lambda host: passes OTLP from HTTP events and S3 objects to the library that the Collector also uses.
//!
//! It has no data logic. An event is parsed ([`http`], [`objects`]), its content is converted to protobuf
//! ([`inflate`], [`json`]), and [`store`] passes it to the library with the remaining time.

#![forbid(unsafe_code)]

pub mod config;
pub mod deadline;
pub mod emf;
pub mod event;
pub mod http;
pub mod inflate;
pub mod isolation;
pub mod json;
pub mod log;
pub mod objects;
mod protobuf;
mod repairs;
pub mod store;
