//! Batches: requests whose bytes the library holds, outside the host's own memory.

use std::sync::{Mutex, MutexGuard, TryLockError};

use otlp2iceberg::{Part, Result};

use crate::abi::{self, AbiPart};
use crate::borrow;
use crate::error::AbiError;
use crate::guard::{guard, guard_or};

/// Requests of one signal. Opaque; made by `o2i_batch_new`, freed by `o2i_batch_free`.
///
/// The lock is never waited for: one call at a time uses a batch, and another gets an error.
#[derive(Debug)]
pub struct Batch(Mutex<otlp2iceberg::Batch>);

// Any thread of the host may use or free it.
const _: fn() = || {
    fn goes_anywhere<T: Send + Sync>() {}
    goes_anywhere::<Batch>();
};

/// Makes a batch without requests. It belongs to no handle until it is exported.
///
/// # Arguments
/// - `signal`: one of `O2I_SIGNAL_*`.
/// - `batch` (owned by the caller, filled): where the batch goes. Not null; null is written to it on
///   failure.
/// - `error` (owned by the caller, filled): why not; null to drop it. Free with `o2i_error_free`.
///
/// # Returns
/// `O2I_OK` with an owned batch, to be given to `o2i_batch_free`; or the code with `error` filled.
///
/// # Safety
/// `batch` and `error` are null or writable and aligned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn o2i_batch_new(signal: u32, batch: *mut *mut Batch, error: *mut AbiError) -> i32 {
    let body = || {
        borrow::place("batch", batch)?;
        // SAFETY: not null and aligned, and writable by this function's contract.
        unsafe { batch.write(std::ptr::null_mut()) };
        let made = otlp2iceberg::Batch::new(abi::signal(signal)?);
        // SAFETY: as above.
        unsafe { batch.write(Box::into_raw(Box::new(Batch(Mutex::new(made))))) };
        Ok(())
    };
    // SAFETY: by this function's contract.
    unsafe { guard(error, body) }
}

/// Copies requests into a batch, behind those that are there. When it fails nothing is added.
///
/// # Arguments
/// - `batch` (borrowed): a batch that was not exported yet, or whose export failed with its bytes still held.
/// - `payload` (borrowed), `payload_len`: the requests' serialized messages, one after the other.
/// - `parts` (borrowed), `parts_len`: the requests in it, in order. Their lengths add up to `payload_len`.
/// - `error` (owned by the caller, filled): why not; null to drop it. Free with `o2i_error_free`.
///
/// # Returns
/// `O2I_OK`, or the code with `error` filled.
///
/// # Safety
/// `batch` is null or came from `o2i_batch_new` and is not freed during the call; `payload` and `parts` are
/// null or readable for their lengths and nobody writes to them during the call; `error` is null or
/// writable and aligned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn o2i_batch_append(
    batch: *const Batch,
    payload: *const u8,
    payload_len: usize,
    parts: *const AbiPart,
    parts_len: usize,
    error: *mut AbiError,
) -> i32 {
    let body = || {
        // SAFETY: by this function's contract.
        let mut batch = unsafe { locked("batch", batch) }?;
        // SAFETY: by this function's contract.
        let mut rest = unsafe { borrow::slice("payload", payload, payload_len) }?;
        // SAFETY: by this function's contract.
        let parts = abi::parts_of(unsafe { borrow::slice("parts", parts, parts_len) }?, rest)?;
        batch.reserve(parts.len())?;
        for Part { id, len } in parts {
            // Their lengths add up to the payload's length.
            let len = usize::try_from(len).unwrap_or(usize::MAX).min(rest.len());
            let (message, tail) = rest.split_at(len);
            batch.append(id, message)?;
            rest = tail;
        }
        Ok(())
    };
    // SAFETY: by this function's contract.
    unsafe { guard(error, body) }
}

/// Says that some of a batch's requests may have been exported in another batch before, as those are that
/// come again from a queue on disk after a restart. Their bytes are then held until the batch is stored.
///
/// # Arguments
/// - `batch` (borrowed): a batch; null does nothing.
///
/// # Safety
/// `batch` is null or came from `o2i_batch_new` and is not freed during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn o2i_batch_set_redelivered(batch: *const Batch) {
    guard_or((), || {
        // SAFETY: by this function's contract.
        if let Ok(mut batch) = unsafe { locked("batch", batch) } {
            batch.set_redelivered();
        }
    });
}

