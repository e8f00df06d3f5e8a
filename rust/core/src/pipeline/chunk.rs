//! Memory for the bytes of requests, handed on from batch to batch.
//!
//! A batch is let go as the next one fills. Given back to the system in between, its memory would come back as fresh
//! pages, which cost more than copying the bytes into them does.

use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A chunk of fewer bytes is left to the allocator.
const SPARE_CHUNK_BYTES_MIN: usize = 64 << 10;
/// What is kept at most: a batch as large as `sending_queue.batch.min_size` makes them by default.
const SPARE_BYTES_MAX: usize = 24 << 20;

/// Bytes of requests one after the other, in memory that others had before or will have after.
#[derive(Debug, Default)]
pub(super) struct Chunk(Vec<u8>);

impl Chunk {
    /// An empty chunk with room for so many bytes at least.
    pub(super) fn with_room(bytes: usize) -> Self {
        if bytes < SPARE_CHUNK_BYTES_MIN {
            return Self(Vec::with_capacity(bytes));
        }
        let spare = spare().take(bytes);
        Self(spare.unwrap_or_else(|| Vec::with_capacity(rounded(bytes))))
    }

    /// Whether so many bytes more fit in.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.0.capacity() - self.0.len() >= bytes
    }

    /// Appends bytes for which there is room.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if self.0.capacity() >= SPARE_CHUNK_BYTES_MIN {
            let memory = std::mem::take(&mut self.0);
            // What is not kept is freed after the lock.
            let _freed = spare().give_back(memory);
        }
    }
}

/// Says that a batch was let go. What lay idle since the one before is given back to the system: load that grew less
/// needs less.
pub(super) fn trim() {
    let _freed = spare().trim();
}

fn spare() -> MutexGuard<'static, Spare> {
    static SPARE: Mutex<Spare> = Mutex::new(Spare {
        chunks: Vec::new(),
        bytes: 0,
        idle_bytes: 0,
        lent: 0,
    });
    SPARE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Memory that nobody uses.
#[derive(Debug, Default)]
struct Spare {
    chunks: Vec<Vec<u8>>,
    bytes: usize,
    /// The fewest bytes that there were since the last look.
    idle_bytes: usize,
    /// Chunks that are in use.
    lent: usize,
}

impl Spare {
    /// The smallest chunk with room enough, unless it is far too large. Counts one as lent in any case.
    fn take(&mut self, bytes: usize) -> Option<Vec<u8>> {
        self.lent += 1;
        let fitting =
            |(_, chunk): &(usize, &Vec<u8>)| (bytes..=bytes + bytes / 4).contains(&chunk.capacity());
        let (place, _) = self
            .chunks
            .iter()
            .enumerate()
            .filter(fitting)
            .min_by_key(|(_, chunk)| chunk.capacity())?;
        let chunk = self.chunks.swap_remove(place);
        self.bytes -= chunk.capacity();
        self.idle_bytes = self.idle_bytes.min(self.bytes);
        Some(chunk)
    }

    /// Keeps a chunk's memory, empty, as long as others are in use; gives what is not kept.
    fn give_back(&mut self, mut chunk: Vec<u8>) -> Vec<Vec<u8>> {
        self.lent = self.lent.saturating_sub(1);
        if self.lent == 0 {
            let mut freed = std::mem::take(self).chunks;
            freed.push(chunk);
            return freed;
        }
        if self.bytes + chunk.capacity() > SPARE_BYTES_MAX {
            return vec![chunk];
        }
        chunk.clear();
        self.bytes += chunk.capacity();
        self.chunks.push(chunk);
        Vec::new()
    }

    fn trim(&mut self) -> Vec<Vec<u8>> {
        let mut freed = Vec::new();
        let mut idle = self.idle_bytes;
        while let Some(chunk) = self.chunks.pop_if(|chunk| chunk.capacity() <= idle) {
            idle -= chunk.capacity();
            self.bytes -= chunk.capacity();
            freed.push(chunk);
        }
        self.idle_bytes = self.bytes;
        freed
    }
}

/// Requests that come together are of about one size, and should fit into each other's memory.
fn rounded(bytes: usize) -> usize {
    let step = bytes.next_power_of_two() / 8;
    bytes.next_multiple_of(step.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn lend(spare: &mut Spare, bytes: usize) -> Vec<u8> {
        spare
            .take(bytes)
            .unwrap_or_else(|| Vec::with_capacity(rounded(bytes)))
    }

    #[test]
    fn memory_is_handed_on_while_some_is_in_use() {
        let mut spare = Spare::default();
        let filling = lend(&mut spare, MIB);
        let stored = lend(&mut spare, 3 * MIB - 5);
        let place = stored.as_ptr();
        assert!(spare.give_back(stored).is_empty());
        assert_eq!(spare.bytes, 3 * MIB);
        assert!(spare.take(MIB).is_none(), "far too large");
        let next = spare.take(3 * MIB - 100).expect("kept");
        assert_eq!((next.as_ptr(), next.len(), spare.bytes), (place, 0, 0));

        assert!(spare.give_back(next).is_empty());
        assert!(spare.give_back(Vec::with_capacity(MIB)).is_empty());
        assert_eq!(spare.give_back(filling).len(), 3, "nothing is in use any more");
        assert_eq!((spare.bytes, spare.lent, spare.chunks.len()), (0, 0, 0));
    }

    #[test]
    fn what_is_kept_is_bounded_and_shrinks_when_it_lies_idle() {
        let mut spare = Spare::default();
        let _filling = lend(&mut spare, MIB);
        let lent: Vec<_> = (0..40).map(|_| lend(&mut spare, MIB)).collect();
        let freed = lent.into_iter().map(|chunk| spare.give_back(chunk).len());
        assert_eq!(freed.sum::<usize>(), 40 - SPARE_BYTES_MAX / MIB);
        assert_eq!(spare.trim().len(), 0, "all of it was in use since the last look");
        let used: Vec<_> = (0..22).map(|_| spare.take(MIB).expect("kept")).collect();
        for chunk in used {
            assert!(spare.give_back(chunk).is_empty());
        }
        assert_eq!(spare.trim().len(), 2, "two were never needed");
        assert_eq!(spare.trim().len(), 22);
        assert_eq!(spare.bytes, 0);
    }
}
