//! Writes the part of protobuf's wire format that OTLP needs. Varints have minimal length.

use std::ops::{Deref, DerefMut};

/// The output bytes, with their limit.
pub(super) struct Output {
    pub bytes: Vec<u8>,
    pub bytes_max: usize,
}

impl Deref for Output {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Output {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const DELIMITED: u64 = 2;
const FIXED32: u64 = 5;

pub(super) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn varint_field(out: &mut Vec<u8>, field: u32, value: u64) {
    tag(out, field, VARINT);
    varint(out, value);
}

pub(super) fn fixed64_field(out: &mut Vec<u8>, field: u32, value: u64) {
    tag(out, field, FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

pub(super) fn fixed32_field(out: &mut Vec<u8>, field: u32, value: u32) {
    tag(out, field, FIXED32);
    out.extend_from_slice(&value.to_le_bytes());
}

pub(super) fn bytes_field(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    tag(out, field, DELIMITED);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Writes a field whose length is known only after its content. Content of 128 bytes or more is moved to
/// insert its length: once per level, and there are few levels.
pub(super) fn delimited<E>(
    out: &mut Output,
    field: u32,
    content: impl FnOnce(&mut Output) -> Result<(), E>,
) -> Result<(), E> {
    tag(out, field, DELIMITED);
    let at = out.len();
    out.push(0);
    content(out)?;
    let begin = at + 1;
    let end = out.len();
    let mut length = Vec::with_capacity(10);
    varint(&mut length, (end - begin) as u64);
    if length.len() > 1 {
        out.resize(end + length.len() - 1, 0);
        out.copy_within(begin..end, at + length.len());
    }
    out[at..at + length.len()].copy_from_slice(&length);
    Ok(())
}

/// Zigzag encoding of a `sint32`: small numbers of either sign become small varints.
pub(super) fn zigzag(value: i32) -> u64 {
    u64::from(((value << 1) ^ (value >> 31)) as u32)
}

fn tag(out: &mut Vec<u8>, field: u32, wire_type: u64) {
    varint(out, u64::from(field) << 3 | wire_type);
}
