//! `logs/v1/logs.proto` and `collector/logs/v1/logs_service.proto`.

use super::common::{AnyValue, KeyValue, Resource, Scope, Text};
use super::wire::Repeated;

/// `ExportLogsServiceRequest`, equal on the wire to `LogsData`.
#[derive(Debug, Clone, Copy)]
pub struct LogsRequest<'a> {
    /// Field 1.
    pub resource_logs: Repeated<'a, ResourceLogs<'a>>,
}

/// `ResourceLogs`.
#[derive(Debug, Clone, Copy)]
pub struct ResourceLogs<'a> {
    /// Field 1.
    pub resource: Option<Resource<'a>>,
    /// Field 2.
    pub scope_logs: Repeated<'a, ScopeLogs<'a>>,
    /// Field 3.
    pub schema_url: Text<'a>,
}

/// `ScopeLogs`.
#[derive(Debug, Clone, Copy)]
pub struct ScopeLogs<'a> {
    /// Field 1.
    pub scope: Option<Scope<'a>>,
    /// Field 2.
    pub log_records: Repeated<'a, LogRecord<'a>>,
    /// Field 3.
    pub schema_url: Text<'a>,
}

/// `LogRecord`.
#[derive(Debug, Clone, Copy)]
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
