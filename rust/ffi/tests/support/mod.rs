//! What the test binaries share: the calls of the boundary with their pointers spelled out once.

#![allow(
    dead_code,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each test binary uses its own part; a test fails by panicking"
)]

use std::mem::MaybeUninit;
use std::{ptr, slice};

use otlp2iceberg_ffi::abi::{AbiOutcome, AbiPart, O2I_OK, O2I_RETRY_CLASS_NONE};
use otlp2iceberg_ffi::batch::{
    Batch, o2i_batch_append, o2i_batch_copy, o2i_batch_free, o2i_batch_merge, o2i_batch_new,
};
use otlp2iceberg_ffi::cancel::Cancel;
use otlp2iceberg_ffi::config::o2i_config_check;
use otlp2iceberg_ffi::error::{AbiError, o2i_error_free};
use otlp2iceberg_ffi::export::{o2i_batch_export, o2i_export};
use otlp2iceberg_ffi::handle::{Handle, o2i_begin_shutdown, o2i_close, o2i_open};
use otlp2iceberg_ffi::logging::o2i_log_take;

pub const FOR_EVER: u64 = u64::MAX;

/// A failure as a host sees it, copied out of the library's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub code: i32,
    pub retry_class: i32,
    pub retry_after_ms: u64,
    pub message: String,
}

/// A handle that a test may share between threads, as a host does.
#[derive(Debug, Clone, Copy)]
pub struct Opened(pub *mut Handle);

// SAFETY: the boundary lets any thread use a handle.
unsafe impl Send for Opened {}
// SAFETY: as above.
unsafe impl Sync for Opened {}

/// Runs a call with a place for its error that holds rubbish, checks that the place and the code say
/// the same, and frees the error.
pub fn call(body: impl FnOnce(*mut AbiError) -> i32) -> Result<(), Failure> {
    let mut place = MaybeUninit::new(AbiError {
        code: -1,
        retry_class: -1,
        retry_after_ms: 1,
        message: ptr::dangling_mut(),
        message_len: usize::MAX,
    });
    let code = body(place.as_mut_ptr());
    // SAFETY: initialised above, and written by the call.
    let mut error = unsafe { place.assume_init() };
    assert_eq!(error.code, code, "the code returned is the error's");
    let message = if error.message.is_null() {
        assert_eq!(error.message_len, 0, "a null message is empty");
        String::new()
    } else {
        // SAFETY: a message that is not null is readable for its length.
        let message = unsafe { slice::from_raw_parts(error.message, error.message_len) };
        String::from_utf8(message.to_vec()).expect("a message is UTF-8")
    };
    let failure = Failure {
        code,
        retry_class: error.retry_class,
        retry_after_ms: error.retry_after_ms,
        message,
    };
    // SAFETY: filled by the library; the second call finds it zeroed.
    unsafe {
        o2i_error_free(&raw mut error);
        o2i_error_free(&raw mut error);
    }
    assert!(error.message.is_null() && error.message_len == 0 && error.code == O2I_OK);
    if code == O2I_OK {
        assert_eq!(failure.retry_class, O2I_RETRY_CLASS_NONE);
        assert!(failure.message.is_empty(), "success has no message");
        return Ok(());
    }
    assert_ne!(failure.retry_class, O2I_RETRY_CLASS_NONE);
    Err(failure)
}

pub fn config_check(json: &str) -> Result<(), Failure> {
    // SAFETY: a live slice and the place that `call` gives.
    call(|error| unsafe { o2i_config_check(json.as_ptr(), json.len(), error) })
}

pub fn open(json: &str) -> Result<Opened, Failure> {
    let mut handle = ptr::dangling_mut();
    // SAFETY: a live slice and live places.
    let opened = call(|error| unsafe { o2i_open(json.as_ptr(), json.len(), &raw mut handle, error) });
    assert_eq!(
        opened.is_err(),
        handle.is_null(),
        "null goes with an error, and only with it"
    );
    opened.map(|()| Opened(handle))
}

pub fn begin_shutdown(handle: Opened) -> Result<(), Failure> {
    // SAFETY: the place that `call` gives.
    call(|error| unsafe { o2i_begin_shutdown(handle.0, error) })
}

pub fn close(handle: Opened, timeout_ms: u64) -> Result<(), Failure> {
    // SAFETY: the place that `call` gives.
    call(|error| unsafe { o2i_close(handle.0, timeout_ms, error) })
}

/// What `o2i_export` is told, with defaults that a test overrides one by one.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub signal: u32,
    pub payload: &'a [u8],
    pub parts: &'a [AbiPart],
    pub received_unix_nano: u64,
    pub cancel: *const Cancel,
    pub timeout_ms: u64,
}

