//! The minimum and the maximum of a column, as Iceberg bounds.
//!
//! Iceberg spec, "Data File Fields" (`lower_bounds`, `upper_bounds`) and "Binary single-value serialization".
//! Bounds come from the rows themselves, never from Parquet's statistics. Those are truncated per row group,
//! and may be missing for some; a bound over the remaining row groups would hide rows.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType, TimestampNanosecondType,
};
use arrow_array::{Array, ArrayRef, BooleanArray, PrimitiveArray};
use arrow_schema::{DataType, TimeUnit};
use iceberg::spec::{Datum, PrimitiveLiteral};

use super::chunk::Range;
use super::rounding::{raised, with_zeros};

/// A lower and an upper bound. The upper bound is missing for a string that cannot be truncated to a greater
/// one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bounds {
    /// At most every value.
    pub lower: Datum,
    /// At least every value.
    pub upper: Option<Datum>,
}

/// The bounds of a column, ignoring NaN and null; `None` when it has no other values.
///
/// Strings are truncated to `code_points_max` Unicode code points; the upper bound is rounded up.
pub(super) fn bounds(array: &ArrayRef, code_points_max: Option<usize>) -> Option<Bounds> {
    match array.data_type() {
        DataType::Boolean => {
            let (lower, upper) = boolean_range(array.as_boolean())?;
            Some(exact(Datum::bool(lower), Datum::bool(upper)))
        }
        DataType::Int32 => {
            let (lower, upper) = range(array.as_primitive::<Int32Type>())?;
            Some(exact(Datum::int(lower), Datum::int(upper)))
        }
        DataType::Int64 => {
            let (lower, upper) = range(array.as_primitive::<Int64Type>())?;
            Some(exact(Datum::long(lower), Datum::long(upper)))
        }
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            let (lower, upper) = range(array.as_primitive::<TimestampMicrosecondType>())?;
            Some(exact(
                Datum::timestamptz_micros(lower),
                Datum::timestamptz_micros(upper),
            ))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, Some(_)) => {
            let (lower, upper) = range(array.as_primitive::<TimestampNanosecondType>())?;
            Some(exact(
                Datum::timestamptz_nanos(lower),
                Datum::timestamptz_nanos(upper),
            ))
        }
        DataType::Float64 => {
            let (lower, upper) = double_range(array.as_primitive::<Float64Type>())?;
            Some(exact(Datum::double(lower), Datum::double(upper)))
        }
        DataType::Utf8 => {
            let strings = array.as_string::<i32>();
            text_bounds(strings.iter().flatten(), code_points_max)
        }
        DataType::Dictionary(_, value) if **value == DataType::Utf8 => {
            text_bounds(used_values(array).into_iter(), code_points_max)
        }
        _ => None,
    }
}

/// The bounds of a column whose minimum and maximum are known.
pub(super) fn bounds_of(
    range: &Range,
    data_type: &DataType,
    code_points_max: Option<usize>,
) -> Option<Bounds> {
    Some(match (range, data_type) {
        (Range::Text(least, greatest), _) => {
            let ends = [least, greatest].map(|text| std::str::from_utf8(text).ok());
            text_bounds(ends.into_iter().flatten(), code_points_max)?
        }
        (Range::Int(least, greatest), _) => exact(Datum::int(*least), Datum::int(*greatest)),
        (Range::Long(least, greatest), DataType::Int64) => exact(Datum::long(*least), Datum::long(*greatest)),
        (Range::Long(least, greatest), DataType::Timestamp(TimeUnit::Microsecond, Some(_))) => exact(
            Datum::timestamptz_micros(*least),
            Datum::timestamptz_micros(*greatest),
        ),
        (Range::Long(least, greatest), DataType::Timestamp(TimeUnit::Nanosecond, Some(_))) => exact(
            Datum::timestamptz_nanos(*least),
            Datum::timestamptz_nanos(*greatest),
        ),
        (Range::Double(least, greatest), _) => {
            let (least, greatest) = with_zeros(*least, *greatest);
            exact(Datum::double(least), Datum::double(greatest))
        }
        (Range::Bool(least, greatest), _) => exact(Datum::bool(*least), Datum::bool(*greatest)),
        (Range::Long(..), _) => return None,
    })
}

