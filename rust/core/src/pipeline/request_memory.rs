//! Memory for the bytes of requests, reused from batch to batch.
//!
//! A batch's bytes are released while the next batch fills. If they were freed in between, the memory would
//! return as fresh pages, which cost more than copying the bytes into them.

use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Smaller chunks are left to the allocator.
const SPARE_CHUNK_BYTES_MIN: usize = 64 << 10;
/// Maximum bytes of spare memory: a batch of the default `sending_queue.batch.min_size`, plus the unused room
/// in its chunks.
const SPARE_BYTES_MAX: usize = 32 << 20;

/// Represents an existing batch. Spare memory is kept as long as there is one. Under load, some batch is
/// always filling, being stored or waiting for its commit. An idle process keeps no memory.
#[derive(Debug)]
pub(super) struct Holder(());

impl Holder {
    pub(super) fn new() -> Self {
        spare().holders += 1;
        Self(())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _freed = spare().leave();
    }
}

/// Concatenated bytes of requests, in reusable memory.
#[derive(Debug, Default)]
pub(super) struct Chunk(Vec<u8>);

impl Chunk {
    /// An empty chunk with room for at least this many bytes.
    pub(super) fn with_room(bytes: usize) -> Self {
        if bytes < SPARE_CHUNK_BYTES_MIN {
            return Self(Vec::with_capacity(bytes));
        }
        let spare = spare().take(bytes);
        Self(spare.unwrap_or_else(|| Vec::with_capacity(rounded(bytes))))
    }

    /// Whether this many more bytes fit.
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
            // Frees what is not kept after the lock is released.
            let _freed = spare().give_back(memory);
        }
    }
}

/// Called after a batch's bytes were released. Returns memory that was idle since the previous batch to the
/// system: less load needs less memory.
pub(super) fn trim() {
    let _freed = spare().trim();
}

fn spare() -> MutexGuard<'static, Spare> {
    static SPARE: Mutex<Spare> = Mutex::new(Spare {
        chunks: Vec::new(),
        bytes: 0,
        idle_bytes: 0,
        holders: 0,
    });
    SPARE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Unused memory.
#[derive(Debug, Default)]
struct Spare {
    chunks: Vec<Vec<u8>>,
    bytes: usize,
    /// The lowest number of spare bytes since the last trim.
    idle_bytes: usize,
    /// Number of existing batches.
    holders: usize,
}

impl Spare {
    /// The smallest chunk with enough room, unless it is far too large.
    fn take(&mut self, bytes: usize) -> Option<Vec<u8>> {
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

    /// Keeps a chunk's memory, emptied, as long as there is a batch. Returns it if it is not kept.
    fn give_back(&mut self, mut chunk: Vec<u8>) -> Option<Vec<u8>> {
        if self.holders == 0 || self.bytes + chunk.capacity() > SPARE_BYTES_MAX {
            return Some(chunk);
        }
        chunk.clear();
        self.bytes += chunk.capacity();
        self.chunks.push(chunk);
        None
    }

    /// Removes one batch. After the last one, returns all spare memory.
    fn leave(&mut self) -> Vec<Vec<u8>> {
        self.holders = self.holders.saturating_sub(1);
        if self.holders > 0 {
            return Vec::new();
        }
        std::mem::take(self).chunks
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

/// Rounds up: requests that arrive together have similar sizes, and should fit into each other's memory.
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

    fn with_a_holder() -> Spare {
        Spare {
            holders: 1,
            ..Spare::default()
        }
    }

    #[test]
    fn memory_is_handed_on_while_there_is_a_batch() {
        let mut spare = with_a_holder();
        let stored = lend(&mut spare, 3 * MIB - 5);
        let place = stored.as_ptr();
        assert_eq!(spare.give_back(stored), None);
        assert_eq!(spare.bytes, 3 * MIB);
        assert!(spare.take(MIB).is_none(), "far too large");
        let next = spare.take(3 * MIB - 100).expect("kept");
        assert_eq!((next.as_ptr(), next.len(), spare.bytes), (place, 0, 0));

        assert_eq!(spare.give_back(next), None);
        assert_eq!(spare.give_back(Vec::with_capacity(MIB)), None);
        spare.holders += 1;
        assert_eq!(spare.leave().len(), 0, "one batch is left");
        assert_eq!(spare.leave().len(), 2);
        assert_eq!((spare.bytes, spare.holders, spare.chunks.len()), (0, 0, 0));
        assert!(
            spare.give_back(Vec::with_capacity(MIB)).is_some(),
            "nobody is left"
        );
    }

    #[test]
    fn what_is_kept_is_bounded_and_shrinks_when_it_lies_idle() {
        let mut spare = with_a_holder();
        let lent: Vec<_> = (0..40).map(|_| lend(&mut spare, MIB)).collect();
        let freed = lent.into_iter().filter_map(|chunk| spare.give_back(chunk));
        assert_eq!(freed.count(), 40 - SPARE_BYTES_MAX / MIB);
        assert_eq!(spare.trim().len(), 0, "all of it was in use since the last look");
        let used: Vec<_> = (0..30).map(|_| spare.take(MIB).expect("kept")).collect();
        for chunk in used {
            assert_eq!(spare.give_back(chunk), None);
        }
        assert_eq!(spare.trim().len(), 2, "two were never needed");
        assert_eq!(spare.trim().len(), 30);
        assert_eq!(spare.bytes, 0);
    }
}
