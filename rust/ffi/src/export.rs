//! Stores one payload or one batch.

use std::time::Duration;

use otlp2iceberg::{Delivery, Error, ErrorKind, Export, Outcome, Result};

use crate::abi::{self, AbiOutcome, AbiPart};
use crate::batch::{self, Batch};
use crate::borrow;
use crate::cancel::{self, Cancel};
use crate::error::AbiError;
use crate::guard::guard;
use crate::handle::{self, Handle};

/// Stores one payload. `O2I_OK` means that every row is in a committed snapshot, or, with
/// `commit.on_failure: accept`, in a stored file whose receipt will be committed.
///
/// Any number of threads may call this on one handle at once. It works on the calling thread and on
/// the handle's runtime, and returns only when nothing reads `payload` any more.
///
/// # Arguments
/// - `handle` (borrowed): an open handle.
/// - `signal`: one of `O2I_SIGNAL_*`.
/// - `payload` (borrowed), `payload_len`: a serialized `Export*ServiceRequest`; several of the same
///   signal may be concatenated, which is their merge.
/// - `parts` (borrowed), `parts_len`: the requests in the payload, in order; the number of them. Their
///   lengths add up to `payload_len`.
/// - `received_unix_nano`: when the oldest of these requests was received, nanoseconds since 1970; 0 for
///   now. Records without a time of their own get it, so give the same when a request is sent again.
/// - `cancel` (borrowed): stops the call before its commit is begun; null for none.
/// - `timeout_ms`: how long the call may take before its commit is begun; 0 is no time at all,
///   `UINT64_MAX` is for ever.
/// - `outcome` (owned by the caller, filled): what was stored. Not null.
/// - `error` (owned by the caller, filled): why not; null to drop it. Free with `o2i_error_free`.
///
/// # Returns
/// `O2I_OK` with `outcome` filled and `error` zeroed; or the code with `error` filled and `outcome`
/// zeroed. When records were rejected by themselves and the rest is stored: `O2I_ERROR_REJECTED`,
/// class `O2I_RETRY_CLASS_PARTIAL`, and `outcome` filled too.
///
/// # Safety
/// `payload` and `parts` are null or readable for their lengths and nobody writes to them during the
/// call; `cancel` is null or a token that is not freed during the call; `outcome` and `error` are null
/// or writable and aligned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn o2i_export(
    handle: *const Handle,
    signal: u32,
    payload: *const u8,
    payload_len: usize,
    parts: *const AbiPart,
    parts_len: usize,
    received_unix_nano: u64,
    cancel: *const Cancel,
    timeout_ms: u64,
    outcome: *mut AbiOutcome,
    error: *mut AbiError,
) -> i32 {
    let body = || {
        borrow::place("outcome", outcome)?;
        // SAFETY: not null and aligned, and writable by this function's contract.
        unsafe { outcome.write(AbiOutcome::default()) };
        let signal = abi::signal(signal)?;
        // SAFETY: by this function's contract.
        let payload = unsafe { borrow::slice("payload", payload, payload_len) }?;
        // SAFETY: by this function's contract.
        let parts = abi::parts_of(unsafe { borrow::slice("parts", parts, parts_len) }?, payload)?;
        // SAFETY: by this function's contract.
        let cancel = unsafe { cancel::token(cancel) };

        let stored = handle::enter(handle)?.export(Export {
            signal,
            payload,
            parts: &parts,
            received_unix_nano,
            cancel,
            timeout: Duration::from_millis(timeout_ms),
        })?;
        // SAFETY: as above.
        unsafe { tell(&stored, outcome) }
    };
    // SAFETY: by this function's contract.
    unsafe { guard(error, body) }
}

/// Stores a batch, as `o2i_export` stores a payload. A batch of which this failed with class
/// `O2I_RETRY_CLASS_RETRY` is exported again on the same handle.
///
/// The library lets the requests' bytes go as soon as nothing can need them any more, which may be before
/// this returns, and before it succeeds; what is left to do is in the batch. It can then no longer be
/// appended to, merged or copied.
///
/// # Arguments
/// - `handle` (borrowed): an open handle; the same one each time.
/// - `batch` (borrowed): the requests. No other call may use it at the same time. It stays the caller's to
///   free, whatever the call returns.
/// - `received_unix_nano`, `cancel`, `timeout_ms`, `outcome`, `error`: as of `o2i_export`.
///
/// # Returns
/// As `o2i_export`.
///
/// # Safety
/// `batch` is null or came from `o2i_batch_new` and is not freed during the call; `cancel` is null or a
/// token that is not freed during the call; `outcome` and `error` are null or writable and aligned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn o2i_batch_export(
    handle: *const Handle,
    batch: *const Batch,
    received_unix_nano: u64,
    cancel: *const Cancel,
    timeout_ms: u64,
    outcome: *mut AbiOutcome,
    error: *mut AbiError,
) -> i32 {
    let body = || {
        borrow::place("outcome", outcome)?;
        // SAFETY: not null and aligned, and writable by this function's contract.
        unsafe { outcome.write(AbiOutcome::default()) };
        // SAFETY: by this function's contract.
        let mut batch = unsafe { batch::locked("batch", batch) }?;
        // SAFETY: by this function's contract.
        let cancel = unsafe { cancel::token(cancel) };
        let delivery = Delivery {
            received_unix_nano,
            cancel,
            timeout: Duration::from_millis(timeout_ms),
        };
        let stored = handle::enter(handle)?.export_batch(&mut batch, delivery)?;
        // SAFETY: as above.
        unsafe { tell(&stored, outcome) }
    };
    // SAFETY: by this function's contract.
    unsafe { guard(error, body) }
}

/// Fills the caller's outcome.
///
/// # Errors
/// `Rejected` (partial) when records were left out.
///
/// # Safety
/// `outcome` is writable and aligned.
unsafe fn tell(stored: &Outcome, outcome: *mut AbiOutcome) -> Result<()> {
    // SAFETY: by this function's contract.
    unsafe { outcome.write(AbiOutcome::from(stored)) };
    if stored.rejected == 0 {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Rejected, stored.rejection.clone()))
}
