//! Our decode alone: every field of every record is read and added to a sum, so that no read is optimised
//! away.

use otlp2iceberg::Signal;
use otlp2iceberg::decode::{
    AnyValue, Buckets, DecodeError, Exemplar, KeyValue, LogsRequest, Message, MetricData, MetricsRequest,
    NumberValue, Repeated, Resource, Scope, TracesRequest,
};

/// The number of records and a sum of what they hold.
pub fn walk(signal: Signal, bytes: &[u8]) -> Result<(usize, u64), DecodeError> {
    let mut walk = Walk::default();
    match signal {
        Signal::Logs => walk.logs(bytes)?,
        Signal::Traces => walk.traces(bytes)?,
        Signal::Metrics => walk.metrics(bytes)?,
    }
    Ok((walk.records, walk.sum))
}

#[derive(Default)]
struct Walk {
    records: usize,
    sum: u64,
}

impl Walk {
    fn logs(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        for resource in &LogsRequest::parse(bytes)?.resource_logs {
            let resource = resource?;
            self.resource(resource.resource)?;
            for scope in &resource.scope_logs {
                let scope = scope?;
                self.scope(scope.scope)?;
                for record in &scope.log_records {
                    let record = record?;
                    self.records += 1;
                    self.add(record.time_unix_nano ^ record.observed_time_unix_nano);
                    self.add(record.severity_number as u64 ^ u64::from(record.flags));
                    self.add(u64::from(record.dropped_attributes_count));
                    self.bytes(record.severity_text.0);
                    self.bytes(record.event_name.0);
                    self.bytes(record.trace_id);
                    self.bytes(record.span_id);
                    self.value(record.body)?;
                    self.attributes(record.attributes)?;
                }
            }
        }
        Ok(())
    }

    fn traces(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        for resource in &TracesRequest::parse(bytes)?.resource_spans {
            let resource = resource?;
            self.resource(resource.resource)?;
            for scope in &resource.scope_spans {
                let scope = scope?;
                self.scope(scope.scope)?;
                for span in &scope.spans {
                    self.span(&span?)?;
                }
            }
        }
        Ok(())
    }

    fn span(&mut self, span: &otlp2iceberg::decode::Span<'_>) -> Result<(), DecodeError> {
        self.records += 1;
        self.add(span.start_time_unix_nano ^ span.end_time_unix_nano);
        self.add(span.kind as u64 ^ u64::from(span.flags));
        self.add(u64::from(span.dropped_attributes_count));
        self.add(u64::from(span.dropped_events_count) ^ u64::from(span.dropped_links_count));
        for bytes in [
            span.trace_id,
            span.span_id,
            span.parent_span_id,
            span.trace_state.0,
            span.name.0,
        ] {
            self.bytes(bytes);
        }
        if let Some(status) = span.status {
            self.add(status.code as u64);
            self.bytes(status.message.0);
        }
        self.attributes(span.attributes)?;
        for event in &span.events {
            let event = event?;
            self.add(event.time_unix_nano ^ u64::from(event.dropped_attributes_count));
            self.bytes(event.name.0);
            self.attributes(event.attributes)?;
        }
        for link in &span.links {
            let link = link?;
            self.add(u64::from(link.flags) ^ u64::from(link.dropped_attributes_count));
            for bytes in [link.trace_id, link.span_id, link.trace_state.0] {
                self.bytes(bytes);
            }
            self.attributes(link.attributes)?;
        }
        Ok(())
    }

    fn metrics(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        for resource in &MetricsRequest::parse(bytes)?.resource_metrics {
            let resource = resource?;
            self.resource(resource.resource)?;
            for scope in &resource.scope_metrics {
                let scope = scope?;
                self.scope(scope.scope)?;
                for metric in &scope.metrics {
                    let metric = metric?;
                    self.bytes(metric.name.0);
                    self.bytes(metric.description.0);
                    self.bytes(metric.unit.0);
                    self.attributes(metric.metadata)?;
                    self.points(metric.data)?;
                }
            }
        }
        Ok(())
    }

