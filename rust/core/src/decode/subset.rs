//! Copies some records of a request, unchanged, into a new request.
//!
//! The fields around a record (its resource, scope and metric, and unknown fields) are copied with it. Groups
//! without a kept record are omitted. Only lengths are encoded again.

use std::fmt;

use super::common::DEPRECATED_SCOPES;
use super::error::DecodeError;
use super::wire::{LENGTH_DELIMITED, Reader, Tag};
use crate::signal::{Signal, Table};
use crate::varint::write_varint;

/// The position of a record in a request.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    signal: Signal,
    /// Its table; `None` for a metric without data.
    pub table: Option<Table>,
    /// The index in each repeated field: resource, scope, record or metric, data point.
    at: [usize; 4],
}

/// The path of the record in its request.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = names(self.signal);
        let [resource, scope, record, point] = self.at;
        write!(
            f,
            "{}[{resource}].{}[{scope}].{}[{record}]",
            names[0], names[1], names[2]
        )?;
        match self.table {
            Some(table) if self.signal == Signal::Metrics => {
                write!(f, ".{}.data_points[{point}]", data_name(table))
            }
            _ => Ok(()),
        }
    }
}

/// Returns a request with the records for which `keep` returns true. It is called for each record in the
/// request's order, which is that of [`crate::convert`]. The result is empty if no record is kept.
///
/// # Errors
/// When the fields around the records are malformed. The records themselves are not read.
pub fn subset(
    signal: Signal,
    request: &[u8],
    keep: &mut dyn FnMut(Place) -> bool,
) -> Result<Vec<u8>, DecodeError> {
    let place = Place {
        signal,
        table: table(signal),
        at: [0; 4],
    };
    Ok(message(request, 0, place, keep)?.unwrap_or_default())
}

/// The depth of records and metrics.
pub(super) const RECORD: usize = 2;
/// The depth of data points, two levels below their metric: the message of the metric's kind is in between.
const POINT: usize = 3;

/// The data points field of every kind.
pub(super) const POINT_FIELD: u32 = 1;

/// The repeated field that leads to the records, by depth.
const FIELDS: [u32; 3] = [1, 2, 2];
/// The depth of scopes.
const SCOPE: usize = 1;

/// The repeated field that leads to the records in this message at `depth`, as conversion reads it.
pub(super) fn field_at(depth: usize, message: &[u8]) -> Result<u32, DecodeError> {
    let field = FIELDS.get(depth).copied().unwrap_or_default();
    if depth != SCOPE {
        return Ok(field);
    }
    let mut reader = Reader::new(message);
    while let Some(tag) = reader.tag()? {
        if tag.number == field {
            return Ok(field);
        }
        reader.skip(tag)?;
    }
    Ok(DEPRECATED_SCOPES)
}

/// The kept part of a message at `depth`; `None` if it has no kept record.
fn message(
    bytes: &[u8],
    depth: usize,
    mut place: Place,
    keep: &mut dyn FnMut(Place) -> bool,
) -> Result<Option<Vec<u8>>, DecodeError> {
    let mut kept = Kept::default();
    let mut reader = Reader::new(bytes);
    let field = field_at(depth, bytes)?;
    while let Some(tag) = reader.tag()? {
        if tag.number != field {
            kept.copy(bytes, &mut reader, tag)?;
            continue;
        }
        let element = reader.bytes(tag, "element")?;
        let inner = match (depth, place.signal) {
            (RECORD, Signal::Metrics) => metric(element, place, keep)?,
            (RECORD, _) => keep(place).then(|| element.to_vec()),
            _ => message(element, depth + 1, place, keep)?,
        };
        kept.element(tag, inner);
        if let Some(at) = place.at.get_mut(depth) {
            *at += 1;
        }
    }
    Ok(kept.into_message())
}

/// The offset of a metric's data, and the data. Of several kinds, the last one counts, as in
/// [`super::Metric`].
pub(super) fn last_data(metric: &[u8]) -> Result<Option<(usize, &[u8])>, DecodeError> {
    let mut reader = Reader::new(metric);
    let mut data = None;
    while let Some(tag) = reader.tag()? {
        match data_table(tag.number) {
            Some(table) => data = Some((tag.start, reader.bytes(tag, data_name(table))?)),
            None => reader.skip(tag)?,
        }
    }
    Ok(data)
}

