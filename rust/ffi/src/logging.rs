//! The library's output besides its errors: warnings, for the host's own log or as lines on stderr.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;

use crate::abi::{O2I_LOG_ERROR, O2I_LOG_NONE, O2I_LOG_WARN};
use crate::borrow;
use crate::guard::guard_or;

/// The greatest number of lines that are kept for a host. A host that has stopped taking them must not
/// exhaust memory.
const LINES_MAX: usize = 1024;

/// The log of the process, which its `tracing` subscriber writes to.
static LOG: Log = Log::new();

/// Takes the oldest line of the library's log (of the whole process's Rust `tracing`) that was not taken yet.
///
/// From the first call on, lines are kept for the host, 1,024 at most, and no longer written to stderr: a host that begins
/// to take them goes on, and takes them once more after its last `o2i_close`. What is beyond that is left out, and
/// one line says how many that were.
///
/// # Arguments
/// - `text` (borrowed, filled), `text_max`: where the line goes, and how many bytes that has room for. A longer line is cut
///   at the end of a character. Null with 0 takes no line: it only begins.
/// - `level` (borrowed, filled): where the line's level goes, one of `O2I_LOG_*`; `O2I_LOG_NONE` without a line. Null to
///   drop it.
///
/// # Returns
/// The length of the line in bytes: UTF-8, no end of line, no control characters. 0 when there is none.
///
/// # Safety
/// `text` is null or writable for `text_max` bytes; `level` is null or writable and aligned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn o2i_log_take(text: *mut u8, text_max: usize, level: *mut i32) -> usize {
    guard_or(0, || {
        let room = if text.is_null() { 0 } else { text_max };
        let line = LOG.take(room).unwrap_or_default();
        if borrow::place("level", level).is_ok() {
            // SAFETY: not null and aligned, and writable by this function's contract.
            unsafe { level.write(line.level) };
        }
        if !line.text.is_empty() {
            // SAFETY: a line has at most `room` bytes and is not shared; `text` is writable for that many
            // bytes by this function's contract.
            unsafe { text.copy_from_nonoverlapping(line.text.as_ptr(), line.text.len()) };
        }
        line.text.len()
    })
}

/// Logs the warnings and errors of the whole process's `tracing` from the first call on.
///
/// A process has one `tracing` subscriber: if the host has set one, it stays, and also receives our events.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error means that the host has its own subscriber.
        let _ = tracing::subscriber::set_global_default(subscriber(&LOG));
    });
}

fn subscriber(log: &'static Log) -> impl Subscriber + Send + Sync {
    // AWS's libraries warn about each attempt to find credentials. If all fail, our error has the causes.
    let levels = Targets::new()
        .with_default(Level::WARN)
        .with_target("aws_config", Level::ERROR)
        .with_target("aws_smithy", Level::ERROR);
    tracing_subscriber::fmt()
        .with_max_level(Level::WARN)
        .with_ansi(false)
        .with_writer(log)
        // It would report a failing stderr by writing to stderr, and panic.
        .log_internal_errors(false)
        .event_format(Line)
        .finish()
        .with(levels)
}

/// `<target>: message key=value`, without control characters.
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
        write!(writer, "{}: ", event.metadata().target())?;
        // A cause may contain line breaks or terminal control characters.
        for character in fields.chars() {
            if character.is_control() {
                write!(writer, "{}", character.escape_default())?;
            } else {
                writer.write_char(character)?;
            }
        }
        Ok(())
    }
}

/// One line, as the host takes it.
#[derive(Debug, PartialEq, Eq)]
struct Taken {
    level: i32,
    text: String,
}

impl Default for Taken {
    fn default() -> Self {
        Self {
            level: O2I_LOG_NONE,
            text: String::new(),
        }
    }
}

/// The destination of lines: stderr, until the host takes them.
#[derive(Debug)]
struct Log(Mutex<Kept>);

#[derive(Debug)]
struct Kept {
    /// Whether the host takes lines.
    by_host: bool,
    lines: VecDeque<Taken>,
    /// The number of lines that were dropped for lack of space.
    left_out: u64,
}

