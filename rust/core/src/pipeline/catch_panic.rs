//! Contains panics: a bug that a payload triggers ends the work on that payload, not the process.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Error, ErrorKind, panic_text};

/// Runs the work on a payload. A panic becomes an `Internal` error.
///
/// `AssertUnwindSafe` is sound for conversion and encoding: they are pure, and their results belong to the
/// call and are dropped after an error.
pub(super) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let message = format!("a bug in otlp2iceberg: it panicked: {}", panic_text(&*panic));
        // Dropping the panic's payload could panic again.
        mem::forget(panic);
        Error::new(ErrorKind::Internal, message)
    })
}
