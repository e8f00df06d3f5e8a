//! The Lambda host: OTLP over HTTP events and from S3 objects, into the same library as the Collector's.
//!
//! No data logic is here. An event is taken apart ([`http`], [`objects`]), what it holds is made
//! protobuf ([`inflate`], [`json`]), and [`store`] gives it to the library with the time that is left.

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
pub mod store;
