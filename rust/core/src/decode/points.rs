//! `metrics/v1/metrics.proto`: the data points of each kind of metric.

use super::common::KeyValue;
use super::error::DecodeError;
use super::repeated::{Occurrences, Repeated};
use super::scalars::PackedOrNot;
use super::wire::{FIXED64, Message, Reader, VARINT};

/// The oneof `value` of `NumberDataPoint` and `Exemplar`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NumberValue {
    /// `as_double`.
    Double(f64),
    /// `as_int`, sfixed64.
    Int(i64),
}

/// `NumberDataPoint`.
#[derive(Debug, Clone, Copy, Default)]
pub struct NumberDataPoint<'a> {
    /// Field 7.
    pub attributes: Repeated<'a, KeyValue<'a>>,
    /// Field 2, fixed64.
    pub start_time_unix_nano: u64,
    /// Field 3, fixed64.
    pub time_unix_nano: u64,
    /// Field 4 or 6; the last one set wins.
    pub value: Option<NumberValue>,
    /// Field 5.
    pub exemplars: Repeated<'a, Exemplar<'a>>,
    /// Field 8.
    pub flags: u32,
}

impl<'a> Message<'a> for NumberDataPoint<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut view = Self::default();
        let mut exemplars = Occurrences::of(5, "exemplars");
        let mut attributes = Occurrences::of(7, "attributes");
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag()? {
            match tag.number {
                2 => view.start_time_unix_nano = reader.fixed64(tag, "start_time_unix_nano")?,
                3 => view.time_unix_nano = reader.fixed64(tag, "time_unix_nano")?,
                4 => view.value = Some(NumberValue::Double(reader.double(tag, "as_double")?)),
                5 => exemplars.note(&mut reader, tag)?,
                6 => view.value = Some(NumberValue::Int(reader.sfixed64(tag, "as_int")?)),
                7 => attributes.note(&mut reader, tag)?,
                8 => view.flags = reader.uint32(tag, "flags")?,
                _ => reader.skip(tag)?,
            }
        }
        view.exemplars = exemplars.messages(bytes);
        view.attributes = attributes.messages(bytes);
        Ok(view)
    }
}

/// `HistogramDataPoint`.
#[derive(Debug, Clone, Copy, Default)]
pub struct HistogramDataPoint<'a> {
    /// Field 9.
    pub attributes: Repeated<'a, KeyValue<'a>>,
    /// Field 2, fixed64.
    pub start_time_unix_nano: u64,
    /// Field 3, fixed64.
    pub time_unix_nano: u64,
    /// Field 4, fixed64.
    pub count: u64,
    /// Field 5.
    pub sum: Option<f64>,
    /// Field 6, fixed64.
    pub bucket_counts: PackedOrNot<'a, u64>,
    /// Field 7, double.
    pub explicit_bounds: PackedOrNot<'a, f64>,
    /// Field 8.
    pub exemplars: Repeated<'a, Exemplar<'a>>,
    /// Field 10.
    pub flags: u32,
    /// Field 11.
    pub min: Option<f64>,
    /// Field 12.
    pub max: Option<f64>,
}

impl<'a> Message<'a> for HistogramDataPoint<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut view = Self::default();
        let mut bucket_counts = Occurrences::of(6, "bucket_counts");
        let mut explicit_bounds = Occurrences::of(7, "explicit_bounds");
        let mut exemplars = Occurrences::of(8, "exemplars");
        let mut attributes = Occurrences::of(9, "attributes");
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag()? {
            match tag.number {
                2 => view.start_time_unix_nano = reader.fixed64(tag, "start_time_unix_nano")?,
                3 => view.time_unix_nano = reader.fixed64(tag, "time_unix_nano")?,
                4 => view.count = reader.fixed64(tag, "count")?,
                5 => view.sum = Some(reader.double(tag, "sum")?),
                6 => bucket_counts.note_scalar(&mut reader, tag, FIXED64)?,
                7 => explicit_bounds.note_scalar(&mut reader, tag, FIXED64)?,
                8 => exemplars.note(&mut reader, tag)?,
                9 => attributes.note(&mut reader, tag)?,
                10 => view.flags = reader.uint32(tag, "flags")?,
                11 => view.min = Some(reader.double(tag, "min")?),
                12 => view.max = Some(reader.double(tag, "max")?),
                _ => reader.skip(tag)?,
            }
        }
        view.bucket_counts = bucket_counts.scalars(bytes, FIXED64);
        view.explicit_bounds = explicit_bounds.scalars(bytes, FIXED64);
        view.exemplars = exemplars.messages(bytes);
        view.attributes = attributes.messages(bytes);
        Ok(view)
    }
}

/// `ExponentialHistogramDataPoint`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExponentialHistogramDataPoint<'a> {
    /// Field 1.
    pub attributes: Repeated<'a, KeyValue<'a>>,
    /// Field 2, fixed64.
    pub start_time_unix_nano: u64,
    /// Field 3, fixed64.
    pub time_unix_nano: u64,
    /// Field 4, fixed64.
    pub count: u64,
    /// Field 5.
    pub sum: Option<f64>,
    /// Field 6, sint32.
    pub scale: i32,
    /// Field 7, fixed64.
    pub zero_count: u64,
    /// Field 8.
    pub positive: Option<Buckets<'a>>,
    /// Field 9.
    pub negative: Option<Buckets<'a>>,
    /// Field 10.
    pub flags: u32,
    /// Field 11.
    pub exemplars: Repeated<'a, Exemplar<'a>>,
    /// Field 12.
    pub min: Option<f64>,
    /// Field 13.
    pub max: Option<f64>,
    /// Field 14.
    pub zero_threshold: f64,
}

