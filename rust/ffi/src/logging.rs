//! What the library has to say besides its errors: warnings, as lines on stderr.

use std::fmt;
use std::io;
use std::sync::Once;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

/// Writes warnings and errors of the whole process's `tracing` to stderr, from the first call on.
///
/// A process has one `tracing` subscriber: where the host has set one, it stays, and gets ours too.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error says that the host has a subscriber of its own.
        let _ = tracing::subscriber::set_global_default(subscriber(io::stderr));
    });
}

fn subscriber<W>(writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .with_max_level(Level::WARN)
        .with_ansi(false)
        .with_writer(writer)
        // It would tell of a stderr that cannot be written to by writing to it, and panic.
        .log_internal_errors(false)
        .event_format(Line)
        .finish()
}

/// `otlp2iceberg WARN <target>: message key=value`. There is no time: whoever gathers a host's stderr
/// adds it.
struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = String::new();
        context
            .field_format()
            .format_fields(Writer::new(&mut fields), event)?;
        let metadata = event.metadata();
        write!(
            writer,
            "otlp2iceberg {} {}: ",
            metadata.level(),
            metadata.target()
        )?;
        // A cause may hold line ends, or what a terminal would obey.
        for character in fields.chars() {
            if character.is_control() {
                write!(writer, "{}", character.escape_default())?;
            } else {
                writer.write_char(character)?;
            }
        }
        writeln!(writer)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

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

    #[test]
    fn a_warning_is_one_line_and_what_is_below_is_none() {
        let sink = Sink::default();
        let writer = sink.clone();
        tracing::subscriber::with_default(subscriber(move || writer.clone()), || {
            tracing::info!("not told");
            tracing::warn!(target: "commit", path = "a/b", attempts = 2, cause = %"no\nspace", "cannot delete");
            tracing::error!(target: "commit", "ended badly");
        });
        assert_eq!(
            String::from_utf8(sink.0.lock().unwrap().clone()).unwrap(),
            "otlp2iceberg WARN commit: cannot delete path=\"a/b\" attempts=2 cause=no\\nspace\n\
             otlp2iceberg ERROR commit: ended badly\n"
        );
    }

    #[test]
    fn installing_again_does_nothing() {
        install();
        install();
    }
}