    fn points(&mut self, data: MetricData<'_>) -> Result<(), DecodeError> {
        match data {
            MetricData::Missing => {}
            MetricData::Gauge { data_points } | MetricData::Sum { data_points, .. } => {
                for point in &data_points {
                    let point = point?;
                    self.point(
                        point.time_unix_nano,
                        point.start_time_unix_nano,
                        point.flags,
                        point.attributes,
                    )?;
                    self.number(point.value);
                    self.exemplars(point.exemplars)?;
                }
            }
            MetricData::Histogram { data_points, .. } => {
                for point in &data_points {
                    let point = point?;
                    self.point(
                        point.time_unix_nano,
                        point.start_time_unix_nano,
                        point.flags,
                        point.attributes,
                    )?;
                    self.add(point.count);
                    self.doubles([point.sum, point.min, point.max]);
                    for count in &point.bucket_counts {
                        self.add(count?);
                    }
                    for bound in &point.explicit_bounds {
                        self.add(bound?.to_bits());
                    }
                    self.exemplars(point.exemplars)?;
                }
            }
            MetricData::ExponentialHistogram { data_points, .. } => {
                for point in &data_points {
                    let point = point?;
                    self.point(
                        point.time_unix_nano,
                        point.start_time_unix_nano,
                        point.flags,
                        point.attributes,
                    )?;
                    self.add(point.count ^ point.zero_count);
                    self.add(point.scale as u64 ^ point.zero_threshold.to_bits());
                    self.doubles([point.sum, point.min, point.max]);
                    self.buckets(point.positive)?;
                    self.buckets(point.negative)?;
                    self.exemplars(point.exemplars)?;
                }
            }
            MetricData::Summary { data_points } => {
                for point in &data_points {
                    let point = point?;
                    self.point(
                        point.time_unix_nano,
                        point.start_time_unix_nano,
                        point.flags,
                        point.attributes,
                    )?;
                    self.add(point.count ^ point.sum.to_bits());
                    for value in &point.quantile_values {
                        let value = value?;
                        self.add(value.quantile.to_bits() ^ value.value.to_bits());
                    }
                }
            }
        }
        Ok(())
    }

    fn point(
        &mut self,
        time: u64,
        start: u64,
        flags: u32,
        attributes: Repeated<'_, KeyValue<'_>>,
    ) -> Result<(), DecodeError> {
        self.records += 1;
        self.add(time ^ start ^ u64::from(flags));
        self.attributes(attributes)
    }

    fn buckets(&mut self, buckets: Option<Buckets<'_>>) -> Result<(), DecodeError> {
        if let Some(buckets) = buckets {
            self.add(buckets.offset as u64);
            for count in &buckets.bucket_counts {
                self.add(count?);
            }
        }
        Ok(())
    }

    fn exemplars(&mut self, exemplars: Repeated<'_, Exemplar<'_>>) -> Result<(), DecodeError> {
        for exemplar in &exemplars {
            let exemplar = exemplar?;
            self.add(exemplar.time_unix_nano);
            self.number(exemplar.value);
            self.bytes(exemplar.trace_id);
            self.bytes(exemplar.span_id);
            self.attributes(exemplar.filtered_attributes)?;
        }
        Ok(())
    }

    fn number(&mut self, value: Option<NumberValue>) {
        match value {
            Some(NumberValue::Double(value)) => self.add(value.to_bits()),
            Some(NumberValue::Int(value)) => self.add(value as u64),
            None => {}
        }
    }

    fn doubles(&mut self, values: [Option<f64>; 3]) {
        for value in values.into_iter().flatten() {
            self.add(value.to_bits());
        }
    }

    fn resource(&mut self, resource: Option<Resource<'_>>) -> Result<(), DecodeError> {
        match resource {
            Some(resource) => self.attributes(resource.attributes),
            None => Ok(()),
        }
    }

    fn scope(&mut self, scope: Option<Scope<'_>>) -> Result<(), DecodeError> {
        if let Some(scope) = scope {
            self.bytes(scope.name.0);
            self.bytes(scope.version.0);
            self.attributes(scope.attributes)?;
        }
        Ok(())
    }

    fn attributes(&mut self, attributes: Repeated<'_, KeyValue<'_>>) -> Result<(), DecodeError> {
        for attribute in &attributes {
            let attribute = attribute?;
            self.bytes(attribute.key.0);
            self.value(attribute.value)?;
        }
        Ok(())
    }

    /// The inputs nest one level deep.
    fn value(&mut self, value: AnyValue<'_>) -> Result<(), DecodeError> {
        match value {
            AnyValue::Empty => {}
            AnyValue::String(text) => self.bytes(text.0),
            AnyValue::Bytes(bytes) => self.bytes(bytes),
            AnyValue::Bool(value) => self.add(u64::from(value)),
            AnyValue::Int(value) => self.add(value as u64),
            AnyValue::Double(value) => self.add(value.to_bits()),
            AnyValue::Array(list) => {
                for value in &list.values {
                    self.value(value?)?;
                }
            }
            AnyValue::KeyValueList(list) => self.attributes(list.values)?,
        }
        Ok(())
    }

    fn add(&mut self, value: u64) {
        self.sum = self.sum.wrapping_add(value);
    }

    /// Adds the position and the length of bytes. The bytes themselves are not read.
    fn bytes(&mut self, bytes: &[u8]) {
        self.add(bytes.len() as u64 ^ (bytes.as_ptr() as u64).rotate_left(32));
    }
}