impl<'a> Message<'a> for ExponentialHistogramDataPoint<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut view = Self::default();
        let mut attributes = Occurrences::of(1, "attributes");
        let mut exemplars = Occurrences::of(11, "exemplars");
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag()? {
            match tag.number {
                1 => attributes.note(&mut reader, tag)?,
                2 => view.start_time_unix_nano = reader.fixed64(tag, "start_time_unix_nano")?,
                3 => view.time_unix_nano = reader.fixed64(tag, "time_unix_nano")?,
                4 => view.count = reader.fixed64(tag, "count")?,
                5 => view.sum = Some(reader.double(tag, "sum")?),
                6 => view.scale = reader.sint32(tag, "scale")?,
                7 => view.zero_count = reader.fixed64(tag, "zero_count")?,
                8 => view.positive = Some(reader.message(tag, "positive")?),
                9 => view.negative = Some(reader.message(tag, "negative")?),
                10 => view.flags = reader.uint32(tag, "flags")?,
                11 => exemplars.note(&mut reader, tag)?,
                12 => view.min = Some(reader.double(tag, "min")?),
                13 => view.max = Some(reader.double(tag, "max")?),
                14 => view.zero_threshold = reader.double(tag, "zero_threshold")?,
                _ => reader.skip(tag)?,
            }
        }
        view.attributes = attributes.messages(bytes);
        view.exemplars = exemplars.messages(bytes);
        Ok(view)
    }
}

/// `ExponentialHistogramDataPoint.Buckets`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Buckets<'a> {
    /// Field 1, sint32.
    pub offset: i32,
    /// Field 2, uint64.
    pub bucket_counts: PackedOrNot<'a, u64>,
}

impl<'a> Message<'a> for Buckets<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut view = Self::default();
        let mut bucket_counts = Occurrences::of(2, "bucket_counts");
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag()? {
            match tag.number {
                1 => view.offset = reader.sint32(tag, "offset")?,
                2 => bucket_counts.note_scalar(&mut reader, tag, VARINT)?,
                _ => reader.skip(tag)?,
            }
        }
        view.bucket_counts = bucket_counts.scalars(bytes, VARINT);
        Ok(view)
    }
}

/// `SummaryDataPoint`.
#[derive(Debug, Clone, Copy, Default)]
pub struct SummaryDataPoint<'a> {
    /// Field 7.
    pub attributes: Repeated<'a, KeyValue<'a>>,
    /// Field 2, fixed64.
    pub start_time_unix_nano: u64,
    /// Field 3, fixed64.
    pub time_unix_nano: u64,
    /// Field 4, fixed64.
    pub count: u64,
    /// Field 5.
    pub sum: f64,
    /// Field 6.
    pub quantile_values: Repeated<'a, ValueAtQuantile>,
    /// Field 8.
    pub flags: u32,
}

impl<'a> Message<'a> for SummaryDataPoint<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut view = Self::default();
        let mut quantile_values = Occurrences::of(6, "quantile_values");
        let mut attributes = Occurrences::of(7, "attributes");
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag()? {
            match tag.number {
                2 => view.start_time_unix_nano = reader.fixed64(tag, "start_time_unix_nano")?,
                3 => view.time_unix_nano = reader.fixed64(tag, "time_unix_nano")?,
                4 => view.count = reader.fixed64(tag, "count")?,
                5 => view.sum = reader.double(tag, "sum")?,
                6 => quantile_values.note(&mut reader, tag)?,
                7 => attributes.note(&mut reader, tag)?,
                8 => view.flags = reader.uint32(tag, "flags")?,
                _ => reader.skip(tag)?,
            }
        }
        view.quantile_values = quantile_values.messages(bytes);
        view.attributes = attributes.messages(bytes);
        Ok(view)
    }
}

/// `SummaryDataPoint.ValueAtQuantile`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ValueAtQuantile {
    /// Field 1.
    pub quantile: f64,
    /// Field 2.
    pub value: f64,
}

impl<'a> Message<'a> for ValueAtQuantile {
    fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut view = Self::default();
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag()? {
            match tag.number {
                1 => view.quantile = reader.double(tag, "quantile")?,
                2 => view.value = reader.double(tag, "value")?,
                _ => reader.skip(tag)?,
            }
        }
        Ok(view)
    }
}

/// `Exemplar`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Exemplar<'a> {
    /// Field 7.
    pub filtered_attributes: Repeated<'a, KeyValue<'a>>,
    /// Field 2, fixed64.
    pub time_unix_nano: u64,
    /// Field 3 or 6; the last one set wins.
    pub value: Option<NumberValue>,
    /// Field 4; as sent, of any length.
    pub span_id: &'a [u8],
    /// Field 5; as sent, of any length.
    pub trace_id: &'a [u8],
}

impl<'a> Message<'a> for Exemplar<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut view = Self::default();
        let mut filtered_attributes = Occurrences::of(7, "filtered_attributes");
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag()? {
            match tag.number {
                2 => view.time_unix_nano = reader.fixed64(tag, "time_unix_nano")?,
                3 => view.value = Some(NumberValue::Double(reader.double(tag, "as_double")?)),
                4 => view.span_id = reader.bytes(tag, "span_id")?,
                5 => view.trace_id = reader.bytes(tag, "trace_id")?,
                6 => view.value = Some(NumberValue::Int(reader.sfixed64(tag, "as_int")?)),
                7 => filtered_attributes.note(&mut reader, tag)?,
                _ => reader.skip(tag)?,
            }
        }
        view.filtered_attributes = filtered_attributes.messages(bytes);
        Ok(view)
    }
}
