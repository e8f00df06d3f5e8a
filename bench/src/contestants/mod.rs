//! The libraries that are measured, and the stages. Each library is used as its own documentation describes.

pub mod otel_arrow;
pub mod otlp2records;
pub mod ours;
pub mod prost;

use crate::Failure;
use crate::payloads::Payload;
use crate::scan;

/// A measured stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Tags and lengths of every message and nothing else: the floor of any reader.
    Scan,
    /// Our decode: reads every field of every record and keeps nothing.
    OurDecode,
    /// prost and opentelemetry-proto: the request decoded to messages.
    ProstDecode,
    /// Ours, OTLP to Arrow.
    OurArrow,
    /// otlp2records, OTLP to Arrow.
    RecordsArrow,
    /// otel-arrow, OTLP to its record batches.
    OtelArrow,
    /// Ours, OTLP to Parquet: full tables.
    OurParquet,
    /// otlp2records, OTLP to Parquet.
    RecordsParquet,
    /// otel-arrow, OTLP to Parquet.
    OtelParquet,
}

impl Stage {
    /// All of them, in the order of the results.
    pub const ALL: [Stage; 9] = [
        Stage::Scan,
        Stage::OurDecode,
        Stage::ProstDecode,
        Stage::OurArrow,
        Stage::RecordsArrow,
        Stage::OtelArrow,
        Stage::OurParquet,
        Stage::RecordsParquet,
        Stage::OtelParquet,
    ];

    /// Its name in the results and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Scan => "scan",
            Stage::OurDecode => "decode-ours",
            Stage::ProstDecode => "decode-prost",
            Stage::OurArrow => "arrow-ours",
            Stage::RecordsArrow => "arrow-otlp2records",
            Stage::OtelArrow => "arrow-otel-arrow",
            Stage::OurParquet => "parquet-ours",
            Stage::RecordsParquet => "parquet-otlp2records",
            Stage::OtelParquet => "parquet-otel-arrow",
        }
    }
}

/// The result of a stage for a payload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Made {
    /// Log records, spans or points in the result.
    pub records: usize,
    /// Records that the library leaves out by design.
    pub left_out: usize,
    /// Bytes of the Parquet files; 0 before that stage.
    pub file_bytes: usize,
}

impl Made {
    /// Records without files.
    pub fn records(records: usize) -> Self {
        Self {
            records,
            ..Self::default()
        }
    }
}

/// Everything that a measurement needs.
pub struct Contestants {
    ours: ours::Ours,
}

impl Contestants {
    /// Prepares tables, as a catalog would have them.
    pub fn new() -> Result<Self, Failure> {
        Ok(Self {
            ours: ours::Ours::in_memory()?,
        })
    }

    /// Runs a stage once.
    pub fn run(&self, stage: Stage, payload: &Payload) -> Result<Made, Failure> {
        match stage {
            Stage::Scan => scan::records(payload),
            Stage::OurDecode => ours::decode(payload),
            Stage::ProstDecode => prost::decode(payload),
            Stage::OurArrow => ours::to_arrow(payload),
            Stage::RecordsArrow => otlp2records::to_arrow(payload),
            Stage::OtelArrow => otel_arrow::to_arrow(payload),
            Stage::OurParquet => self.ours.to_parquet(payload),
            Stage::RecordsParquet => otlp2records::to_parquet(payload),
            Stage::OtelParquet => otel_arrow::to_parquet(payload),
        }
    }
}
