//! Writes the part of protobuf's wire format that OTLP needs. Varints have minimal length.

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
pub(crate) const DELIMITED: u64 = 2;
const FIXED32: u64 = 5;

pub(crate) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn varint_field(out: &mut Vec<u8>, field: u32, value: u64) {
    tag(out, field, VARINT);
    varint(out, value);
}

pub(crate) fn fixed64_field(out: &mut Vec<u8>, field: u32, value: u64) {
    tag(out, field, FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

pub(crate) fn fixed32_field(out: &mut Vec<u8>, field: u32, value: u32) {
    tag(out, field, FIXED32);
    out.extend_from_slice(&value.to_le_bytes());
}

pub(crate) fn bytes_field(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    tag(out, field, DELIMITED);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// What precedes a field's value.
pub(crate) fn tag(out: &mut Vec<u8>, field: u32, wire_type: u64) {
    varint(out, u64::from(field) << 3 | wire_type);
}

/// Zigzag encoding of a `sint32`: small numbers of either sign become small varints.
pub(crate) fn zigzag(value: i32) -> u64 {
    u64::from(((value << 1) ^ (value >> 31)) as u32)
}
