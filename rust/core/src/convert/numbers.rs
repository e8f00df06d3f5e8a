//! Converts OTLP's numbers to the signed types of the tables (rules 11 and 12).

use super::primitive::{DoubleColumn, LongColumn};
use crate::decode::NumberValue;

/// A count of dropped items, clamped to the greatest value that fits.
#[inline]
pub(super) fn dropped(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// A count in a `long` column. If it is too large, `rejection` is set with `what` as its name.
#[inline]
pub(super) fn append_count(
    column: &mut LongColumn,
    count: u64,
    what: &'static str,
    rejection: &mut Option<String>,
) {
    let fitting = i64::try_from(count).ok();
    if fitting.is_none() && rejection.is_none() {
        *rejection = Some(too_large(what, count));
    }
    column.append(fitting.unwrap_or_default());
}

/// The rejection of a count that exceeds a `long`.
#[cold]
pub(super) fn too_large(what: &str, count: u64) -> String {
    format!("its {what} {count} is above {}", i64::MAX)
}

/// The nearest double in one column and, if the value was an integer, that integer in the other.
#[inline]
pub(super) fn append_value(
    doubles: &mut DoubleColumn,
    integers: &mut LongColumn,
    value: Option<NumberValue>,
) {
    let (double, integer) = match value {
        None => (None, None),
        Some(NumberValue::Double(double)) => (Some(double), None),
        #[expect(clippy::cast_precision_loss, reason = "the exact number stands beside it")]
        Some(NumberValue::Int(integer)) => (Some(integer as f64), Some(integer)),
    };
    doubles.append_option(double);
    integers.append_option(integer);
}
