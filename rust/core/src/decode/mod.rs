//! Our own reader of the OTLP protobuf wire format over borrowed bytes.
//!
//! Views are small `Copy` structs that point into the request. Scalars are read when a view is created, in
//! one pass over the message's own fields, including singular messages. Repeated messages are read only when
//! they are iterated, through [`Repeated`]. Every input yields a view or a [`DecodeError`] with its path.
//! Reading never panics, and the input never controls recursion or allocation.
//!
//! Source: <https://github.com/open-telemetry/opentelemetry-proto>, wire format:
//! <https://protobuf.dev/programming-guides/encoding/>.

mod common;
mod count;
mod error;
mod logs;
mod metrics;
mod points;
mod repeated;
mod scalars;
mod subset;
mod traces;
mod wire;

pub use common::{AnyValue, ArrayValue, KeyValue, KeyValueList, Resource, Scope, Text};
pub use count::records_above;
pub use error::{DecodeError, WireError};
pub use logs::{LogRecord, LogsRequest, ResourceLogs, ScopeLogs};
pub use metrics::{Metric, MetricData, MetricsRequest, ResourceMetrics, ScopeMetrics};
pub use points::{
    Buckets, Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, NumberDataPoint, NumberValue,
    SummaryDataPoint, ValueAtQuantile,
};
pub use repeated::{Elements, Repeated};
pub use scalars::{PackedOrNot, Scalar, Scalars};
pub use subset::{Place, subset};
pub use traces::{Event, Link, ResourceSpans, ScopeSpans, Span, Status, TracesRequest};
pub use wire::Message;
