//! Reuses the memory of arrays that are no longer needed.

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, DictionaryArray, RecordBatch, StructArray};
use arrow_buffer::{ArrowNativeType, Buffer};

use super::dictionary::Key;

/// Unused arrays, in the order in which columns built them. Arrays that are still referenced elsewhere are
/// not reused.
pub(super) struct Used(std::vec::IntoIter<ArrayRef>);

impl Used {
    /// The columns of a batch.
    pub(super) fn batch(batch: RecordBatch) -> Self {
        Self::arrays(batch.into_parts().1)
    }

    /// The columns of structs.
    pub(super) fn fields(structs: StructArray) -> Self {
        Self::arrays(structs.into_parts().1)
    }

    /// The columns of a list's elements.
    pub(super) fn elements(elements: ArrayRef) -> Self {
        match elements.as_any().downcast_ref::<StructArray>().cloned() {
            Some(structs) => {
                drop(elements);
                Self::fields(structs)
            }
            None => Self::arrays(vec![elements]),
        }
    }

    /// The values of a dictionary.
    pub(super) fn values(values: ArrayRef) -> Self {
        Self::arrays(vec![values])
    }

    fn arrays(arrays: Vec<ArrayRef>) -> Self {
        Self(arrays.into_iter())
    }

    /// The next array, if it has this type and is not referenced elsewhere.
    pub(super) fn next<A: Array + Clone + 'static>(&mut self) -> Option<A> {
        let mut array = self.0.next()?;
        Arc::get_mut(&mut array)?;
        // Only references are copied; those of the original are dropped with it.
        array.as_any().downcast_ref::<A>().cloned()
    }

    /// The emptied memory of the next array's keys.
    pub(super) fn next_keys(&mut self) -> Vec<Key> {
        let array = self.next::<DictionaryArray<Int32Type>>();
        array.map_or_else(Vec::new, |array| memory(array.into_parts().0.into_parts().1))
    }

    /// Skips the next array.
    pub(super) fn skip(&mut self) {
        self.0.next();
    }
}

/// The emptied memory of values, unless it is referenced elsewhere.
pub(super) fn memory<T: ArrowNativeType>(values: impl Into<Buffer>) -> Vec<T> {
    let mut memory: Vec<T> = values.into().into_vec().unwrap_or_default();
    memory.clear();
    memory
}
