//! Visits every field of every view in a request, and adds the path to errors like a caller does.

use std::hint::black_box;

use otlp2iceberg::decode::{
    AnyValue, DecodeError, Exemplar, KeyValue, LogRecord, LogsRequest, Message, Metric, MetricData,
    MetricsRequest, NumberDataPoint, PackedOrNot, Repeated, Resource, Scalar, Scope, Span, Text,
    TracesRequest,
};
use otlp2iceberg::signal::Signal;

/// Values nested deeper are not visited.
const LEVELS_MAX: usize = 64;

type Walked = Result<(), DecodeError>;

/// Visits all of a request. Returns the number of messages.
pub fn walk(signal: Signal, bytes: &[u8]) -> Result<usize, DecodeError> {
    let mut walker = Walker { messages: 0 };
    match signal {
        Signal::Logs => walker.logs(LogsRequest::parse(bytes)?)?,
        Signal::Traces => walker.traces(TracesRequest::parse(bytes)?)?,
        Signal::Metrics => walker.metrics(MetricsRequest::parse(bytes)?)?,
    }
    Ok(walker.messages)
}

struct Walker {
    messages: usize,
}

impl Walker {
    fn each<'a, M: Message<'a>>(
        &mut self,
        name: &'static str,
        list: Repeated<'a, M>,
        mut visit: impl FnMut(&mut Self, M) -> Walked,
    ) -> Walked {
        for (index, element) in list.iter().enumerate() {
            self.messages += 1;
            visit(self, element?).map_err(|error| error.in_element(name, index))?;
        }
        Ok(())
    }

    fn logs(&mut self, request: LogsRequest<'_>) -> Walked {
        self.each("resource_logs", request.resource_logs, |walker, group| {
            walker.resource(group.resource)?;
            text(group.schema_url);
            walker.each("scope_logs", group.scope_logs, |walker, group| {
                walker.scope(group.scope)?;
                text(group.schema_url);
                walker.each("log_records", group.log_records, Self::log_record)
            })
        })
    }

    fn log_record(&mut self, record: LogRecord<'_>) -> Walked {
        text(record.severity_text);
        text(record.event_name);
        black_box((record.trace_id, record.span_id));
        self.value(record.body, 1)
            .map_err(|error| error.in_field("body"))?;
        self.attributes("attributes", record.attributes, 1)
    }

    fn traces(&mut self, request: TracesRequest<'_>) -> Walked {
        self.each("resource_spans", request.resource_spans, |walker, group| {
            walker.resource(group.resource)?;
            text(group.schema_url);
            walker.each("scope_spans", group.scope_spans, |walker, group| {
                walker.scope(group.scope)?;
                text(group.schema_url);
                walker.each("spans", group.spans, |walker, span| walker.span(&span))
            })
        })
    }

    fn span(&mut self, span: &Span<'_>) -> Walked {
        text(span.name);
        text(span.trace_state);
        text(span.status.unwrap_or_default().message);
        self.attributes("attributes", span.attributes, 1)?;
        self.each("events", span.events, |walker, event| {
            text(event.name);
            walker.attributes("attributes", event.attributes, 1)
        })?;
        self.each("links", span.links, |walker, link| {
            text(link.trace_state);
            walker.attributes("attributes", link.attributes, 1)
        })
    }

    fn metrics(&mut self, request: MetricsRequest<'_>) -> Walked {
        self.each("resource_metrics", request.resource_metrics, |walker, group| {
            walker.resource(group.resource)?;
            text(group.schema_url);
            walker.each("scope_metrics", group.scope_metrics, |walker, group| {
                walker.scope(group.scope)?;
                text(group.schema_url);
                walker.each("metrics", group.metrics, Self::metric)
            })
        })
    }

    fn metric(&mut self, metric: Metric<'_>) -> Walked {
        text(metric.name);
        text(metric.description);
        text(metric.unit);
        self.attributes("metadata", metric.metadata, 1)?;
        let (kind, walked) = match metric.data {
            MetricData::Missing => return Ok(()),
            MetricData::Gauge { data_points } => ("gauge", self.number_points(data_points)),
            MetricData::Sum { data_points, .. } => ("sum", self.number_points(data_points)),
            MetricData::Histogram { data_points, .. } => (
                "histogram",
                self.each("data_points", data_points, |walker, point| {
                    scalars(point.bucket_counts)?;
                    scalars(point.explicit_bounds)?;
                    walker.exemplars(point.exemplars)?;
                    walker.attributes("attributes", point.attributes, 1)
                }),
            ),
            MetricData::ExponentialHistogram { data_points, .. } => (
                "exponential_histogram",
                self.each("data_points", data_points, |walker, point| {
                    for (name, buckets) in [("positive", point.positive), ("negative", point.negative)] {
                        scalars(buckets.unwrap_or_default().bucket_counts)
                            .map_err(|error| error.in_field(name))?;
                    }
                    walker.exemplars(point.exemplars)?;
                    walker.attributes("attributes", point.attributes, 1)
                }),
            ),
            MetricData::Summary { data_points } => (
                "summary",
                self.each("data_points", data_points, |walker, point| {
                    walker.each("quantile_values", point.quantile_values, |_, _| Ok(()))?;
                    walker.attributes("attributes", point.attributes, 1)
                }),
            ),
        };
        walked.map_err(|error| error.in_field(kind))
    }

    fn number_points(&mut self, points: Repeated<'_, NumberDataPoint<'_>>) -> Walked {
        self.each("data_points", points, |walker, point| {
            walker.exemplars(point.exemplars)?;
            walker.attributes("attributes", point.attributes, 1)
        })
    }

    fn exemplars(&mut self, exemplars: Repeated<'_, Exemplar<'_>>) -> Walked {
        self.each("exemplars", exemplars, |walker, exemplar| {
            walker.attributes("filtered_attributes", exemplar.filtered_attributes, 1)
        })
    }

    fn resource(&mut self, resource: Option<Resource<'_>>) -> Walked {
        self.attributes("attributes", resource.unwrap_or_default().attributes, 1)
            .map_err(|error| error.in_field("resource"))
    }

    fn scope(&mut self, scope: Option<Scope<'_>>) -> Walked {
        let scope = scope.unwrap_or_default();
        text(scope.name);
        text(scope.version);
        self.attributes("attributes", scope.attributes, 1)
            .map_err(|error| error.in_field("scope"))
    }

    fn attributes(&mut self, name: &'static str, pairs: Repeated<'_, KeyValue<'_>>, level: usize) -> Walked {
        self.each(name, pairs, |walker, pair| {
            text(pair.key);
            walker
                .value(pair.value, level)
                .map_err(|error| error.in_field("value"))
        })
    }

    fn value(&mut self, value: AnyValue<'_>, level: usize) -> Walked {
        if level > LEVELS_MAX {
            return Ok(());
        }
        match value {
            AnyValue::String(value) => text(value),
            AnyValue::Array(array) => {
                return self
                    .each("values", array.values, |walker, value| {
                        walker.value(value, level + 1)
                    })
                    .map_err(|error| error.in_field("array_value"));
            }
            AnyValue::KeyValueList(pairs) => {
                return self
                    .attributes("values", pairs.values, level + 1)
                    .map_err(|error| error.in_field("kvlist_value"));
            }
            scalar => {
                black_box(scalar);
            }
        }
        Ok(())
    }
}

fn text(text: Text<'_>) {
    black_box(text.to_str_lossy());
}

fn scalars<T: Scalar>(list: PackedOrNot<'_, T>) -> Walked {
    for value in &list {
        black_box(value?);
    }
    Ok(())
}
