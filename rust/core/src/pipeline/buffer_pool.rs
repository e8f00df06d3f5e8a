//! Memory for conversion and encoding, reused from call to call.
//!
//! Where freed memory returns to the system at once, as in the Collector, each call would need fresh memory
//! for its columns and pages. That costs about as much as the conversion itself.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{convert, write};

/// The working memory of one call.
#[derive(Debug, Default)]
pub(super) struct CallBuffers {
    /// Its columns.
    pub(super) convert: convert::Memory,
    /// Its pages.
    pub(super) write: write::Memory,
}

/// Unused working memory. Contains as many entries as calls ever ran concurrently (at most
/// `limits.parallel_calls_max`), each as large as its last call needed.
#[derive(Debug, Default)]
pub(super) struct BufferPool(Mutex<Vec<CallBuffers>>);

impl BufferPool {
    /// Returns an earlier call's memory if there is some, or new memory.
    pub(super) fn take(&self) -> CallBuffers {
        self.kept().pop().unwrap_or_default()
    }

    /// Keeps a call's memory for a later one.
    pub(super) fn give_back(&self, mut memory: CallBuffers) {
        memory.write.trim();
        self.kept().push(memory);
    }

    fn kept(&self) -> MutexGuard<'_, Vec<CallBuffers>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
