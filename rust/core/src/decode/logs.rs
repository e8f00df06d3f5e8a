//! `logs/v1/logs.proto` and `collector/logs/v1/logs_service.proto`.

use super::common::{AnyValue, DEPRECATED_SCOPES, KeyValue, Resource, Scope, Text};
use super::error::DecodeError;
use super::repeated::{Occurrences, Repeated};
use super::wire::{Message, Reader};

/// `ExportLogsServiceRequest`, equal on the wire to `LogsData`.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogsRequest<'a> {
    /// Field 1.
    pub resource_logs: Repeated<'a, ResourceLogs<'a>>,
}

impl<'a> Message<'a> for LogsRequest<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Ok(Self {
            resource_logs: Occurrences::only(bytes, 1, "resource_logs")?,
        })
    }
}

/// `ResourceLogs`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ResourceLogs<'a> {
    /// Field 1.
    pub resource: Option<Resource<'a>>,
    /// Field 2; field 1000 if that is absent.
    pub scope_logs: Repeated<'a, ScopeLogs<'a>>,
    /// Field 3.
    pub schema_url: Text<'a>,
}

impl<'a> Message<'a> for ResourceLogs<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut view = Self::default();
        let mut scope_logs = Occurrences::of(2, "scope_logs");
        let mut deprecated = Occurrences::of(DEPRECATED_SCOPES, "instrumentation_library_logs");
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag()? {
            match tag.number {
                1 => view.resource = Some(reader.message(tag, "resource")?),
                2 => scope_logs.note(&mut reader, tag)?,
                3 => view.schema_url = Text(reader.bytes(tag, "schema_url")?),
                DEPRECATED_SCOPES => deprecated.note(&mut reader, tag)?,
                _ => reader.skip(tag)?,
            }
        }
        view.scope_logs = scope_logs.or(deprecated).messages(bytes);
        Ok(view)
    }
}

/// `ScopeLogs`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ScopeLogs<'a> {
    /// Field 1.
    pub scope: Option<Scope<'a>>,
    /// Field 2.
    pub log_records: Repeated<'a, LogRecord<'a>>,
    /// Field 3.
    pub schema_url: Text<'a>,
}

impl<'a> Message<'a> for ScopeLogs<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut view = Self::default();
        let mut log_records = Occurrences::of(2, "log_records");
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag()? {
            match tag.number {
                1 => view.scope = Some(reader.message(tag, "scope")?),
                2 => log_records.note(&mut reader, tag)?,
                3 => view.schema_url = Text(reader.bytes(tag, "schema_url")?),
                _ => reader.skip(tag)?,
            }
        }
        view.log_records = log_records.messages(bytes);
        Ok(view)
    }
}

/// `LogRecord`.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogRecord<'a> {
    /// Field 1, fixed64.
    pub time_unix_nano: u64,
    /// Field 11, fixed64.
    pub observed_time_unix_nano: u64,
    /// Field 2, enum.
    pub severity_number: i32,
    /// Field 3.
    pub severity_text: Text<'a>,
    /// Field 5; `Empty` when absent.
    pub body: AnyValue<'a>,
    /// Field 6.
    pub attributes: Repeated<'a, KeyValue<'a>>,
    /// Field 7.
    pub dropped_attributes_count: u32,
    /// Field 8, fixed32.
    pub flags: u32,
    /// Field 9; as sent, of any length.
    pub trace_id: &'a [u8],
    /// Field 10; as sent, of any length.
    pub span_id: &'a [u8],
    /// Field 12.
    pub event_name: Text<'a>,
}

impl<'a> Message<'a> for LogRecord<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut view = Self::default();
        let mut attributes = Occurrences::of(6, "attributes");
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag()? {
            match tag.number {
                1 => view.time_unix_nano = reader.fixed64(tag, "time_unix_nano")?,
                2 => view.severity_number = reader.enumeration(tag, "severity_number")?,
                3 => view.severity_text = Text(reader.bytes(tag, "severity_text")?),
                5 => view.body = reader.message(tag, "body")?,
                6 => attributes.note(&mut reader, tag)?,
                7 => {
                    view.dropped_attributes_count = reader.uint32(tag, "dropped_attributes_count")?;
                }
                8 => view.flags = reader.fixed32(tag, "flags")?,
                9 => view.trace_id = reader.bytes(tag, "trace_id")?,
                10 => view.span_id = reader.bytes(tag, "span_id")?,
                11 => {
                    view.observed_time_unix_nano = reader.fixed64(tag, "observed_time_unix_nano")?;
                }
                12 => view.event_name = Text(reader.bytes(tag, "event_name")?),
                _ => reader.skip(tag)?,
            }
        }
        view.attributes = attributes.messages(bytes);
        Ok(view)
    }
}
