//! Converts C's pairs of pointer and length to slices, or to an error.

use std::mem::size_of;
use std::slice;

use otlp2iceberg::{Error, ErrorKind, Result};

/// Borrows `len` elements at `data`. Null with length 0 is the empty slice; `name` names the argument
/// in an error.
///
/// # Errors
/// `InvalidArgument` for null with another length, a misaligned pointer, or more than memory can hold.
///
/// # Safety
/// If `data` is not null, it points to `len` initialised elements that nobody writes to while the
/// returned slice is in use.
pub(crate) unsafe fn slice<'a, T: Copy>(name: &str, data: *const T, len: usize) -> Result<&'a [T]> {
    if len == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(invalid(format!("{name} is null but its length is {len}")));
    }
    if !data.is_aligned() {
        return Err(invalid(format!("{name} is not aligned")));
    }
    let bytes = len.checked_mul(size_of::<T>());
    if bytes.is_none_or(|bytes| bytes > isize::MAX.unsigned_abs()) {
        return Err(invalid(format!("{name} cannot have {len} elements")));
    }
    // SAFETY: not null, aligned, at most `isize::MAX` bytes, and initialised and unchanging by this
    // function's contract.
    Ok(unsafe { slice::from_raw_parts(data, len) })
}

/// Checks that the location for a result is valid.
///
/// # Errors
/// `InvalidArgument` when it is null or misaligned.
pub(crate) fn place<T>(name: &str, place: *mut T) -> Result<()> {
    if place.is_null() {
        return Err(invalid(format!("{name} is null")));
    }
    if !place.is_aligned() {
        return Err(invalid(format!("{name} is not aligned")));
    }
    Ok(())
}

/// The error for an invalid argument.
pub(crate) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}
