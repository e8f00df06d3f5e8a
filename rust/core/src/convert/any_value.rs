//! The text of a value (rules 5 and 6).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::context::Context;
use super::json;
use crate::decode::{AnyValue, DecodeError};

/// Writes the text of a value; returns whether the value is set, and writes nothing if it is not.
///
/// # Errors
/// When a list inside is malformed; the path starts at the field of the oneof.
#[inline]
pub(super) fn write_text(
    value: AnyValue<'_>,
    out: &mut Vec<u8>,
    context: &mut Context,
) -> Result<bool, DecodeError> {
    match value {
        AnyValue::String(text) => out.extend_from_slice(&context.repaired(text)),
        AnyValue::Empty => return Ok(false),
        value => {
            let start = out.len();
            context.begin_text(start);
            write_other(value, out, context)?;
            context.end_text(start, out);
        }
    }
    Ok(true)
}

fn write_other(value: AnyValue<'_>, out: &mut Vec<u8>, context: &mut Context) -> Result<(), DecodeError> {
    match value {
        AnyValue::Double(number) if !number.is_finite() => {
            out.extend_from_slice(non_finite(number).as_bytes());
        }
        AnyValue::Bytes(bytes) => write_base64(bytes, out, context),
        value => json::write_value(value, 1, out, context)?,
    }
    Ok(())
}

/// The name of NaN and of the infinities.
pub(super) fn non_finite(number: f64) -> &'static str {
    if number.is_nan() {
        "NaN"
    } else if number > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

/// Writes a finite double, shortest form that reads back the same, always with a point or an exponent.
pub(super) fn write_finite(number: f64, out: &mut Vec<u8>) {
    out.extend_from_slice(zmij::Buffer::new().format_finite(number).as_bytes());
}

/// Writes bytes as base64 with padding (RFC 4648, section 4).
pub(super) fn write_base64(bytes: &[u8], out: &mut Vec<u8>, context: &mut Context) {
    context.encoded.clear();
    STANDARD.encode_string(bytes, &mut context.encoded);
    out.extend_from_slice(context.encoded.as_bytes());
}
