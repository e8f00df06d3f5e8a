//! Cancel tokens: how another thread stops a call.

use std::ptr;

use tokio_util::sync::CancellationToken;

use crate::guard::guard_or;

/// A cancel token. Opaque; made by `o2i_cancel_new`, freed by `o2i_cancel_free`.
#[derive(Debug)]
pub struct Cancel(CancellationToken);

/// Makes a cancel token, not triggered.
///
/// # Returns
/// Owned: `o2i_cancel_free`. Null only when the library has a bug.
#[unsafe(no_mangle)]
pub extern "C" fn o2i_cancel_new() -> *mut Cancel {
    guard_or(ptr::null_mut(), || {
        Box::into_raw(Box::new(Cancel(CancellationToken::new())))
    })
}

/// Cancels the calls that were given this token, running or yet to come. It returns at once; the calls
/// return when they have come to a safe place: a commit in flight is never abandoned. Once triggered
/// a token stays so.
///
/// # Arguments
/// - `cancel` (borrowed): a token, or null, which does nothing. Any thread may trigger it.
///
/// # Safety
/// `cancel` is null or came from `o2i_cancel_new` and is not freed during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn o2i_cancel_trigger(cancel: *const Cancel) {
    guard_or((), || {
        // SAFETY: by this function's contract; a token is only ever borrowed shared until it is freed.
        if let Some(cancel) = unsafe { cancel.as_ref() } {
            cancel.0.cancel();
        }
    });
}

/// Frees a cancel token. It does not trigger it.
///
/// # Arguments
/// - `cancel` (consumed): a token that no call is using any more, or null.
///
/// # Safety
/// `cancel` is null or came from `o2i_cancel_new`, is not freed yet, and no other call has it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn o2i_cancel_free(cancel: *mut Cancel) {
    guard_or((), || {
        if !cancel.is_null() {
            // SAFETY: made by `Box::into_raw` in `o2i_cancel_new` and given back once, by contract.
            drop(unsafe { Box::from_raw(cancel) });
        }
    });
}

/// The token to wait on; without one from the caller, a token that is never triggered.
///
/// # Safety
/// `cancel` is null or came from `o2i_cancel_new` and is not freed during the call.
pub(crate) unsafe fn token(cancel: *const Cancel) -> CancellationToken {
    // SAFETY: by this function's contract; shared borrows only.
    unsafe { cancel.as_ref() }.map_or_else(CancellationToken::new, |cancel| cancel.0.clone())
}
