//! Log lines as JSON, each with the id of its invocation.

use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use otlp2iceberg::calendar::date_of_day;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;

/// The current invocation; an execution environment has one at a time.
static INVOCATION: Mutex<String> = Mutex::new(String::new());

/// Writes the logs of this process to stdout, one JSON object per line. `level` is the function's own log
/// level (`AWS_LAMBDA_LOG_LEVEL`), `INFO` by default. Records of other crates below `INFO` are
/// suppressed: Lambda's runtime crate logs whole events, including the clients' data and their tokens.
pub fn install(level: Option<&str>) {
    let level = level.and_then(|level| level.parse().ok()).unwrap_or(Level::INFO);
    // An error means that a subscriber is already set, as in tests.
    let _ = tracing::subscriber::set_global_default(subscriber(level, io::stdout));
}

/// Sets the invocation of the following lines.
pub fn begin_invocation(request_id: &str) {
    let mut invocation = INVOCATION.lock().unwrap_or_else(PoisonError::into_inner);
    request_id.clone_into(&mut invocation);
}

/// The current invocation.
#[must_use]
pub fn invocation() -> String {
    INVOCATION.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The prefix of our modules' names.
const OURS: &str = "otlp2iceberg";

fn subscriber<W>(level: Level, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // AWS's libraries warn about each attempt to find credentials. If all fail, our error has the causes.
    let levels = Targets::new()
        .with_default(Level::INFO)
        .with_target(OURS, Level::TRACE)
        .with_target("aws_config", Level::ERROR)
        .with_target("aws_smithy", Level::ERROR);
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false)
        .with_writer(writer)
        .log_internal_errors(false)
        .event_format(Line)
        .finish()
        .with(levels)
}

struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let mut line = Map::new();
        line.insert("timestamp".into(), rfc3339(SystemTime::now()).into());
        line.insert("level".into(), metadata.level().as_str().into());
        let invocation = INVOCATION.lock().unwrap_or_else(PoisonError::into_inner);
        if !invocation.is_empty() {
            line.insert("requestId".into(), invocation.as_str().into());
        }
        drop(invocation);
        line.insert("target".into(), metadata.target().into());
        event.record(&mut Fields(&mut line));
        writeln!(writer, "{}", Value::Object(line))
    }
}

struct Fields<'a>(&'a mut Map<String, Value>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().into(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().into(), value.into());
    }
}

/// RFC 3339 in UTC, with milliseconds.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = date_of_day(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        since.subsec_millis()
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::io::Write;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that a function of this log level writes.
    fn lines(level: Level, log: impl FnOnce()) -> Vec<Value> {
        let sink = Sink::default();
        let writer = sink.clone();
        tracing::subscriber::with_default(subscriber(level, move || writer.clone()), log);
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn messages(level: Level, log: impl FnOnce()) -> Vec<String> {
        let message = |line: &Value| line["message"].as_str().unwrap().to_owned();
        lines(level, log).iter().map(message).collect()
    }

    #[test]
    fn a_line_is_one_json_object_whatever_is_in_it() {
        begin_invocation("r-7");
        let lines = lines(Level::WARN, || {
            tracing::info!("below the level");
            tracing::warn!(rows = 3, error = %"a \"b\"\nc", "went wrong");
        });
        let [line] = <[Value; 1]>::try_from(lines).unwrap();
        assert_eq!(line["message"], "went wrong");
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["requestId"], "r-7");
        assert_eq!(line["rows"], 3);
        assert_eq!(line["error"], "a \"b\"\nc");
    }

    #[test]
    fn what_others_say_below_info_is_left_out_for_it_may_be_a_request() {
        let said = messages(Level::TRACE, || {
            // The same record as in lambda_runtime's `layers/api_response.rs`.
            tracing::trace!(target: "lambda_runtime::layers::api_response", body = "Bearer hush", "raw JSON event");
            tracing::debug!(target: "hyper::proto", "Bearer hush");
            tracing::info!(target: "lambda_runtime", "theirs");
            tracing::trace!(target: "otlp2iceberg::commit", "the library's");
            tracing::trace!("ours");
        });
        assert_eq!(said, ["theirs", "the library's", "ours"]);
    }

    #[test]
    fn of_aws_libraries_only_errors_are_logged() {
        let said = messages(Level::TRACE, || {
            tracing::info!(target: "aws_config::meta::credentials::chain", "loaded credentials");
            tracing::warn!(target: "aws_config::imds::region", "failed to load region from IMDS");
            tracing::warn!(target: "aws_smithy_runtime::client", "no answer");
            tracing::error!(target: "aws_config::profile", "ended badly");
            tracing::warn!(target: "otlp2iceberg::aws", "ours");
        });
        assert_eq!(said, ["ended badly", "ours"]);
    }

    #[test]
    fn times_are_dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (951_868_800, "2000-03-01T00:00:00.000Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000Z"),
            (4_102_444_800, "2100-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }
}