// SAFETY: the boundary lets any thread use a cancel token; the rest is shared borrows.
unsafe impl Send for Request<'_> {}
// SAFETY: as above.
unsafe impl Sync for Request<'_> {}

impl<'a> Request<'a> {
    pub fn new(signal: u32, payload: &'a [u8], parts: &'a [AbiPart]) -> Self {
        Self {
            signal,
            payload,
            parts,
            received_unix_nano: 0,
            cancel: ptr::null(),
            timeout_ms: FOR_EVER,
        }
    }
}

/// Exports; gives the outcome, which is all 0 unless something was stored, and the failure if any.
pub fn export(handle: Opened, request: Request<'_>) -> (AbiOutcome, Result<(), Failure>) {
    let mut outcome = MaybeUninit::new(AbiOutcome {
        rows: u64::MAX,
        ..AbiOutcome::default()
    });
    // SAFETY: live slices, a live token or null, live places.
    let result = call(|error| unsafe {
        o2i_export(
            handle.0,
            request.signal,
            request.payload.as_ptr(),
            request.payload.len(),
            request.parts.as_ptr(),
            request.parts.len(),
            request.received_unix_nano,
            request.cancel,
            request.timeout_ms,
            outcome.as_mut_ptr(),
            error,
        )
    });
    // SAFETY: initialised above.
    (unsafe { outcome.assume_init() }, result)
}

/// A batch that a test may share between threads. The test frees it.
#[derive(Debug, Clone, Copy)]
pub struct Held(pub *mut Batch);

// SAFETY: the boundary lets any thread use a batch.
unsafe impl Send for Held {}
// SAFETY: as above.
unsafe impl Sync for Held {}

/// A new batch of these requests.
pub fn batch(signal: u32, payload: &[u8], parts: &[AbiPart]) -> Held {
    let mut made = ptr::dangling_mut();
    // SAFETY: live places.
    call(|error| unsafe { o2i_batch_new(signal, &raw mut made, error) }).unwrap();
    append(Held(made), payload, parts).unwrap();
    Held(made)
}

pub fn append(batch: Held, payload: &[u8], parts: &[AbiPart]) -> Result<(), Failure> {
    // SAFETY: live slices and the place that `call` gives.
    call(|error| unsafe {
        o2i_batch_append(
            batch.0,
            payload.as_ptr(),
            payload.len(),
            parts.as_ptr(),
            parts.len(),
            error,
        )
    })
}

pub fn merge(batch: Held, other: Held) -> Result<(), Failure> {
    // SAFETY: live batches or null, and the place that `call` gives.
    call(|error| unsafe { o2i_batch_merge(batch.0, other.0, error) })
}

/// The bytes of a batch that should have so many.
pub fn copy(batch: Held, len: usize) -> Result<Vec<u8>, Failure> {
    let mut payload = vec![0; len];
    // SAFETY: a live batch or null, a live slice, and the place that `call` gives.
    call(|error| unsafe { o2i_batch_copy(batch.0, payload.as_mut_ptr(), len, error) })?;
    Ok(payload)
}

pub fn free(batch: Held) {
    // SAFETY: made by `batch`, freed once.
    unsafe { o2i_batch_free(batch.0) }
}

/// Exports a batch; gives what `export` gives.
pub fn export_batch(handle: Opened, batch: Held, cancel: *const Cancel) -> (AbiOutcome, Result<(), Failure>) {
    let mut outcome = MaybeUninit::new(AbiOutcome {
        rows: u64::MAX,
        ..AbiOutcome::default()
    });
    // SAFETY: a live batch or null, a live token or null, live places.
    let result = call(|error| unsafe {
        o2i_batch_export(
            handle.0,
            batch.0,
            0,
            cancel,
            FOR_EVER,
            outcome.as_mut_ptr(),
            error,
        )
    });
    // SAFETY: initialised above.
    (unsafe { outcome.assume_init() }, result)
}

/// A part of the writer `[7; 16]`.
pub fn part(sequence: u64, len: usize) -> AbiPart {
    AbiPart {
        writer: [7; 16],
        sequence,
        len: len as u64,
    }
}

/// The oldest line of the log, with room for `room` bytes, and its level.
pub fn log_take(room: usize) -> (i32, String) {
    let mut level = -1;
    let mut text = Vec::with_capacity(room);
    // SAFETY: the vector has room for `room` bytes, of which the call fills as many as it says.
    unsafe {
        let len = o2i_log_take(text.as_mut_ptr(), room, &raw mut level);
        text.set_len(len);
    }
    (level, String::from_utf8(text).unwrap())
}
