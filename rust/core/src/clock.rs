//! The system clock, which may be wrong and may go backwards: only for times that people and other writers
//! see.

use std::time::{SystemTime, UNIX_EPOCH};

/// The current time, milliseconds since 1970; 0 before that.
pub(crate) fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

/// The current time, nanoseconds since 1970; 0 before that.
pub(crate) fn now_unix_nano() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}
