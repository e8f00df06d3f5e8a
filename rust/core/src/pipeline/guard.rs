//! A bug that a payload sets off ends that payload's work, not the process.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Error, ErrorKind};

/// Does a payload's work; a panic in it becomes an `Internal` error.
///
/// `AssertUnwindSafe` holds for conversion and encoding: they are pure, and what they had made
/// belongs to the call and is dropped after an error.
pub(super) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let message = format!("a bug in otlp2iceberg: it panicked: {}", text(&*panic));
        // Dropping what a panic carries could panic again.
        mem::forget(panic);
        Error::new(ErrorKind::Internal, message)
    })
}

fn text(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&str>() {
        text
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        "(without a message)"
    }
}