fn exact(lower: Datum, upper: Datum) -> Bounds {
    Bounds {
        lower,
        upper: Some(upper),
    }
}

fn boolean_range(array: &BooleanArray) -> Option<(bool, bool)> {
    let valid = array.len() - array.null_count();
    let trues = array.true_count();
    (valid > 0).then_some((trues == valid, trues > 0))
}

fn range<T: ArrowPrimitiveType<Native: Ord>>(array: &PrimitiveArray<T>) -> Option<(T::Native, T::Native)> {
    if array.null_count() == 0 {
        let values = array.values();
        return Some((*values.iter().min()?, *values.iter().max()?));
    }
    let valid = || array.iter().flatten();
    Some((valid().min()?, valid().max()?))
}

/// A zero becomes -0.0 in the lower bound and +0.0 in the upper one. It is then found both by readers that
/// distinguish the two zeros and by readers that do not.
fn double_range(array: &PrimitiveArray<Float64Type>) -> Option<(f64, f64)> {
    let numbers = || array.iter().flatten().filter(|value| !value.is_nan());
    let lower = numbers().min_by(f64::total_cmp)?;
    let upper = numbers().max_by(f64::total_cmp)?;
    Some(with_zeros(lower, upper))
}

/// The dictionary values that a row uses: rows of other files may share the dictionary.
fn used_values(array: &ArrayRef) -> Vec<&str> {
    let dictionary = array.as_any_dictionary();
    let values = dictionary.values().as_string::<i32>();
    if values.is_empty() {
        return Vec::new();
    }
    let keys = dictionary.keys();
    let mut used = vec![false; values.len()];
    for (row, key) in dictionary.normalized_keys().into_iter().enumerate() {
        if let Some(used) = used.get_mut(key).filter(|_| keys.is_valid(row)) {
            *used = true;
        }
    }
    let used_values = values
        .iter()
        .zip(used)
        .filter_map(|(value, used)| value.filter(|_| used));
    used_values.collect()
}

fn text_bounds<'a>(
    mut values: impl Iterator<Item = &'a str>,
    code_points_max: Option<usize>,
) -> Option<Bounds> {
    let first = values.next()?;
    let (lower, upper) = values.fold((first, first), |(lower, upper), value| {
        (lower.min(value), upper.max(value))
    });
    let (lower, upper) = match code_points_max {
        Some(length) => (
            truncate(lower, length).to_owned(),
            truncate_upwards(upper, length),
        ),
        None => (lower.to_owned(), Some(upper.to_owned())),
    };
    Some(Bounds {
        lower: Datum::string(lower),
        upper: upper.map(Datum::string),
    })
}

/// A minimum as a lower bound: texts truncated, zeros as in [`bounds`].
pub(super) fn lower_bound(least: &Datum, code_points_max: Option<usize>) -> Datum {
    match (least.literal(), code_points_max) {
        (PrimitiveLiteral::String(text), Some(length)) => Datum::string(truncate(text, length)),
        _ => with_zero(least, -0.0),
    }
}

/// A maximum as an upper bound, if it has one: texts truncated and rounded up, zeros as in [`bounds`].
pub(super) fn upper_bound(greatest: &Datum, code_points_max: Option<usize>) -> Option<Datum> {
    match (greatest.literal(), code_points_max) {
        (PrimitiveLiteral::String(text), Some(length)) => truncate_upwards(text, length).map(Datum::string),
        _ => Some(with_zero(greatest, 0.0)),
    }
}