/// Moves all requests of a batch behind those of another of the same signal. Both are as they were when it
/// fails.
///
/// # Arguments
/// - `batch` (borrowed): the batch that gets them.
/// - `other` (borrowed): the one that gives them; it is empty then and must still be freed.
/// - `error` (owned by the caller, filled): why not; null to drop it. Free with `o2i_error_free`.
///
/// # Returns
/// `O2I_OK`, or the code with `error` filled.
///
/// # Safety
/// `batch` and `other` are null or came from `o2i_batch_new` and are not freed during the call; `error` is
/// null or writable and aligned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn o2i_batch_merge(
    batch: *const Batch,
    other: *const Batch,
    error: *mut AbiError,
) -> i32 {
    let body = || {
        // SAFETY: by this function's contract.
        let mut batch = unsafe { locked("batch", batch) }?;
        // SAFETY: by this function's contract.
        let mut other = unsafe { locked("other", other) }?;
        batch.merge(&mut other)
    };
    // SAFETY: by this function's contract.
    unsafe { guard(error, body) }
}

/// Copies the serialized messages of a batch's requests out, one after the other.
///
/// # Arguments
/// - `batch` (borrowed): a batch whose bytes are still held.
/// - `payload` (owned by the caller, filled), `payload_len`: where they go, and how many they are: the sum of
///   the lengths that were appended and merged.
/// - `error` (owned by the caller, filled): why not; null to drop it. Free with `o2i_error_free`.
///
/// # Returns
/// `O2I_OK`, or the code with `error` filled and `payload` as it was.
///
/// # Safety
/// `batch` is null or came from `o2i_batch_new` and is not freed during the call; `payload` is null or
/// writable for `payload_len` bytes; `error` is null or writable and aligned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn o2i_batch_copy(
    batch: *const Batch,
    payload: *mut u8,
    payload_len: usize,
    error: *mut AbiError,
) -> i32 {
    let body = || {
        // SAFETY: by this function's contract.
        let batch = unsafe { locked("batch", batch) }?;
        let pieces = batch.pieces()?;
        if payload_len != batch.bytes() {
            return Err(borrow::invalid(format!(
                "payload_len is {payload_len}, but the batch holds {} bytes",
                batch.bytes()
            )));
        }
        if payload_len == 0 {
            return Ok(());
        }
        borrow::place("payload", payload)?;
        let mut at = 0;
        for piece in pieces {
            // SAFETY: writable for `payload_len` bytes by this function's contract, which is what all pieces
            // have together; the caller's memory is not ours, so they do not overlap.
            unsafe {
                payload
                    .add(at)
                    .copy_from_nonoverlapping(piece.as_ptr(), piece.len());
            }
            at += piece.len();
        }
        Ok(())
    };
    // SAFETY: by this function's contract.
    unsafe { guard(error, body) }
}

/// Frees a batch, with whatever it holds.
///
/// # Arguments
/// - `batch` (consumed): a batch that no call is using any more, or null.
///
/// # Safety
/// `batch` is null or came from `o2i_batch_new`, is not freed yet, and no other call has it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn o2i_batch_free(batch: *mut Batch) {
    guard_or((), || {
        if !batch.is_null() {
            // SAFETY: made by `Box::into_raw` in `o2i_batch_new` and given back once, by contract.
            drop(unsafe { Box::from_raw(batch) });
        }
    });
}

/// Locks the batch behind a pointer for the current call.
///
/// # Errors
/// `InvalidArgument` when it is null or another call uses it.
///
/// # Safety
/// `batch` is null or came from `o2i_batch_new` and is not freed while the result lives.
pub(crate) unsafe fn locked<'a>(
    name: &str,
    batch: *const Batch,
) -> Result<MutexGuard<'a, otlp2iceberg::Batch>> {
    // SAFETY: by this function's contract; shared borrows only, the lock does the rest.
    let Some(Batch(batch)) = (unsafe { batch.as_ref() }) else {
        return Err(borrow::invalid(format!("{name} is null")));
    };
    match batch.try_lock() {
        Ok(batch) => Ok(batch),
        // A panic left it between two requests, not inside one.
        Err(TryLockError::Poisoned(batch)) => Ok(batch.into_inner()),
        Err(TryLockError::WouldBlock) => Err(borrow::invalid(format!("{name} is in use by another call"))),
    }
}
