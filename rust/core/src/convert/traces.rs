//! The table `traces`.

use super::Stop;
use super::attributes::{MapColumn, dropped_attributes};
use super::columns::columns;
use super::context::Context;
use super::elements::{Elements, reject_too_many};
use super::ids::{append_span_id, append_trace_id};
use super::labels::{LabelColumn, WordColumn};
use super::lists::ListColumn;
use super::memory::Memory;
use super::numbers::dropped;
use super::primitive::{IntColumn, LongColumn, TimeColumn};
use super::repetition;
use super::shared::{Group, SharedColumns};
use super::subject::Subject;
use super::table::TableBuilder;
use super::text_column::TextColumn;
use super::time::{microseconds, nanoseconds};
use crate::decode::{DecodeError, Event, Link, Message, ResourceSpans, ScopeSpans, Span, TracesRequest};
use crate::signal::Table;

/// `Span.SpanKind` by number.
const SPAN_KINDS: &[&str] = &[
    "Unspecified",
    "Internal",
    "Server",
    "Client",
    "Producer",
    "Consumer",
];
/// `Status.StatusCode` by number.
const STATUS_CODES: &[&str] = &["Unset", "Ok", "Error"];

columns! {
    /// The columns of `traces`.
    SpanColumns {
        timestamp: TimeColumn,
        duration: LongColumn,
        trace_id: TextColumn,
        span_id: TextColumn,
        parent_span_id: TextColumn,
        trace_state: TextColumn,
        trace_flags: IntColumn,
        span_name: LabelColumn,
        span_kind: WordColumn,
        status_code: WordColumn,
        status_message: TextColumn,
        span_attributes: MapColumn,
        events: ListColumn<EventColumns>,
        links: ListColumn<LinkColumns>,
        span_dropped_attributes_count: IntColumn,
        dropped_events_count: IntColumn,
        dropped_links_count: IntColumn,
        shared: SharedColumns,
    }
}

columns! {
    /// The fields of an event.
    EventColumns {
        timestamp: TimeColumn,
        name: TextColumn,
        attributes: MapColumn,
        dropped_attributes_count: IntColumn,
    }
}

columns! {
    /// The fields of a link.
    LinkColumns {
        trace_id: TextColumn,
        span_id: TextColumn,
        trace_state: TextColumn,
        trace_flags: IntColumn,
        attributes: MapColumn,
        dropped_attributes_count: IntColumn,
    }
}

/// Converts serialized `ExportTraceServiceRequest`s in order.
///
/// # Errors
/// When the bytes are malformed, or a batch cannot be built.
pub(super) fn convert<'a>(
    requests: impl Iterator<Item = &'a [u8]>,
    memory: &mut Memory,
    context: &mut Context,
) -> Result<(), Stop> {
    let mut rows = TableBuilder::<SpanColumns>::new(Table::Traces, memory.take());
    let mut group = Group::default();
    for request in requests {
        context.begin_request(request.len());
        let request = TracesRequest::parse(request)?;
        for (index, resource_spans) in request.resource_spans.iter().enumerate() {
            convert_resource(resource_spans?, index, &mut group, &mut rows, context)
                .map_err(|stop| stop.in_element("resource_spans", index))?;
        }
    }
    memory.keep(rows.finish(context)?);
    Ok(())
}

fn convert_resource<'a>(
    resource_spans: ResourceSpans<'a>,
    resource: usize,
    group: &mut Group<'a>,
    rows: &mut TableBuilder<SpanColumns>,
    context: &mut Context,
) -> Result<(), Stop> {
    group.enter_resource(resource_spans.resource, resource_spans.schema_url, context)?;
    for (index, scope_spans) in resource_spans.scope_spans.iter().enumerate() {
        convert_scope(scope_spans?, (resource, index), group, rows, context)
            .map_err(|stop| stop.in_element("scope_spans", index))?;
    }
    Ok(())
}

