//! Arrow arrays as the encoder traverses them, each downcast once.

use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Float64Type, Int32Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, StringArray, TimestampMicrosecondArray, TimestampNanosecondArray,
};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, TimeUnit};

/// An array and its children.
pub(super) enum View<'a> {
    /// Values of a column chunk.
    Leaf(Leaf<'a>),
    /// Maps that rows refer to by keys.
    Shared {
        keys: &'a [i32],
        nulls: Option<&'a NullBuffer>,
        maps: Box<View<'a>>,
    },
    /// A list or a map.
    List {
        offsets: &'a [i32],
        nulls: Option<&'a NullBuffer>,
        element: Box<View<'a>>,
    },
    /// A struct.
    Struct {
        nulls: Option<&'a NullBuffer>,
        fields: Vec<View<'a>>,
    },
}

/// Values with their null buffer.
pub(super) struct Leaf<'a> {
    pub values: Values<'a>,
    pub nulls: Option<&'a NullBuffer>,
}

/// Values of a type that is encoded here.
pub(super) enum Values<'a> {
    /// Text.
    Text(&'a StringArray),
    /// Text as dictionary keys.
    Label(Labels<'a>),
    /// 32-bit integers.
    Int(Numbers<'a, i32>),
    /// 64-bit integers and times.
    Long(Numbers<'a, i64>),
    /// Doubles.
    Double(Numbers<'a, f64>),
    /// Booleans.
    Bool(&'a BooleanArray),
}

/// Dictionary keys and the dictionary's texts, which are distinct.
pub(super) struct Labels<'a> {
    pub keys: &'a [i32],
    pub texts: &'a StringArray,
}

impl Labels<'_> {
    /// The key of a row.
    #[inline]
    pub fn key(&self, row: u32) -> usize {
        self.keys
            .get(row as usize)
            .map_or(0, |key| key.cast_unsigned() as usize)
    }
}

/// Fixed-width values; those at nulls are undefined.
#[derive(Clone, Copy)]
pub(super) struct Numbers<'a, T>(&'a [T]);

impl<T: Copy + Default> Numbers<'_, T> {
    /// The value at an index of the array.
    #[inline]
    pub fn get(&self, index: usize) -> T {
        self.0.get(index).copied().unwrap_or_default()
    }

    /// Consecutive values.
    #[inline]
    pub fn span(&self, indices: Range<usize>) -> &[T] {
        self.0.get(indices).unwrap_or_default()
    }
}

impl<'a> View<'a> {
    /// Creates the view of an array. `None` if it contains a type that is not encoded here.
    pub fn of(array: &'a ArrayRef) -> Option<View<'a>> {
        Some(match array.data_type() {
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                View::List {
                    offsets: list.value_offsets(),
                    nulls: nulls(array),
                    element: Box::new(View::of(list.values())?),
                }
            }
            DataType::Map(_, _) => {
                let map = array.as_map();
                let fields = map.entries().columns().iter().map(View::of);
                View::List {
                    offsets: map.value_offsets(),
                    nulls: nulls(array),
                    element: Box::new(View::Struct {
                        nulls: None,
                        fields: fields.collect::<Option<_>>()?,
                    }),
                }
            }
            DataType::Struct(_) => View::Struct {
                nulls: nulls(array),
                fields: array
                    .as_struct()
                    .columns()
                    .iter()
                    .map(View::of)
                    .collect::<Option<_>>()?,
            },
            DataType::Dictionary(key, shared) if **key == DataType::Int32 && shared.is_nested() => {
                let dictionary = array.as_dictionary::<Int32Type>();
                View::Shared {
                    keys: dictionary.keys().values(),
                    nulls: nulls(array),
                    maps: Box::new(View::of(dictionary.values())?),
                }
            }
            _ => View::Leaf(Leaf {
                values: Values::of(array)?,
                nulls: nulls(array),
            }),
        })
    }
}

impl<'a> Values<'a> {
    fn of(array: &'a ArrayRef) -> Option<Values<'a>> {
        Some(match array.data_type() {
            DataType::Utf8 => Values::Text(array.as_string::<i32>()),
            DataType::Dictionary(key, value) if **key == DataType::Int32 && **value == DataType::Utf8 => {
                let dictionary = array.as_dictionary::<Int32Type>();
                let texts = dictionary.values().as_string::<i32>();
                if texts.null_count() > 0 {
                    return None;
                }
                Values::Label(Labels {
                    keys: dictionary.keys().values(),
                    texts,
                })
            }
            DataType::Int32 => Values::Int(numbers::<Int32Type>(array)),
            DataType::Int64 => Values::Long(numbers::<Int64Type>(array)),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                let times: &TimestampMicrosecondArray = array.as_primitive();
                Values::Long(Numbers(times.values()))
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                let times: &TimestampNanosecondArray = array.as_primitive();
                Values::Long(Numbers(times.values()))
            }
            DataType::Float64 => Values::Double(numbers::<Float64Type>(array)),
            DataType::Boolean => Values::Bool(array.as_boolean()),
            _ => return None,
        })
    }
}

fn numbers<T: ArrowPrimitiveType>(array: &ArrayRef) -> Numbers<'_, T::Native> {
    Numbers(array.as_primitive::<T>().values())
}

/// Splits off the leading rows for which `holds` is true.
pub(super) fn split_run(rows: &[u32], holds: impl Fn(u32) -> bool) -> (&[u32], &[u32]) {
    rows.split_at(rows.iter().take_while(|row| holds(**row)).count())
}

/// `None` when there are no nulls, so that values need not be checked one by one.
fn nulls(array: &ArrayRef) -> Option<&NullBuffer> {
    array.nulls().filter(|nulls| nulls.null_count() > 0)
}
