//! Memory of the calls that convert and encode, handed on from call to call.
//!
//! Where freed memory goes back to the system at once, as in the Collector, a call's columns and pages would be fresh memory
//! each time, which costs about as much as converting into it does.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{convert, write};

/// What one call works in.
#[derive(Debug, Default)]
pub(super) struct CallBuffers {
    /// Its columns.
    pub(super) convert: convert::Memory,
    /// Its pages.
    pub(super) write: write::Memory,
}

/// Memory that no call uses: as many as ever ran at a time (`limits.parallel_calls_max` at most), each of what its last call needed.
#[derive(Debug, Default)]
pub(super) struct BufferPool(Mutex<Vec<CallBuffers>>);

impl BufferPool {
    /// Memory for a call, of another one before if there was one.
    pub(super) fn take(&self) -> CallBuffers {
        self.kept().pop().unwrap_or_default()
    }

    /// Keeps a call's memory for another one.
    pub(super) fn give_back(&self, mut memory: CallBuffers) {
        memory.write.trim();
        self.kept().push(memory);
    }

    fn kept(&self) -> MutexGuard<'_, Vec<CallBuffers>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
