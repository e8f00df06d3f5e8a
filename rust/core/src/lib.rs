//! OpenTelemetry in, Apache Iceberg tables out.
//!
//! ```text
//! bytes ──decode──▶ borrowed views ──convert──▶ TableBatch ──write──▶ DataFile ──commit──▶ Outcome
//!        pure, no I/O, no clock, no async           │          first I/O         one snapshot per table per flush
//! ```
//!
//! Dependencies point one way: [`decode`], [`convert`], [`write`], [`commit`]. [`commit`] and [`compact`] also use
//! [`catalog`]; [`compact`] uses [`write`] and [`commit`]. Only [`pipeline`] drives all of them. Every stage may use
//! [`schema`], [`config`], [`error`], [`reason`], [`request`] and [`signal`].
//!
//! [`catalog`] and the Lambda reach files through [`storage`].
//!
//! [`decode`] and [`convert`] are pure: the same bytes give the same rows in every host.
//!
//! Hosts use [`Pipeline`], [`Config`](config::Config) and the types at the root of this crate. The other modules are
//! public for the hosts in this repository, its tests and its benchmarks, and may change.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use otlp2iceberg::config::Config;
//! use otlp2iceberg::{Export, Part, Pipeline, RequestId, Signal};
//! use tokio_util::sync::CancellationToken;
//!
//! # async fn store(payload: &[u8]) -> otlp2iceberg::Result<()> {
//! let config = Config::from_json(br#"{"catalog": {"warehouse": "/var/lib/otel/warehouse"}}"#)?;
//! let pipeline = Pipeline::open(config).await?;
//! // Sent again with the same id, the request is recognised and not stored twice.
//! let id = RequestId { writer: [7; 16], sequence: 1 };
//! let outcome = pipeline
//!     .export(Export {
//!         signal: Signal::Logs,
//!         payload,
//!         parts: &[Part { id, len: payload.len() as u64 }],
//!         received_unix_nano: 0,
//!         cancel: CancellationToken::new(),
//!         timeout: Duration::from_secs(30),
//!     })
//!     .await?;
//! println!("{} rows in {} files", outcome.rows, outcome.files);
//! pipeline.close().await;
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod aws;
mod byte_hash;
pub mod calendar;
pub mod catalog;
mod cause;
mod clock;
pub mod commit;
pub mod compact;
pub mod config;
pub mod convert;
mod deadline;
pub mod decode;
pub mod error;
mod hex;
pub mod pipeline;
mod random;
pub mod reason;
pub mod request;
pub mod schema;
pub mod signal;
pub mod storage;
mod table_properties;
mod varint;
pub mod write;

pub use error::{Error, ErrorKind, Result, RetryClass, panic_text};
pub use pipeline::{
    Batch, CompactionCounts, Delivery, Export, Outcome, ParquetFile, Pipeline, Registered, Registration,
};
pub use reason::{Reason, ReasonCounts};
pub use request::{IdRange, Part, RequestId};
pub use signal::{Signal, Table};
