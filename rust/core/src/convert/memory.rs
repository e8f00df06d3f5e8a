//! Memory that conversions reuse.

use std::any::Any;
use std::fmt;

use super::table::Size;

/// Column memory of one conversion, for the next one of the same signal. Allocating fresh memory costs more
/// than writing the data into it. It holds about as much as the largest batch (see
/// [`super::ConvertOptions::batch_bytes_max`]).
#[derive(Default)]
pub struct Memory(Option<Box<dyn Any + Send>>);

/// Empty columns of a table in the memory of earlier ones.
#[derive(Default)]
pub(super) struct Spare<C> {
    pub(super) columns: C,
    /// Their reserved size.
    pub(super) size: Size,
}

impl Memory {
    /// Takes the kept memory if it has this type; otherwise frees it and returns an empty value.
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
