//! The three OTLP signals and the seven tables that they are stored in.

use std::fmt;

/// An OTLP signal, as named by its export service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// `ExportLogsServiceRequest` (`opentelemetry/proto/collector/logs/v1/logs_service.proto`).
    Logs,
    /// `ExportTraceServiceRequest` (`opentelemetry/proto/collector/trace/v1/trace_service.proto`).
    Traces,
    /// `ExportMetricsServiceRequest` (`opentelemetry/proto/collector/metrics/v1/metrics_service.proto`).
    Metrics,
}

impl Signal {
    /// Every signal, in the order of this enum.
    pub const ALL: [Signal; 3] = [Signal::Logs, Signal::Traces, Signal::Metrics];

    /// The signal's name in the Collector: `logs`, `traces`, `metrics`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Signal::Logs => "logs",
            Signal::Traces => "traces",
            Signal::Metrics => "metrics",
        }
    }

    /// The tables that hold the signal's rows.
    #[must_use]
    pub const fn tables(self) -> &'static [Table] {
        match self {
            Signal::Logs => &[Table::Logs],
            Signal::Traces => &[Table::Traces],
            Signal::Metrics => &[
                Table::Gauge,
                Table::Sum,
                Table::Histogram,
                Table::ExponentialHistogram,
                Table::Summary,
            ],
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One of the seven tables that hold OTLP data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// One row per log record.
    Logs,
    /// One row per span.
    Traces,
    /// One row per gauge data point.
    Gauge,
    /// One row per sum data point.
    Sum,
    /// One row per histogram data point.
    Histogram,
    /// One row per exponential histogram data point.
    ExponentialHistogram,
    /// One row per summary data point.
    Summary,
}

impl Table {
    /// Every table, in the order of this enum; `table as usize` indexes it.
    pub const ALL: [Table; 7] = [
        Table::Logs,
        Table::Traces,
        Table::Gauge,
        Table::Sum,
        Table::Histogram,
        Table::ExponentialHistogram,
        Table::Summary,
    ];

    /// The key of this table under `tables.names`, which is also its default name.
    #[must_use]
    pub const fn default_name(self) -> &'static str {
        match self {
            Table::Logs => "logs",
            Table::Traces => "traces",
            Table::Gauge => "metrics_gauge",
            Table::Sum => "metrics_sum",
            Table::Histogram => "metrics_histogram",
            Table::ExponentialHistogram => "metrics_exponential_histogram",
            Table::Summary => "metrics_summary",
        }
    }

    /// The signal whose requests fill this table.
    #[must_use]
    pub const fn signal(self) -> Signal {
        match self {
            Table::Logs => Signal::Logs,
            Table::Traces => Signal::Traces,
            _ => Signal::Metrics,
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.default_name())
    }
}
