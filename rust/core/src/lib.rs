//! OpenTelemetry in, Apache Iceberg tables out.
//!
//! Data flows one way, and each stage is one folder with one public entry and one output type:
//!
//! ```text
//! bytes ──decode──▶ borrowed views ──convert──▶ TableBatch ──write──▶ DataFile ──commit──▶ Outcome
//!        pure, no I/O, no clock, no async           │          first I/O         one snapshot per table per flush
//! ```
//!
//! [`decode`] and [`convert`] are pure: no I/O, no clock, no async, so the same bytes give the same
//! rows through every host. Only [`pipeline`] names all stages. A stage may use [`schema`],
//! [`error`], [`reason`], [`signal`], [`request`] and [`config`], and the output type of the stage before it.

#![forbid(unsafe_code)]

pub mod calendar;
pub mod catalog;
mod cause;
mod clock;
pub mod commit;
pub mod compact;
pub mod config;
pub mod convert;
pub mod decode;
pub mod error;
pub mod pipeline;
mod random;
pub mod reason;
pub mod request;
pub mod schema;
pub mod signal;
pub mod write;

pub use error::{Error, ErrorKind, Result, RetryClass, panic_text};
pub use pipeline::{
    Batch, Delivery, Export, Merges, Outcome, ParquetFile, Pipeline, Registered, Registration,
};
pub use reason::{Reason, ReasonCounts};
pub use request::{IdRange, Part, RequestId};
pub use signal::{Signal, Table};
