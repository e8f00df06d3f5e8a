//! The protobuf that is written, with its limit, and fields whose length is known only after their content.

use std::ops::{Deref, DerefMut};

use crate::protobuf::{self, DELIMITED};

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

/// Writes a field whose length is known only after its content. Content of 128 bytes or more is moved to
/// insert its length: once per level, and there are few levels.
pub(super) fn delimited<E>(
    out: &mut Output,
    field: u32,
    content: impl FnOnce(&mut Output) -> Result<(), E>,
) -> Result<(), E> {
    protobuf::tag(out, field, DELIMITED);
    let at = out.len();
    out.push(0);
    content(out)?;
    let begin = at + 1;
    let end = out.len();
    let mut length = Vec::with_capacity(10);
    protobuf::varint(&mut length, (end - begin) as u64);
    if length.len() > 1 {
        out.resize(end + length.len() - 1, 0);
        out.copy_within(begin..end, at + length.len());
    }
    out[at..at + length.len()].copy_from_slice(&length);
    Ok(())
}
