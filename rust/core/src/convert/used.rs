//! Arrays that were used, as memory for the next ones.

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, DictionaryArray, RecordBatch, StructArray};
use arrow_buffer::{ArrowNativeType, Buffer};

use super::dictionary::Key;

/// Arrays that nobody needs any more, in the order in which columns built them. What somebody else still holds is
/// left alone.
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

    /// The next array, if it is of this type and nobody else's.
    pub(super) fn next<A: Array + Clone + 'static>(&mut self) -> Option<A> {
        let mut array = self.0.next()?;
        Arc::get_mut(&mut array)?;
        // What is copied are references; those of the original go with it.
        array.as_any().downcast_ref::<A>().cloned()
    }

    /// The memory of the next array's keys, empty.
    pub(super) fn next_keys(&mut self) -> Vec<Key> {
        let array = self.next::<DictionaryArray<Int32Type>>();
        array.map_or_else(Vec::new, |array| memory(array.into_parts().0.into_parts().1))
    }

    /// Passes over the next array.
    pub(super) fn skip(&mut self) {
        self.0.next();
    }
}

/// The memory of values, empty, unless somebody else holds it.
pub(super) fn memory<T: ArrowNativeType>(values: impl Into<Buffer>) -> Vec<T> {
    let mut memory: Vec<T> = values.into().into_vec().unwrap_or_default();
    memory.clear();
    memory
}
