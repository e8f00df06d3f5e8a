//! The byte buffer of a growing page.

use std::ops::Range;

use super::reused::Reused;

/// Bytes reserved for levels before the values. The levels of most pages are one or two runs.
const LEVELS_ROOM: usize = 64;

/// Texts of up to this many bytes count as short.
const SHORT_TEXT_BYTES: usize = 32;

/// A page: its levels, whose length is known only when it ends, then its values. The memory is reused for the
/// next page and for later columns of the same name. A page that started without memory would grow by
/// copying, and would touch fresh memory twice for each byte.
#[derive(Debug)]
pub(super) struct PageBuffer {
    /// Space for levels, then the values.
    memory: Reused,
}

impl Default for PageBuffer {
    fn default() -> Self {
        Self::reusing(Reused::default())
    }
}

impl PageBuffer {
    /// An empty page in the memory of an earlier one.
    pub fn reusing(memory: Reused) -> Self {
        let mut buffer = Self { memory };
        buffer.clear();
        buffer
    }

    /// Returns the memory, emptied, for another page.
    pub fn into_memory(mut self) -> Reused {
        self.memory.clear();
        self.memory
    }

    /// The buffer that values are appended to.
    #[inline]
    pub fn values(&mut self) -> &mut Vec<u8> {
        &mut self.memory.bytes
    }

    /// The values so far.
    pub fn written(&self) -> &[u8] {
        self.memory.bytes.get(LEVELS_ROOM..).unwrap_or_default()
    }

    /// Whether there are no values.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends a text of `bytes`, plain (Encodings.md: the length in 4 bytes, then the bytes); returns the
    /// text.
    #[inline]
    pub fn push_text<'a>(&mut self, bytes: &'a [u8], span: Range<usize>) -> &'a [u8] {
        let text = bytes.get(span.clone()).unwrap_or_default();
        let length = (text.len() as u32).to_le_bytes();
        self.memory.bytes.extend_from_slice(&length);
        // A copy of constant length compiles to a store, any other to a call. A short text is therefore
        // copied together with the bytes after it, which are then truncated.
        match bytes
            .get(span.start..)
            .and_then(<[u8]>::first_chunk::<SHORT_TEXT_BYTES>)
        {
            Some(chunk) if text.len() <= SHORT_TEXT_BYTES => {
                let end = self.memory.bytes.len() + text.len();
                self.memory.bytes.extend_from_slice(chunk);
                self.memory.bytes.truncate(end);
            }
            _ => self.memory.bytes.extend_from_slice(text),
        }
        text
    }

    /// Bytes of the values.
    #[inline]
    pub fn len(&self) -> usize {
        self.memory.bytes.len() - LEVELS_ROOM
    }

    /// Empties the page.
    pub fn clear(&mut self) {
        self.memory.clear();
        self.memory.bytes.resize(LEVELS_ROOM, 0);
    }

    /// Writes the levels in front of the values; returns the whole page. Call it once at most before `clear`.
    pub fn page(&mut self, levels: &[u8]) -> &[u8] {
        if let Some(start) = LEVELS_ROOM.checked_sub(levels.len()) {
            if let Some(room) = self.memory.bytes.get_mut(start..LEVELS_ROOM) {
                room.copy_from_slice(levels);
            }
            return self.memory.bytes.get(start..).unwrap_or_default();
        }
        self.memory.bytes.splice(..LEVELS_ROOM, levels.iter().copied());
        &self.memory.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stand_after_their_length() {
        let bytes: Vec<u8> = (0..100).collect();
        let mut buffer = PageBuffer::default();
        let mut expected = Vec::new();
        for span in [
            0..0,
            0..5,
            3..35,
            3..36,
            60..92,
            68..100,
            69..100,
            95..100,
            100..100,
            0..100,
        ] {
            let text = &bytes[span.clone()];
            assert_eq!(buffer.push_text(&bytes, span), text);
            expected.extend((text.len() as u32).to_le_bytes());
            expected.extend(text);
        }
        assert_eq!(buffer.page(&[]), expected);
    }

    #[test]
    fn levels_of_any_length_stand_before_the_values() {
        let mut memory = Reused::default();
        memory.bytes.extend([9; 3]);
        memory.clear();
        for levels in [
            0,
            1,
            LEVELS_ROOM - 1,
            LEVELS_ROOM,
            LEVELS_ROOM + 1,
            5 * LEVELS_ROOM,
        ] {
            let levels = vec![7; levels];
            let mut buffer = PageBuffer::reusing(memory);
            assert_eq!(buffer.len(), 0);
            buffer.values().extend_from_slice(b"values");
            assert_eq!(buffer.len(), 6);
            assert_eq!(buffer.page(&levels), [levels.as_slice(), b"values"].concat());
            buffer.clear();
            assert_eq!(buffer.page(&[]), b"");
            memory = buffer.into_memory();
        }
    }
}
