//! The table `logs`.

use super::Stop;
use super::any_value;
use super::attributes::{MapColumn, dropped_attributes};
use super::columns::columns;
use super::context::Context;
use super::ids::{append_span_id, append_trace_id};
use super::labels::LabelColumn;
use super::memory::Memory;
use super::primitive::{IntColumn, TimeColumn};
use super::repetition;
use super::shared::{Group, SharedColumns};
use super::subject::Subject;
use super::table::TableBuilder;
use super::text_column::TextColumn;
use super::time::{microseconds, nanoseconds};
use crate::decode::{DecodeError, LogRecord, LogsRequest, Message, ResourceLogs, ScopeLogs};
use crate::signal::Table;

columns! {
    /// The columns of `logs`.
    LogColumns {
        timestamp: TimeColumn,
        observed_timestamp: TimeColumn,
        trace_id: TextColumn,
        span_id: TextColumn,
        trace_flags: IntColumn,
        severity_text: LabelColumn,
        severity_number: IntColumn,
        event_name: LabelColumn,
        body: TextColumn,
        log_attributes: MapColumn,
        log_dropped_attributes_count: IntColumn,
        shared: SharedColumns,
    }
}

/// Converts serialized `ExportLogsServiceRequest`s in order.
///
/// # Errors
/// When the bytes are malformed, or a batch cannot be built.
pub(super) fn convert<'a>(
    requests: impl Iterator<Item = &'a [u8]>,
    memory: &mut Memory,
    context: &mut Context,
) -> Result<(), Stop> {
    let mut rows = TableBuilder::<LogColumns>::new(Table::Logs, memory.take());
    let mut group = Group::default();
    for request in requests {
        context.begin_request(request.len());
        let request = LogsRequest::parse(request)?;
        for (index, resource_logs) in request.resource_logs.iter().enumerate() {
            convert_resource(resource_logs?, index, &mut group, &mut rows, context)
                .map_err(|stop| stop.in_element("resource_logs", index))?;
        }
    }
    memory.keep(rows.finish(context)?);
    Ok(())
}

fn convert_resource<'a>(
    resource_logs: ResourceLogs<'a>,
    resource: usize,
    group: &mut Group<'a>,
    rows: &mut TableBuilder<LogColumns>,
    context: &mut Context,
) -> Result<(), Stop> {
    group.enter_resource(resource_logs.resource, resource_logs.schema_url, context)?;
    for (index, scope_logs) in resource_logs.scope_logs.iter().enumerate() {
        convert_scope(scope_logs?, (resource, index), group, rows, context)
            .map_err(|stop| stop.in_element("scope_logs", index))?;
    }
    Ok(())
}

fn convert_scope<'a>(
    scope_logs: ScopeLogs<'a>,
    (resource, scope): (usize, usize),
    group: &mut Group<'a>,
    rows: &mut TableBuilder<LogColumns>,
    context: &mut Context,
) -> Result<(), Stop> {
    group.enter_scope(scope_logs.scope, scope_logs.schema_url, context)?;
    rows.begin(&scope_logs.log_records);
    rows.expect(&scope_logs.log_records, context);
    let shared = group.attributes();
    let stored = context.repetition.take(scope_logs.log_records.len(), shared);
    for (index, record) in scope_logs.log_records.iter().enumerate() {
        let record = record?;
        let path = || {
            let of_service = Subject::new(None, group);
            format!("resource_logs[{resource}].scope_logs[{scope}].log_records[{index}]{of_service}")
        };
        if index >= stored {
            repetition::reject(context, path, shared);
            continue;
        }
        rows.row(context, path, |columns, context| {
            append(columns, &record, group, context)?;
            Ok(None)
        })
        .map_err(|stop| stop.in_element("log_records", index))?;
        if context.is_full() {
            rows.close(context)?;
        }
    }
    Ok(())
}

fn append(
    columns: &mut LogColumns,
    record: &LogRecord<'_>,
    group: &Group<'_>,
    context: &mut Context,
) -> Result<(), DecodeError> {
    let time = nanoseconds(record.time_unix_nano, context);
    let observed = nanoseconds(record.observed_time_unix_nano, context);
    let timestamp = time.or(observed).unwrap_or(context.arrival);
    columns.timestamp.append(microseconds(timestamp));
    columns
        .observed_timestamp
        .append_option(observed.map(microseconds));
    append_trace_id(&mut columns.trace_id, record.trace_id, context);
    append_span_id(&mut columns.span_id, record.span_id, context);
    columns.trace_flags.append(record.flags.cast_signed());
    columns.severity_text.append_field(record.severity_text, context);
    columns.severity_number.append(record.severity_number);
    columns.event_name.append_field(record.event_name, context);
    let has_body = any_value::write_text(record.body, columns.body.writer(), context)
        .map_err(|error| error.in_field("body"))?;
    columns.body.end_value(has_body);
    columns
        .log_attributes
        .append(&record.attributes, "attributes", context)?;
    columns.log_dropped_attributes_count.append(dropped_attributes(
        record.dropped_attributes_count,
        &record.attributes,
        context,
    ));
    columns.shared.append(group);
    Ok(())
}
