//! Runs the heavy work of a call on its own thread.

use std::panic::resume_unwind;
use std::thread;

use crate::error::{Error, ErrorKind, Result, RetryClass};

/// Runs work on a new thread, and waits for it. A panic in the work is resumed here.
///
/// Allocators keep some of the memory that a thread freed for the same thread's next work. A host that waits
/// for commits has one thread per waiting call. With mimalloc, each of them kept some 18 MiB of its work. A
/// thread that ends keeps nothing. Compared with a batch's work, the cost of starting a thread is not
/// measurable.
///
/// # Errors
/// `Internal`, retryable, when the system cannot start a thread.
pub(super) fn run_on_worker<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    thread::scope(|scope| {
        let worker = thread::Builder::new()
            .name("otlp2iceberg".to_owned())
            .spawn_scoped(scope, work)
            .map_err(|cause| {
                let message = "the system gave no thread to convert a payload on; raise the limit of the process's threads";
                Error::new(ErrorKind::Internal, message)
                    .class(RetryClass::Retry { after: None })
                    .because(cause)
            })?;
        worker.join().map_or_else(|panic| resume_unwind(panic), Ok)
    })
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn work_is_done_on_another_thread_with_what_the_caller_has() {
        let mut numbers = vec![1, 2, 3];
        let worker = run_on_worker(|| {
            numbers.push(4);
            thread::current().id()
        });
        assert_ne!(worker.expect("started"), thread::current().id());
        assert_eq!(numbers, [1, 2, 3, 4]);
    }

    #[test]
    fn a_panic_goes_on_where_the_work_was_asked_for() {
        let panic = catch_unwind(|| run_on_worker(|| panic!("told to"))).expect_err("panicked");
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"told to"));
    }
}