impl Log {
    const fn new() -> Self {
        Self(Mutex::new(Kept {
            by_host: false,
            lines: VecDeque::new(),
            left_out: 0,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a line for a host that takes lines; otherwise returns it.
    fn keep(&self, line: Taken) -> Option<Taken> {
        let mut kept = self.lock();
        if !kept.by_host {
            return Some(line);
        }
        if kept.lines.len() < LINES_MAX {
            kept.lines.push_back(line);
        } else {
            kept.left_out += 1;
        }
        None
    }

    /// Takes the oldest line, truncated to `room` bytes. From now on lines are kept for the host.
    fn take(&self, room: usize) -> Option<Taken> {
        let mut kept = self.lock();
        kept.by_host = true;
        if room == 0 {
            return None;
        }
        let mut line = match kept.lines.pop_front() {
            Some(line) => line,
            None if kept.left_out > 0 => Taken {
                level: O2I_LOG_WARN,
                text: format!(
                    "otlp2iceberg: {} further warnings are left out",
                    std::mem::take(&mut kept.left_out)
                ),
            },
            None => return None,
        };
        line.text.truncate(line.text.floor_char_boundary(room));
        Some(line)
    }
}

impl<'a> MakeWriter<'a> for &'static Log {
    type Writer = LineWriter;

    fn make_writer(&'a self) -> LineWriter {
        LineWriter {
            log: self,
            level: O2I_LOG_WARN,
        }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> LineWriter {
        let level = if *metadata.level() == Level::ERROR {
            O2I_LOG_ERROR
        } else {
            O2I_LOG_WARN
        };
        LineWriter { log: self, level }
    }
}

/// Collects one line, which the subscriber writes at once.
struct LineWriter {
    log: &'static Log,
    level: i32,
}

impl Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line).into_owned();
        let level = self.level;
        if let Some(line) = self.log.keep(Taken { level, text }) {
            io::stderr().write_all(stamped(&line).as_bytes())?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A line for stderr: `<time in UTC> otlp2iceberg WARN <target>: …`.
fn stamped(line: &Taken) -> String {
    let mut text = String::new();
    // A time that cannot be formatted only leaves its field empty.
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    let level = if line.level == O2I_LOG_ERROR {
        "ERROR"
    } else {
        "WARN"
    };
    text + " otlp2iceberg " + level + " " + &line.text + "\n"
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    /// A log of the test's own, from which a host takes lines.
    fn taken() -> &'static Log {
        let log: &'static Log = Box::leak(Box::new(Log::new()));
        assert_eq!(log.take(0), None);
        log
    }

    fn line(level: i32, text: &str) -> Taken {
        Taken {
            level,
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_warning_is_one_line_and_what_is_below_is_none() {
        let log = taken();
        tracing::subscriber::with_default(subscriber(log), || {
            tracing::info!("not told");
            tracing::warn!(target: "commit", path = "a/b", attempts = 2, cause = %"no\nspace", "cannot delete");
            tracing::error!(target: "commit", "ended badly");
        });
        let warning = "commit: cannot delete path=\"a/b\" attempts=2 cause=no\\nspace";
        assert_eq!(log.take(1000), Some(line(O2I_LOG_WARN, warning)));
        assert_eq!(log.take(1000), Some(line(O2I_LOG_ERROR, "commit: ended badly")));
        assert_eq!(log.take(1000), None);
    }

    #[test]
    fn of_aws_libraries_only_errors_are_logged() {
        let log = taken();
        tracing::subscriber::with_default(subscriber(log), || {
            tracing::warn!(target: "aws_config::imds::region", "failed to load region from IMDS");
            tracing::warn!(target: "aws_smithy_runtime::client", "no answer");
            tracing::error!(target: "aws_config::profile", "ended badly");
            tracing::warn!(target: "otlp2iceberg::aws", "ours");
        });
        let error = "aws_config::profile: ended badly";
        assert_eq!(log.take(1000), Some(line(O2I_LOG_ERROR, error)));
        assert_eq!(
            log.take(1000),
            Some(line(O2I_LOG_WARN, "otlp2iceberg::aws: ours"))
        );
        assert_eq!(log.take(1000), None);
    }

    #[test]
    fn without_a_host_that_takes_it_a_line_goes_to_stderr_with_its_time() {
        let log = Log::new();
        let given_back = log.keep(line(O2I_LOG_ERROR, "commit: ended badly")).unwrap();
        assert_eq!(log.lock().lines.len(), 0);
        let stamped = stamped(&given_back);
        let (time, rest) = stamped.split_once(' ').unwrap();
        assert_eq!(rest, "otlp2iceberg ERROR commit: ended badly\n");
        let shape: String = time
            .chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect();
        assert_eq!(shape, "0000-00-00T00:00:00.000000Z");
    }

    #[test]
    fn a_line_is_cut_at_the_end_of_a_character() {
        let log = taken();
        assert_eq!(log.keep(line(O2I_LOG_WARN, "aü")), None);
        assert_eq!(log.take(2), Some(line(O2I_LOG_WARN, "a")));
    }

    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let log = taken();
        for number in 0..LINES_MAX + 3 {
            assert_eq!(log.keep(line(O2I_LOG_WARN, &number.to_string())), None);
        }
        for number in 0..LINES_MAX {
            assert_eq!(log.take(1000), Some(line(O2I_LOG_WARN, &number.to_string())));
        }
        let left_out = "otlp2iceberg: 3 further warnings are left out";
        assert_eq!(log.take(1000), Some(line(O2I_LOG_WARN, left_out)));
        assert_eq!(log.take(1000), None);
    }

    #[test]
    fn installing_again_does_nothing() {
        install();
        install();
    }
}
