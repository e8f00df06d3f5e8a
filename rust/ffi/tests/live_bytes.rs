//! Nothing is kept from call to call: the bytes alive on the Rust side come back to the baseline.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "support/otlp.rs"]
mod otlp;
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;
use std::sync::atomic::{AtomicIsize, Ordering};

use otlp2iceberg_ffi::abi::*;
use otlp2iceberg_ffi::cancel::{o2i_cancel_free, o2i_cancel_new, o2i_cancel_trigger};
use serde_json::json;
use support::{
    FOR_EVER, Opened, Request, batch, close, config_check, export, export_batch, free, open, part,
};
use tempfile::TempDir;

/// The system's allocator, counting.
struct Counting;

static LIVE_BYTES: AtomicIsize = AtomicIsize::new(0);

// SAFETY: every call goes to the system's allocator as it came; only numbers are added.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE_BYTES.fetch_add(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: the caller's contract is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: the caller's contract is the system's.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CALLS: usize = 10_000;

/// Less than 4 bytes per call: pools and caches may breathe, but the smallest leak per call shows.
const SLACK_BYTES: isize = 32 * 1024;

/// One test, because the count is the process's.
#[test]
fn live_bytes_return_to_the_baseline() {
    let directory = TempDir::new().unwrap();
    let config = json!({"catalog": {"warehouse": directory.path()}}).to_string();
    let payload = otlp::logs(3);
    let parts = [part(1, payload.len())];
    let request = Request::new(O2I_SIGNAL_LOGS, &payload, &parts);

    let handle = open(&config).unwrap();
    assert_eq!(export(handle, request).0.rows, 3);
    round(handle, request, CALLS / 10);
    let baseline = LIVE_BYTES.load(Ordering::Relaxed);
    round(handle, request, CALLS);
    assert_near(baseline, "10,000 calls on one handle");
    assert_eq!(close(handle, FOR_EVER), Ok(()));

    let open_and_close = |times: usize| {
        for _ in 0..times {
            let handle = open(&config).unwrap();
            assert_eq!(export(handle, request).0.already_committed, 1);
            assert_eq!(close(handle, FOR_EVER), Ok(()));
        }
    };
    open_and_close(2);
    let baseline = LIVE_BYTES.load(Ordering::Relaxed);
    open_and_close(20);
    assert_near(baseline, "20 handles opened and closed");
}

/// So many calls, of every kind in turn: an export that finds its rows there, exports that fail in
/// each of their stages, a batch, a wrong configuration, a cancel token.
fn round(handle: Opened, request: Request<'_>, calls: usize) {
    let not_otlp = [0x0a, 0x7f];
    let not_otlp_parts = [part(2, not_otlp.len())];
    for call in 0..calls {
        match call % 6 {
            0 => {
                let (outcome, result) = export(handle, request);
                assert_eq!(result, Ok(()));
                assert_eq!((outcome.rows, outcome.already_committed), (0, 1));
            }
            1 => {
                let request = Request::new(O2I_SIGNAL_LOGS, &not_otlp, &not_otlp_parts);
                assert_fails_with(O2I_ERROR_DECODE, export(handle, request).1);
            }
            2 => {
                let request = Request {
                    parts: &[],
                    ..request
                };
                assert_fails_with(O2I_ERROR_INVALID_ARGUMENT, export(handle, request).1);
            }
            3 => assert_fails_with(O2I_ERROR_CONFIG, config_check(r#"{"unknown": 1}"#)),
            4 => {
                let held = batch(request.signal, request.payload, request.parts);
                let (outcome, result) = export_batch(handle, held, ptr::null());
                assert_eq!(result, Ok(()));
                assert_eq!((outcome.rows, outcome.already_committed), (0, 1));
                free(held);
            }
            _ => {
                let cancel = o2i_cancel_new();
                // SAFETY: made above.
                unsafe { o2i_cancel_trigger(cancel) };
                let request = Request { cancel, ..request };
                assert_fails_with(O2I_ERROR_CANCELLED, export(handle, request).1);
                // SAFETY: made above, and no call uses it any more.
                unsafe { o2i_cancel_free(cancel) };
            }
        }
    }
}

fn assert_fails_with(code: i32, result: Result<(), support::Failure>) {
    assert_eq!(result.unwrap_err().code, code);
}

fn assert_near(baseline: isize, what: &str) {
    let grown = LIVE_BYTES.load(Ordering::Relaxed) - baseline;
    assert!(grown < SLACK_BYTES, "{what} left {grown} bytes more than before");
}