fn convert_scope<'a>(
    scope_spans: ScopeSpans<'a>,
    (resource, scope): (usize, usize),
    group: &mut Group<'a>,
    rows: &mut TableBuilder<SpanColumns>,
    context: &mut Context,
) -> Result<(), Stop> {
    group.enter_scope(scope_spans.scope, scope_spans.schema_url, context)?;
    rows.begin(&scope_spans.spans);
    rows.expect(&scope_spans.spans, context);
    let shared = group.attributes();
    let stored = context.repetition.take(scope_spans.spans.len(), shared);
    for (index, span) in scope_spans.spans.iter().enumerate() {
        let span = span?;
        let path = || {
            let of_service = Subject::new(None, group);
            format!("resource_spans[{resource}].scope_spans[{scope}].spans[{index}]{of_service}")
        };
        if reject_too_many(context, path, span.elements()) {
            continue;
        }
        if index >= stored {
            repetition::reject(context, path, shared);
            continue;
        }
        rows.row(context, path, |columns, context| {
            append(columns, &span, group, context)?;
            Ok(None)
        })
        .map_err(|stop| stop.in_element("spans", index))?;
        if context.is_full() {
            rows.close(context)?;
        }
    }
    Ok(())
}

fn append(
    columns: &mut SpanColumns,
    span: &Span<'_>,
    group: &Group<'_>,
    context: &mut Context,
) -> Result<(), DecodeError> {
    append_times(columns, span, context);
    append_trace_id(&mut columns.trace_id, span.trace_id, context);
    append_span_id(&mut columns.span_id, span.span_id, context);
    append_span_id(&mut columns.parent_span_id, span.parent_span_id, context);
    columns.trace_state.append_field(span.trace_state, context);
    columns.trace_flags.append(span.flags.cast_signed());
    columns.span_name.append_field(span.name, context);
    columns.span_kind.append(span.kind, SPAN_KINDS);
    let status = span.status.unwrap_or_default();
    columns.status_code.append(status.code, STATUS_CODES);
    columns.status_message.append_field(status.message, context);
    columns
        .span_attributes
        .append(&span.attributes, "attributes", context)?;
    for (index, event) in span.events.iter().enumerate() {
        append_event(columns.events.element(), &event?, context)
            .map_err(|error| error.in_element("events", index))?;
    }
    columns.events.end_list();
    for (index, link) in span.links.iter().enumerate() {
        append_link(columns.links.element(), &link?, context)
            .map_err(|error| error.in_element("links", index))?;
    }
    columns.links.end_list();
    columns.span_dropped_attributes_count.append(dropped_attributes(
        span.dropped_attributes_count,
        &span.attributes,
        context,
    ));
    columns
        .dropped_events_count
        .append(dropped(span.dropped_events_count));
    columns
        .dropped_links_count
        .append(dropped(span.dropped_links_count));
    columns.shared.append(group);
    Ok(())
}

fn append_times(columns: &mut SpanColumns, span: &Span<'_>, context: &mut Context) {
    let start = nanoseconds(span.start_time_unix_nano, context);
    let end = nanoseconds(span.end_time_unix_nano, context);
    let timestamp = start.or(end).unwrap_or(context.arrival);
    columns.timestamp.append(microseconds(timestamp));
    // Both are non-negative, so the difference fits.
    let duration = start.zip(end).map(|(start, end)| end - start);
    columns.duration.append_option(duration);
}

fn append_event(
    columns: &mut EventColumns,
    event: &Event<'_>,
    context: &mut Context,
) -> Result<(), DecodeError> {
    let time = nanoseconds(event.time_unix_nano, context);
    columns.timestamp.append_option(time.map(microseconds));
    columns.name.append_field(event.name, context);
    columns
        .attributes
        .append(&event.attributes, "attributes", context)?;
    columns.dropped_attributes_count.append(dropped_attributes(
        event.dropped_attributes_count,
        &event.attributes,
        context,
    ));
    Ok(())
}

fn append_link(columns: &mut LinkColumns, link: &Link<'_>, context: &mut Context) -> Result<(), DecodeError> {
    append_trace_id(&mut columns.trace_id, link.trace_id, context);
    append_span_id(&mut columns.span_id, link.span_id, context);
    columns.trace_state.append_field(link.trace_state, context);
    columns.trace_flags.append(link.flags.cast_signed());
    columns
        .attributes
        .append(&link.attributes, "attributes", context)?;
    columns.dropped_attributes_count.append(dropped_attributes(
        link.dropped_attributes_count,
        &link.attributes,
        context,
    ));
    Ok(())
}