/// A metric with the kept data points of the data that counts; other data is omitted.
fn metric(
    bytes: &[u8],
    mut place: Place,
    keep: &mut dyn FnMut(Place) -> bool,
) -> Result<Option<Vec<u8>>, DecodeError> {
    let data = last_data(bytes)?.map(|(start, _)| start);
    place.table = None;
    let Some(data) = data else {
        return Ok(keep(place).then(|| bytes.to_vec()));
    };
    let mut kept = Kept::default();
    let mut reader = Reader::new(bytes);
    while let Some(tag) = reader.tag()? {
        let Some(table) = data_table(tag.number) else {
            kept.copy(bytes, &mut reader, tag)?;
            continue;
        };
        let points = reader.bytes(tag, data_name(table))?;
        if tag.start == data {
            place.table = Some(table);
            kept.element(tag, data_points(points, place, keep)?);
        }
    }
    Ok(kept.into_message())
}

/// A metric's data with the kept points.
fn data_points(
    bytes: &[u8],
    mut place: Place,
    keep: &mut dyn FnMut(Place) -> bool,
) -> Result<Option<Vec<u8>>, DecodeError> {
    let mut kept = Kept::default();
    let mut reader = Reader::new(bytes);
    while let Some(tag) = reader.tag()? {
        if tag.number != POINT_FIELD {
            kept.copy(bytes, &mut reader, tag)?;
            continue;
        }
        let point = reader.bytes(tag, "data_points")?;
        kept.element(tag, keep(place).then(|| point.to_vec()));
        place.at[POINT] += 1;
    }
    Ok(kept.into_message())
}

/// A message under construction.
#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    has_records: bool,
}

impl Kept {
    /// Copies a field unchanged.
    fn copy(&mut self, message: &[u8], reader: &mut Reader<'_>, tag: Tag) -> Result<(), DecodeError> {
        reader.skip(tag)?;
        let field = message.get(tag.start..reader.position()).unwrap_or_default();
        self.bytes.extend_from_slice(field);
        Ok(())
    }

    /// Appends a message of a field that leads to records, if there is one.
    fn element(&mut self, tag: Tag, element: Option<Vec<u8>>) {
        let Some(element) = element else { return };
        self.has_records = true;
        let key = u64::from(tag.number) << 3 | u64::from(LENGTH_DELIMITED);
        write_varint(key, &mut self.bytes);
        write_varint(element.len() as u64, &mut self.bytes);
        self.bytes.extend_from_slice(&element);
    }

    fn into_message(self) -> Option<Vec<u8>> {
        self.has_records.then_some(self.bytes)
    }
}

/// The table of a signal that has only one.
fn table(signal: Signal) -> Option<Table> {
    match signal {
        Signal::Logs => Some(Table::Logs),
        Signal::Traces => Some(Table::Traces),
        Signal::Metrics => None,
    }
}

fn names(signal: Signal) -> [&'static str; 3] {
    match signal {
        Signal::Logs => ["resource_logs", "scope_logs", "log_records"],
        Signal::Traces => ["resource_spans", "scope_spans", "spans"],
        Signal::Metrics => ["resource_metrics", "scope_metrics", "metrics"],
    }
}

/// The table of a field of `Metric`'s oneof `data`.
fn data_table(field: u32) -> Option<Table> {
    match field {
        5 => Some(Table::Gauge),
        7 => Some(Table::Sum),
        9 => Some(Table::Histogram),
        10 => Some(Table::ExponentialHistogram),
        11 => Some(Table::Summary),
        _ => None,
    }
}

/// The field of `Metric`'s oneof `data` whose points the table holds.
fn data_name(table: Table) -> &'static str {
    match table {
        Table::Gauge => "gauge",
        Table::Sum => "sum",
        Table::Histogram => "histogram",
        Table::ExponentialHistogram => "exponential_histogram",
        Table::Summary => "summary",
        Table::Logs | Table::Traces => "data",
    }
}
