//! Storing one payload.

use std::time::Duration;

use otlp2iceberg::{Error, ErrorKind, Export, Part, Result};

use crate::abi::{self, AbiOutcome, AbiPart};
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
        let parts = parts_of(unsafe { borrow::slice("parts", parts, parts_len) }?, payload)?;
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
        unsafe { outcome.write(AbiOutcome::from(&stored)) };
        if stored.rejected == 0 {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Rejected, stored.rejection))
    };
    // SAFETY: by this function's contract.
    unsafe { guard(error, body) }
}

/// The library's own form of the parts, once they are known to cover the payload.
fn parts_of(parts: &[AbiPart], payload: &[u8]) -> Result<Vec<Part>> {
    let total = parts
        .iter()
        .try_fold(0_u64, |total, part| total.checked_add(part.len));
    if total != u64::try_from(payload.len()).ok() {
        return Err(borrow::invalid(format!(
            "the lengths of the parts add up to {}, but the payload has {} bytes",
            total.map_or("more than 64 bits hold".into(), |total| total.to_string()),
            payload.len(),
        )));
    }
    Ok(parts.iter().copied().map(Part::from).collect())
}
