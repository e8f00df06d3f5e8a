//! Reusable byte memory.

/// Larger memory is released at once: a row group's column or a value of that size is rare, and its
/// compression takes longer than the allocation.
const KEPT_BYTES_MAX: usize = 16 << 20;
/// Memory that is kept for long is at most this multiple of the memory that was needed. Vectors grow by
/// doubling.
const SLACK: usize = 4;

/// Bytes, with their recent peak size.
#[derive(Debug, Default)]
pub(super) struct Reused {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The greatest length since the last trim.
    needed: usize,
}

impl Reused {
    /// Empties it.
    pub fn clear(&mut self) {
        self.needed = self.needed.max(self.bytes.len());
        self.bytes.clear();
        if self.bytes.capacity() > KEPT_BYTES_MAX {
            self.bytes = Vec::new();
        }
    }

    /// Empties it and reserves this many bytes.
    pub fn with_room(&mut self, bytes: usize) -> &mut Vec<u8> {
        self.clear();
        self.needed = self.needed.max(bytes);
        if self.bytes.capacity() < bytes {
            // Growing would copy obsolete content.
            self.bytes = Vec::with_capacity(bytes);
        }
        &mut self.bytes
    }

    /// Releases memory that greatly exceeds what was needed since the last call; returns whether any was
    /// needed. Call it only between uses, when it is empty.
    pub fn trim(&mut self) -> bool {
        let needed = std::mem::take(&mut self.needed);
        if self.bytes.capacity() > needed.saturating_mul(SLACK) {
            self.bytes = Vec::new();
        }
        needed > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_kept_while_it_is_needed() {
        let mut reused = Reused::default();
        reused.bytes.extend([7; 1000]);
        let memory = reused.bytes.as_ptr();
        reused.clear();
        assert_eq!(reused.bytes, b"");
        assert!(reused.trim());
        assert_eq!(reused.bytes.as_ptr(), memory);
        assert_eq!(reused.with_room(250).len(), 0);
        assert!(reused.trim());
        assert_eq!(reused.bytes.as_ptr(), memory);
        assert!(!reused.trim(), "nothing was needed since");
        assert_eq!(reused.bytes.capacity(), 0);
    }

    #[test]
    fn memory_for_much_is_not_kept_for_little() {
        let mut reused = Reused::default();
        reused.with_room(1000);
        assert!(reused.trim());
        reused.bytes.extend([7; 100]);
        reused.clear();
        assert_eq!(reused.bytes.capacity(), 1000);
        assert!(reused.trim());
        assert_eq!(reused.bytes.capacity(), 0);
    }

    #[test]
    fn huge_memory_is_not_kept() {
        let mut reused = Reused::default();
        reused.with_room(KEPT_BYTES_MAX);
        reused.clear();
        assert_eq!(reused.bytes.capacity(), KEPT_BYTES_MAX);
        reused.with_room(KEPT_BYTES_MAX + 1);
        assert_eq!(reused.with_room(10).capacity(), 10);
    }
}
