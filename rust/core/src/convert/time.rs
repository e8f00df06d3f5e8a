//! Times in microseconds (rule 2).

use super::context::Context;

const NANOSECONDS_PER_MICROSECOND: i64 = 1000;

/// A time as sent: nanoseconds since the Unix epoch. `None` if it is 0, or if it is out of range, which is
/// counted.
#[inline]
pub(super) fn nanoseconds(time: u64, context: &mut Context) -> Option<i64> {
    match i64::try_from(time) {
        Ok(0) => None,
        Ok(time) => Some(time),
        Err(_) => {
            context.repairs.invalid_times += 1;
            None
        }
    }
}

/// Truncates nanoseconds to microseconds. They are never negative, so this rounds down.
#[inline]
pub(super) fn microseconds(nanoseconds: i64) -> i64 {
    nanoseconds / NANOSECONDS_PER_MICROSECOND
}
