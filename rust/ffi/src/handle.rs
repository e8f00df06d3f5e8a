//! Handles: opened instances of the library, and the registry that finds them.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};
use std::time::Duration;

use otlp2iceberg::config::Config;
use otlp2iceberg::{Error, ErrorKind, Result};

use crate::borrow;
use crate::error::AbiError;
use crate::guard::guard;
use crate::instance::{Call, Instance};
use crate::logging;

/// The library, opened. Opaque; made by `o2i_open`, consumed by `o2i_close`.
#[derive(Debug)]
pub struct Handle {
    _opaque: (),
}

/// The open handles by the address of their instance, which is unique among open handles. A handle from the
/// host is looked up here and never dereferenced. A call that races with `o2i_close`, or comes after it,
/// therefore finds nothing instead of freed memory.
static OPEN: LazyLock<RwLock<HashMap<usize, Arc<Instance>>>> = LazyLock::new(RwLock::default);

/// Opens the library: reads the configuration, starts a runtime, opens the catalog. Tables are made
/// on the first write of each.
///
/// The first call in a process also has the warnings of the library (of the whole process's Rust
/// `tracing`) kept for `o2i_log_take`, or written to stderr, one line each, where the host never called that;
/// unless the host has set a `tracing` subscriber before.
///
/// # Arguments
/// - `config_json` (borrowed), `config_json_len`: a JSON object in UTF-8, its length in bytes.
/// - `handle` (owned by the caller, filled): where the handle goes. Not null; null is written to it on
///   failure.
/// - `error` (owned by the caller, filled): why not; null to drop it. Free with `o2i_error_free`.
///
/// # Returns
/// `O2I_OK` with an owned handle, to be given to `o2i_close`; or the code with `error` filled.
///
/// # Safety
/// `config_json` is null or readable for `config_json_len` bytes; `handle` and `error` are null or
/// writable and aligned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn o2i_open(
    config_json: *const u8,
    config_json_len: usize,
    handle: *mut *mut Handle,
    error: *mut AbiError,
) -> i32 {
    let body = || {
        borrow::place("handle", handle)?;
        // SAFETY: not null and aligned, and writable by this function's contract.
        unsafe { handle.write(std::ptr::null_mut()) };
        // SAFETY: by this function's contract.
        let json = unsafe { borrow::slice("config_json", config_json, config_json_len) }?;
        logging::install();
        let instance = Arc::new(Instance::open(Config::from_json(json)?)?);
        let address = Arc::as_ptr(&instance).cast::<Handle>().cast_mut();
        OPEN.write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(address.addr(), instance);
        // SAFETY: as above.
        unsafe { handle.write(address) };
        Ok(())
    };
    // SAFETY: by this function's contract.
    unsafe { guard(error, body) }
}

/// Has commits no longer wait for their turn, as if `commit.interval` were 0: those of calls in flight, and of
/// calls to come. For a host that is about to stop and has payloads left to hand over. There is no way back.
///
/// # Arguments
/// - `handle` (borrowed): an open handle.
/// - `error` (owned by the caller, filled): why not; null to drop it. Free with `o2i_error_free`.
///
/// # Returns
/// `O2I_OK`, at once; `O2I_ERROR_SHUTDOWN` when the handle is not open, `O2I_ERROR_INTERNAL` when it is
/// poisoned.
///
/// # Safety
/// `error` is null or writable and aligned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn o2i_begin_shutdown(handle: *const Handle, error: *mut AbiError) -> i32 {
    // SAFETY: by this function's contract.
    unsafe { guard(error, || enter(handle)?.begin_shutdown()) }
}

/// Closes the library: refuses new calls with class `O2I_RETRY_CLASS_SHUTDOWN`, waits for those in
/// flight, and stops the runtime.
///
/// Calls that are in flight on other threads are safe, and so is a call that begins meanwhile. A call
/// that begins after this one returned breaks the contract, though it too gets an error as long as no
/// new handle has the same address.
///
/// # Arguments
/// - `handle` (consumed, whatever the call returns): an open handle.
/// - `timeout_ms`: how long to wait for calls in flight and for the runtime's threads together.
/// - `error` (owned by the caller, filled): why not; null to drop it. Free with `o2i_error_free`.
///
/// # Returns
/// `O2I_OK` when no call is in flight any more; work in the background that was not done after `timeout_ms` is
/// abandoned with a warning. `O2I_ERROR_SHUTDOWN` when calls were still in flight then: they go on to their end on
/// their own threads, and the last one stops the runtime. `O2I_ERROR_INTERNAL` when the handle was poisoned; it is closed all the same.
///
/// # Safety
/// `error` is null or writable and aligned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn o2i_close(handle: *mut Handle, timeout_ms: u64, error: *mut AbiError) -> i32 {
    let body = || {
        if handle.is_null() {
            return Err(borrow::invalid("handle is null"));
        }
        let instance = OPEN
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&handle.addr())
            .ok_or_else(not_open)?;
        instance.close(Duration::from_millis(timeout_ms))
    };
    // SAFETY: by this function's contract.
    unsafe { guard(error, body) }
}

/// Starts a call on an open handle.
///
/// # Errors
/// `InvalidArgument` for null, `Shutdown` for a handle that is not open, `Internal` of class `Shutdown` for a
/// poisoned one.
pub(crate) fn enter(handle: *const Handle) -> Result<Call> {
    if handle.is_null() {
        return Err(borrow::invalid("handle is null"));
    }
    // The call is counted before the lock is released, so a subsequent close sees it.
    OPEN.read()
        .unwrap_or_else(PoisonError::into_inner)
        .get(&handle.addr())
        .ok_or_else(not_open)
        .and_then(Call::begin)
}

fn not_open() -> Error {
    Error::new(
        ErrorKind::Shutdown,
        "the handle is not open: it is closing or closed, or o2i_open did not make it",
    )
}
