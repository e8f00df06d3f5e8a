//! Memory that conversion uses again.

use std::any::Any;
use std::fmt;

use super::table::Size;

/// Memory of the columns of one conversion, for the next one of the same signal: fresh memory costs more than what is
/// written into it. It holds about as much as the largest batch did (see [`super::ConvertOptions::batch_bytes_max`]).
#[derive(Default)]
pub struct Memory(Option<Box<dyn Any + Send>>);

/// Empty columns of a table with memory of earlier ones.
#[derive(Default)]
pub(super) struct Spare<C> {
    pub(super) columns: C,
    /// What they had room for.
    pub(super) size: Size,
}

impl Memory {
    /// What was kept, if it is of this type; else it is freed, and there is none.
    pub(super) fn take<T: Any + Default>(&mut self) -> T {
        let kept = self.0.take().and_then(|kept| kept.downcast().ok());
        kept.map_or_else(T::default, |kept| *kept)
    }

    /// Keeps memory for the next conversion.
    pub(super) fn keep<T: Any + Send>(&mut self, spare: T) {
        self.0 = Some(Box::new(spare));
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Memory").finish_non_exhaustive()
    }
}