/// The value unchanged, or with the sign of `zero` if it is a zero.
fn with_zero(value: &Datum, zero: f64) -> Datum {
    match value.literal() {
        PrimitiveLiteral::Double(number) if number.0 == 0.0 => Datum::double(zero),
        PrimitiveLiteral::Float(number) if number.0 == 0.0 => Datum::float(zero as f32),
        _ => value.clone(),
    }
}

/// The first `length` code points.
fn truncate(text: &str, length: usize) -> &str {
    let end = text.char_indices().nth(length).map_or(text.len(), |(end, _)| end);
    text.get(..end).unwrap_or(text)
}

/// The least text of at most `length` code points that is not below `text`: the text itself if it is short
/// enough, else its prefix [`raised`]. `None` if there is none. UTF-8 bytes order as code points do.
fn truncate_upwards(text: &str, length: usize) -> Option<String> {
    let beginning = truncate(text, length);
    if beginning.len() == text.len() {
        return Some(text.to_owned());
    }
    raised(beginning)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::types::Int32Type;
    use arrow_array::{DictionaryArray, Float64Array, Int32Array, StringArray};

    use super::*;

    fn text(values: &[&str]) -> Bounds {
        let array: ArrayRef = Arc::new(StringArray::from(values.to_vec()));
        bounds(&array, Some(16)).unwrap()
    }

    #[test]
    fn an_upper_bound_of_a_long_text_is_cut_upwards() {
        let bounds = text(&["aaaaaaaaaaaaaaaaaaaa", "zzzzzzzzzzzzzzzzzzzz"]);
        assert_eq!(bounds.lower, Datum::string("aaaaaaaaaaaaaaaa"));
        assert_eq!(bounds.upper, Some(Datum::string("zzzzzzzzzzzzzzz{")));
    }

    #[test]
    fn sixteen_code_points_are_kept_whole_however_many_bytes_they_are() {
        let sixteen = "ééééééééé字字字字字😀😀";
        assert_eq!(sixteen.chars().count(), 16);
        assert_eq!(text(&[sixteen]).upper, Some(Datum::string(sixteen)));
        let seventeen = format!("{sixteen}x");
        let bounds = text(&[&seventeen]);
        assert_eq!(bounds.lower, Datum::string(sixteen));
        assert_eq!(bounds.upper, Some(Datum::string("ééééééééé字字字字字😀😁")));
    }

    #[test]
    fn only_a_text_that_is_cut_is_raised() {
        assert_eq!(truncate_upwards("ab\u{10FFFF}x", 3).as_deref(), Some("ac"));
        assert_eq!(truncate_upwards("\u{10FFFF}\u{10FFFF}x", 2), None);
        assert_eq!(
            truncate_upwards("\u{10FFFF}\u{10FFFF}", 2).as_deref(),
            Some("\u{10FFFF}\u{10FFFF}")
        );
    }

    #[test]
    fn no_bound_is_nan_and_zeros_take_the_sign_that_covers_both() {
        let array: ArrayRef = Arc::new(Float64Array::from(vec![f64::NAN, 0.0, -f64::NAN]));
        let Bounds { lower, upper } = bounds(&array, None).unwrap();
        assert_eq!(lower.to_bytes().unwrap().as_ref(), (-0.0f64).to_le_bytes());
        assert_eq!(upper.unwrap().to_bytes().unwrap().as_ref(), 0.0f64.to_le_bytes());
        let nan: ArrayRef = Arc::new(Float64Array::from(vec![Some(f64::NAN), None]));
        assert_eq!(bounds(&nan, None), None);
    }

    #[test]
    fn values_of_a_dictionary_that_no_row_uses_do_not_count() {
        let keys = Int32Array::from(vec![Some(1), None, Some(1)]);
        let values = Arc::new(StringArray::from(vec!["a", "m", "z"]));
        let array: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::new(keys, values));
        let Bounds { lower, upper } = bounds(&array, Some(16)).unwrap();
        assert_eq!((lower, upper), (Datum::string("m"), Some(Datum::string("m"))));
    }
}
