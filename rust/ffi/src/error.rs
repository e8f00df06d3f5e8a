//! The error that crosses the boundary.

use std::ptr;

use otlp2iceberg::{Error, RetryClass};

use crate::abi::{
    O2I_OK, O2I_RETRY_CLASS_NONE, O2I_RETRY_CLASS_PARTIAL, O2I_RETRY_CLASS_PERMANENT, O2I_RETRY_CLASS_RETRY,
    O2I_RETRY_CLASS_SHUTDOWN,
};
use crate::guard::guard_or;

/// Why a call failed and what to do about it. The caller gives the place; the call fills it.
#[derive(Debug)]
#[repr(C)]
pub struct AbiError {
    /// `O2I_OK` or one of `O2I_ERROR_*`; the same number that the call returned.
    pub code: i32,
    /// One of `O2I_RETRY_CLASS_*`: what to do with the request.
    pub retry_class: i32,
    /// For `O2I_RETRY_CLASS_RETRY`: milliseconds to wait at least; 0 when the library has no opinion.
    pub retry_after_ms: u64,
    /// One line of UTF-8, not NUL-terminated; null when there is none. Owned: `o2i_error_free`.
    pub message: *mut u8,
    /// Length of the message in bytes.
    pub message_len: usize,
}

impl AbiError {
    /// No error, nothing to free.
    pub(crate) const NONE: AbiError = AbiError {
        code: O2I_OK,
        retry_class: O2I_RETRY_CLASS_NONE,
        retry_after_ms: 0,
        message: ptr::null_mut(),
        message_len: 0,
    };
}

/// An error inside the library with its text already rendered. Rendering can run foreign code (the `Display`
/// of any source); writing the result to the caller's memory cannot.
#[derive(Debug)]
pub(crate) struct Rendered {
    pub(crate) code: i32,
    retry_class: i32,
    retry_after_ms: u64,
    message: String,
}

impl From<&Error> for Rendered {
    fn from(error: &Error) -> Self {
        let (retry_class, retry_after_ms) = match error.retry_class() {
            RetryClass::Retry { after } => (
                O2I_RETRY_CLASS_RETRY,
                after.map_or(0, |after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
            ),
            RetryClass::Permanent => (O2I_RETRY_CLASS_PERMANENT, 0),
            RetryClass::Partial => (O2I_RETRY_CLASS_PARTIAL, 0),
            RetryClass::Shutdown => (O2I_RETRY_CLASS_SHUTDOWN, 0),
        };
        Rendered {
            code: error.kind().code(),
            retry_class,
            retry_after_ms,
            message: error.to_string(),
        }
    }
}

impl Rendered {
    /// Transfers ownership of the message; the caller's `o2i_error_free` returns it.
    fn into_abi(self) -> AbiError {
        let message = self.message.into_bytes().into_boxed_slice();
        if message.is_empty() {
            return AbiError {
                code: self.code,
                retry_class: self.retry_class,
                retry_after_ms: self.retry_after_ms,
                ..AbiError::NONE
            };
        }
        let message_len = message.len();
        AbiError {
            code: self.code,
            retry_class: self.retry_class,
            retry_after_ms: self.retry_after_ms,
            message: Box::into_raw(message).cast::<u8>(),
            message_len,
        }
    }
}

/// Writes an error, or the absence of one, to the caller's location. A null location drops it.
///
/// # Safety
/// `place` is null or writable and aligned; what it holds is not read.
pub(crate) unsafe fn write(place: *mut AbiError, error: Option<Rendered>) {
    if place.is_null() {
        return;
    }
    let value = error.map_or(AbiError::NONE, Rendered::into_abi);
    // SAFETY: not null, and writable and aligned by this function's contract.
    unsafe { place.write(value) }
}

/// Frees an error's message and makes the error a zeroed one.
///
/// # Arguments
/// - `error` (borrowed; its message is consumed): an error that a call of this library filled, a
///   zeroed one, or null. Freeing the same one twice is safe, freeing a copy of a freed one is not.
///
/// # Safety
/// `error` is null, or aligned, readable and writable, and its message is null or was made by this
/// library and is not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn o2i_error_free(error: *mut AbiError) {
    guard_or((), || {
        if error.is_null() {
            return;
        }
        // SAFETY: not null, and valid for both by the caller's contract. Zeroed first, so that
        // nothing that happens later leaves a dangling message behind.
        let freed = unsafe { error.replace(AbiError::NONE) };
        if !freed.message.is_null() {
            let message = ptr::slice_from_raw_parts_mut(freed.message, freed.message_len);
            // SAFETY: `into_abi` made pointer and length from a boxed slice of just this length, and
            // the caller has not freed it yet.
            drop(unsafe { Box::from_raw(message) });
        }
    });
}
