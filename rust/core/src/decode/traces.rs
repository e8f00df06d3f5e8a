//! `trace/v1/trace.proto` and `collector/trace/v1/trace_service.proto`.

use super::common::{DEPRECATED_SCOPES, KeyValue, Resource, Scope, Text};
use super::error::DecodeError;
use super::repeated::{Occurrences, Repeated};
use super::wire::{Message, Reader};

/// `ExportTraceServiceRequest`, equal on the wire to `TracesData`.
#[derive(Debug, Clone, Copy, Default)]
pub struct TracesRequest<'a> {
    /// Field 1.
    pub resource_spans: Repeated<'a, ResourceSpans<'a>>,
}

impl<'a> Message<'a> for TracesRequest<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Ok(Self {
            resource_spans: Occurrences::only(bytes, 1, "resource_spans")?,
        })
    }
}

/// `ResourceSpans`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ResourceSpans<'a> {
    /// Field 1.
    pub resource: Option<Resource<'a>>,
    /// Field 2; field 1000 if that is absent.
    pub scope_spans: Repeated<'a, ScopeSpans<'a>>,
    /// Field 3.
    pub schema_url: Text<'a>,
}

impl<'a> Message<'a> for ResourceSpans<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut view = Self::default();
        let mut scope_spans = Occurrences::of(2, "scope_spans");
        let mut deprecated = Occurrences::of(DEPRECATED_SCOPES, "instrumentation_library_spans");
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag()? {
            match tag.number {
                1 => view.resource = Some(reader.message(tag, "resource")?),
                2 => scope_spans.note(&mut reader, tag)?,
                3 => view.schema_url = Text(reader.bytes(tag, "schema_url")?),
                DEPRECATED_SCOPES => deprecated.note(&mut reader, tag)?,
                _ => reader.skip(tag)?,
            }
        }
        view.scope_spans = scope_spans.or(deprecated).messages(bytes);
        Ok(view)
    }
}

/// `ScopeSpans`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ScopeSpans<'a> {
    /// Field 1.
    pub scope: Option<Scope<'a>>,
    /// Field 2.
    pub spans: Repeated<'a, Span<'a>>,
    /// Field 3.
    pub schema_url: Text<'a>,
}

impl<'a> Message<'a> for ScopeSpans<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut view = Self::default();
        let mut spans = Occurrences::of(2, "spans");
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag()? {
            match tag.number {
                1 => view.scope = Some(reader.message(tag, "scope")?),
                2 => spans.note(&mut reader, tag)?,
                3 => view.schema_url = Text(reader.bytes(tag, "schema_url")?),
                _ => reader.skip(tag)?,
            }
        }
        view.spans = spans.messages(bytes);
        Ok(view)
    }
}

/// `Span`.
#[derive(Debug, Clone, Copy, Default)]
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

impl<'a> Message<'a> for Span<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut view = Self::default();
        let mut attributes = Occurrences::of(9, "attributes");
        let mut events = Occurrences::of(11, "events");
        let mut links = Occurrences::of(13, "links");
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag()? {
            match tag.number {
                1 => view.trace_id = reader.bytes(tag, "trace_id")?,
                2 => view.span_id = reader.bytes(tag, "span_id")?,
                3 => view.trace_state = Text(reader.bytes(tag, "trace_state")?),
                4 => view.parent_span_id = reader.bytes(tag, "parent_span_id")?,
                5 => view.name = Text(reader.bytes(tag, "name")?),
                6 => view.kind = reader.enumeration(tag, "kind")?,
                7 => view.start_time_unix_nano = reader.fixed64(tag, "start_time_unix_nano")?,
                8 => view.end_time_unix_nano = reader.fixed64(tag, "end_time_unix_nano")?,
                9 => attributes.note(&mut reader, tag)?,
                10 => {
                    view.dropped_attributes_count = reader.uint32(tag, "dropped_attributes_count")?;
                }
                11 => events.note(&mut reader, tag)?,
                12 => view.dropped_events_count = reader.uint32(tag, "dropped_events_count")?,
                13 => links.note(&mut reader, tag)?,
                14 => view.dropped_links_count = reader.uint32(tag, "dropped_links_count")?,
                15 => view.status = Some(reader.message(tag, "status")?),
                16 => view.flags = reader.fixed32(tag, "flags")?,
                _ => reader.skip(tag)?,
            }
        }
        view.attributes = attributes.messages(bytes);
        view.events = events.messages(bytes);
        view.links = links.messages(bytes);
        Ok(view)
    }
}

/// `Span.Event`.
#[derive(Debug, Clone, Copy, Default)]
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

impl<'a> Message<'a> for Event<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut view = Self::default();
        let mut attributes = Occurrences::of(3, "attributes");
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag()? {
            match tag.number {
                1 => view.time_unix_nano = reader.fixed64(tag, "time_unix_nano")?,
                2 => view.name = Text(reader.bytes(tag, "name")?),
                3 => attributes.note(&mut reader, tag)?,
                4 => {
                    view.dropped_attributes_count = reader.uint32(tag, "dropped_attributes_count")?;
                }
                _ => reader.skip(tag)?,
            }
        }
        view.attributes = attributes.messages(bytes);
        Ok(view)
    }
}

/// `Span.Link`.
#[derive(Debug, Clone, Copy, Default)]
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

impl<'a> Message<'a> for Link<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut view = Self::default();
        let mut attributes = Occurrences::of(4, "attributes");
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag()? {
            match tag.number {
                1 => view.trace_id = reader.bytes(tag, "trace_id")?,
                2 => view.span_id = reader.bytes(tag, "span_id")?,
                3 => view.trace_state = Text(reader.bytes(tag, "trace_state")?),
                4 => attributes.note(&mut reader, tag)?,
                5 => {
                    view.dropped_attributes_count = reader.uint32(tag, "dropped_attributes_count")?;
                }
                6 => view.flags = reader.fixed32(tag, "flags")?,
                _ => reader.skip(tag)?,
            }
        }
        view.attributes = attributes.messages(bytes);
        Ok(view)
    }
}

/// `Status`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Status<'a> {
    /// Field 2.
    pub message: Text<'a>,
    /// Field 3, enum.
    pub code: i32,
}

impl<'a> Message<'a> for Status<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut view = Self::default();
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag()? {
            match tag.number {
                2 => view.message = Text(reader.bytes(tag, "message")?),
                3 => view.code = reader.enumeration(tag, "code")?,
                _ => reader.skip(tag)?,
            }
        }
        Ok(view)
    }
}
