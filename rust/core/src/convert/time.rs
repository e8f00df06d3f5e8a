//! Times in microseconds (rule 2).

use super::context::Context;

const NANOSECONDS_PER_MICROSECOND: i64 = 1000;

/// A time as sent: nanoseconds since the Unix epoch; none if it is 0, or, counted, out of range.
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

/// Nanoseconds cut to microseconds. They are never negative, so cutting is the floor.
#[inline]
pub(super) fn microseconds(nanoseconds: i64) -> i64 {
    nanoseconds / NANOSECONDS_PER_MICROSECOND
}
