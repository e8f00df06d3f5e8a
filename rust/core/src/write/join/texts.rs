//! Merges the dictionaries of a text column from many files into one.
//!
//! The chunk encoder requires distinct texts in a dictionary, which concatenating dictionaries does not
//! ensure.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, DictionaryArray, Int32Array, StringArray};
use arrow_buffer::ArrowNativeType;
use arrow_schema::{ArrowError, DataType};
use hashbrown::HashTable;

use crate::byte_hash::ByteHasher;

/// The texts so far.
#[derive(Default)]
pub(super) struct Texts {
    keys: HashTable<u32>,
    hasher: ByteHasher,
    builder: StringBuilder,
    /// The last dictionary seen, and the key here of each of its texts: the batches of a row group share it.
    last: Option<(StringArray, Vec<i32>)>,
}

impl Texts {
    /// The type that columns are read as.
    pub fn data_type() -> DataType {
        DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
    }

    /// Translates the keys of an array of that type to this dictionary.
    ///
    /// # Errors
    /// When there are too many texts.
    pub fn keys_of(&mut self, array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        let dictionary = array.as_dictionary::<Int32Type>();
        let values = dictionary.values().as_string::<i32>();
        let known = match self.last.take() {
            Some((last, known)) if last.to_data().ptr_eq(&values.to_data()) => known,
            _ => {
                let keys = values.iter().map(|text| self.key(text.unwrap_or_default()));
                keys.collect::<Result<_, _>>()?
            }
        };
        // Keys of null values are undefined.
        let keys: Int32Array = dictionary
            .keys()
            .unary(|key| known.get(key.as_usize()).copied().unwrap_or_default());
        self.last = Some((values.clone(), known));
        Ok(Arc::new(keys))
    }

    fn key(&mut self, text: &str) -> Result<i32, ArrowError> {
        let Self {
            keys,
            hasher,
            builder: texts,
            ..
        } = self;
        let hash = hasher.hash(text.as_bytes());
        if let Some(key) = keys.find(hash, |key| bytes_of(texts, *key) == text.as_bytes()) {
            return Ok(key.cast_signed());
        }
        let key = i32::try_from(keys.len()).map_err(|_| ArrowError::DictionaryKeyOverflowError)?;
        texts.append_value(text);
        keys.insert_unique(hash, key.cast_unsigned(), |key| {
            hasher.hash(bytes_of(texts, *key))
        });
        Ok(key)
    }

    /// Bytes of the texts.
    pub fn bytes(&self) -> usize {
        self.builder.values_slice().len()
    }

    /// The array of the texts of these keys.
    ///
    /// # Errors
    /// When a key is not in this dictionary.
    pub fn array(&mut self, keys: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        self.keys = HashTable::new();
        self.last = None;
        let texts: ArrayRef = Arc::new(self.builder.finish());
        let keys = keys.as_primitive::<Int32Type>().clone();
        Ok(Arc::new(DictionaryArray::try_new(keys, texts)?))
    }
}

fn bytes_of(texts: &StringBuilder, key: u32) -> &[u8] {
    let offset = |at: u32| {
        let offset = texts.offsets_slice().get(at as usize);
        offset.map_or(0, |offset| offset.as_usize())
    };
    texts
        .values_slice()
        .get(offset(key)..offset(key.saturating_add(1)))
        .unwrap_or_default()
}
