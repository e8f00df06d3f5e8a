//! `trace/v1/trace.proto` and `collector/trace/v1/trace_service.proto`.

use super::common::{KeyValue, Resource, Scope, Text};
use super::wire::Repeated;

/// `ExportTraceServiceRequest`, equal on the wire to `TracesData`.
#[derive(Debug, Clone, Copy)]
pub struct TracesRequest<'a> {
    /// Field 1.
    pub resource_spans: Repeated<'a, ResourceSpans<'a>>,
}

/// `ResourceSpans`.
#[derive(Debug, Clone, Copy)]
pub struct ResourceSpans<'a> {
    /// Field 1.
    pub resource: Option<Resource<'a>>,
    /// Field 2.
    pub scope_spans: Repeated<'a, ScopeSpans<'a>>,
    /// Field 3.
    pub schema_url: Text<'a>,
}

/// `ScopeSpans`.
#[derive(Debug, Clone, Copy)]
pub struct ScopeSpans<'a> {
    /// Field 1.
    pub scope: Option<Scope<'a>>,
    /// Field 2.
    pub spans: Repeated<'a, Span<'a>>,
    /// Field 3.
    pub schema_url: Text<'a>,
}

/// `Span`.
#[derive(Debug, Clone, Copy)]
pub struct Span<'a> {
    /// Field 1; as sent, of any length.
    pub trace_id: &'a [u8],
    /// Field 2; as sent, of any length.
    pub span_id: &'a [u8],
    /// Field 3.
    pub trace_state: Text<'a>,
    /// Field 4; as sent, of any length.
    pub parent_span_id: &'a [u8],
    /// Field 16, fixed32.
    pub flags: u32,
    /// Field 5.
    pub name: Text<'a>,
    /// Field 6, enum.
    pub kind: i32,
    /// Field 7, fixed64.
    pub start_time_unix_nano: u64,
    /// Field 8, fixed64.
    pub end_time_unix_nano: u64,
    /// Field 9.
    pub attributes: Repeated<'a, KeyValue<'a>>,
    /// Field 10.
    pub dropped_attributes_count: u32,
    /// Field 11.
    pub events: Repeated<'a, Event<'a>>,
    /// Field 12.
    pub dropped_events_count: u32,
    /// Field 13.
    pub links: Repeated<'a, Link<'a>>,
    /// Field 14.
    pub dropped_links_count: u32,
    /// Field 15.
    pub status: Option<Status<'a>>,
}

/// `Span.Event`.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// Field 1, fixed64.
    pub time_unix_nano: u64,
    /// Field 2.
    pub name: Text<'a>,
    /// Field 3.
    pub attributes: Repeated<'a, KeyValue<'a>>,
    /// Field 4.
    pub dropped_attributes_count: u32,
}

/// `Span.Link`.
#[derive(Debug, Clone, Copy)]
pub struct Link<'a> {
    /// Field 1; as sent, of any length.
    pub trace_id: &'a [u8],
    /// Field 2; as sent, of any length.
    pub span_id: &'a [u8],
    /// Field 3.
    pub trace_state: Text<'a>,
    /// Field 4.
    pub attributes: Repeated<'a, KeyValue<'a>>,
    /// Field 5.
    pub dropped_attributes_count: u32,
    /// Field 6, fixed32.
    pub flags: u32,
}

/// `Status`.
#[derive(Debug, Clone, Copy)]
pub struct Status<'a> {
    /// Field 2.
    pub message: Text<'a>,
    /// Field 3, enum.
    pub code: i32,
}
