//! The common entry of all calls: whatever happens inside, the host gets a return value.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

use otlp2iceberg::{Error, ErrorKind, panic_text};

use crate::abi::O2I_OK;
use crate::error::{self, AbiError, Rendered};
use crate::test_hooks::{self, Point};

/// Runs a call that can fail. Its error or panic is written to `place`, and the error's code is returned. On
/// success `place` is zeroed.
///
/// # Safety
/// `place` is null or writable and aligned; what it holds is not read.
pub(crate) unsafe fn guard(place: *mut AbiError, body: impl FnOnce() -> Result<(), Error>) -> i32 {
    // The error is rendered inside, since that runs the `Display` of its sources.
    let failure = caught(|| body().err().as_ref().map(Rendered::from))
        .unwrap_or_else(|panic| Some(Rendered::from(&panic)));
    let code = failure.as_ref().map_or(O2I_OK, |failure| failure.code);
    // SAFETY: by this function's contract.
    unsafe { error::write(place, failure) };
    code
}

/// Runs a call that cannot report an error; a panic returns `fallback`.
pub(crate) fn guard_or<T>(fallback: T, body: impl FnOnce() -> T) -> T {
    caught(body).unwrap_or(fallback)
}

/// Runs `body`; a panic becomes an `Internal` error that quotes it.
///
/// `AssertUnwindSafe` holds: a body shares only two things with later calls. The registry of handles is
/// consistent between any two of its statements, and a panic poisons a handle's state.
fn caught<T>(body: impl FnOnce() -> T) -> Result<T, Error> {
    #[cfg(feature = "mimalloc")]
    crate::allocator::set_up();
    let run = AssertUnwindSafe(|| {
        test_hooks::reach(Point::Guard);
        body()
    });
    catch_unwind(run).map_err(|payload| {
        let error = Error::new(
            ErrorKind::Internal,
            format!("a bug in otlp2iceberg: it panicked: {}", panic_text(&*payload)),
        );
        discard(payload);
        error
    })
}

/// Drops a panic's payload, whose own `drop` could panic again.
fn discard(payload: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        mem::forget(again);
    }
}
