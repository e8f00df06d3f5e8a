//! Trace and span ids as lower-case hex (rule 4).

use super::context::Context;
use super::text_column::TextColumn;

/// Appends a trace id: 16 bytes, 32 digits.
#[inline]
pub(super) fn append_trace_id(column: &mut TextColumn, id: &[u8], context: &mut Context) {
    append::<16>(column, id, context);
}

/// Appends a span id: 8 bytes, 16 digits.
#[inline]
pub(super) fn append_span_id(column: &mut TextColumn, id: &[u8], context: &mut Context) {
    append::<8>(column, id, context);
}

/// An id of another length, or all zeros, is null and counted. A missing id is null and not counted.
#[inline]
fn append<const BYTES: usize>(column: &mut TextColumn, id: &[u8], context: &mut Context) {
    match <&[u8; BYTES]>::try_from(id) {
        Ok(id) if *id != [0; BYTES] => {
            let mut hex = [[0; 2]; BYTES];
            for (digits, &byte) in hex.iter_mut().zip(id) {
                *digits = HEX[usize::from(byte)];
            }
            column.append(hex.as_flattened());
        }
        _ => {
            context.repairs.invalid_ids += u64::from(!id.is_empty());
            column.append_null();
        }
    }
}

/// The two digits of each byte.
const HEX: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hex = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        hex[byte] = [DIGITS[byte >> 4], DIGITS[byte & 0x0f]];
        byte += 1;
    }
    hex
};
