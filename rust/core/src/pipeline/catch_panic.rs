//! A bug that a payload sets off ends that payload's work, not the process.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Error, ErrorKind, panic_text};

/// Does a payload's work; a panic in it becomes an `Internal` error.
///
/// `AssertUnwindSafe` holds for conversion and encoding: they are pure, and what they had made
/// belongs to the call and is dropped after an error.
pub(super) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let message = format!("a bug in otlp2iceberg: it panicked: {}", panic_text(&*panic));
        // Dropping what a panic carries could panic again.
        mem::forget(panic);
        Error::new(ErrorKind::Internal, message)
    })
}
