//! Arrow batches as plain rows, which tests can compare and print.

use std::collections::BTreeMap;
use std::fmt;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, StructArray};
use arrow_schema::DataType;
use otlp2iceberg::convert::{ConvertOptions, Converted, ValueLimits, convert};
use otlp2iceberg::schema::arrow_schema;
use otlp2iceberg::{Signal, signal::Table};

/// When every test's request arrives.
pub const ARRIVAL: u64 = 1_750_000_000_987_654_321;

/// A value of a column.
#[derive(Clone, PartialEq, Eq)]
pub enum Cell {
    Null,
    Boolean(bool),
    /// `int`, `long`, or microseconds.
    Number(i64),
    /// Compared by its bits, but printed as a number.
    Double(u64),
    Text(String),
    List(Vec<Cell>),
    Struct(Row),
    Map(Vec<(String, Cell)>),
}

/// Columns, or a struct's fields, by name.
pub type Row = BTreeMap<&'static str, Cell>;

impl Cell {
    pub fn text(text: impl Into<String>) -> Self {
        Cell::Text(text.into())
    }

    pub fn double(value: f64) -> Self {
        Cell::Double(value.to_bits())
    }

    /// A map of texts; `None` is a null value.
    pub fn map(entries: &[(&str, Option<&str>)]) -> Self {
        let cell = |value: &Option<&str>| value.map_or(Cell::Null, Cell::text);
        Cell::Map(
            entries
                .iter()
                .map(|(key, value)| ((*key).to_owned(), cell(value)))
                .collect(),
        )
    }
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cell::Null => f.write_str("null"),
            Cell::Boolean(value) => value.fmt(f),
            Cell::Number(value) => value.fmt(f),
            Cell::Double(bits) => write!(f, "{:?} ({bits:016x})", f64::from_bits(*bits)),
            Cell::Text(text) => text.fmt(f),
            Cell::List(cells) => cells.fmt(f),
            Cell::Struct(fields) => fields.fmt(f),
            Cell::Map(entries) => f
                .debug_map()
                .entries(entries.iter().map(|(k, v)| (k, v)))
                .finish(),
        }
    }
}

/// Converts with no limit that a test could reach.
pub fn converted(signal: Signal, payload: &[u8]) -> Converted {
    let options = ConvertOptions {
        arrival_time_unix_nano: ARRIVAL,
        column_bytes_max: usize::MAX,
        batch_bytes_max: usize::MAX,
        values: ValueLimits::default(),
    };
    convert(signal, payload, &options).expect("a well-formed request")
}

/// The rows of a table in all its batches, which must have the table's schema and not be empty.
pub fn rows(converted: &Converted, table: Table) -> Vec<Row> {
    assert!(converted.batches.is_sorted_by_key(|batch| batch.table));
    let mut rows = Vec::new();
    for batch in converted.batches.iter().filter(|batch| batch.table == table) {
        let batch = &batch.batch;
        assert_eq!(batch.schema(), arrow_schema(table));
        assert!(batch.num_rows() > 0, "no batch is empty");
        for column in batch.columns() {
            column.to_data().validate_full().expect("valid Arrow data");
        }
        let columns = StructArray::from(batch.clone());
        rows.extend((0..columns.len()).map(|row| struct_row(&columns, row)));
    }
    rows
}

fn struct_row(array: &StructArray, row: usize) -> Row {
    let cells = array.columns().iter().map(|column| cell(column, row));
    array
        .column_names()
        .into_iter()
        .map(interned)
        .zip(cells)
        .collect()
}

/// Column names are never freed; there are few.
fn interned(name: &str) -> &'static str {
    let all = Table::ALL
        .into_iter()
        .flat_map(|table| otlp2iceberg::schema::columns(table, &[]));
    let names = all.map(|column| column.name).chain(NESTED.iter().copied());
    names
        .into_iter()
        .find(|known| *known == name)
        .expect("a known name")
}

const NESTED: &[&str] = &[
    "Name",
    "Attributes",
    "DroppedAttributesCount",
    "FilteredAttributes",
    "Quantile",
    "Value",
];

pub fn cell(array: &ArrayRef, row: usize) -> Cell {
    if array.is_null(row) {
        return Cell::Null;
    }
    match array.data_type() {
        DataType::Boolean => Cell::Boolean(array.as_boolean().value(row)),
        DataType::Int32 => Cell::Number(array.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Cell::Number(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => Cell::double(array.as_primitive::<Float64Type>().value(row)),
        DataType::Timestamp(..) => Cell::Number(array.as_primitive::<TimestampMicrosecondType>().value(row)),
        DataType::Utf8 => Cell::text(array.as_string::<i32>().value(row)),
        DataType::Dictionary(..) => {
            let labels = array.as_dictionary::<Int32Type>();
            let key = labels.key(row).expect("not null");
            cell(labels.values(), key)
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>().value(row);
            Cell::List((0..list.len()).map(|element| cell(&list, element)).collect())
        }
        DataType::Struct(_) => Cell::Struct(struct_row(array.as_struct(), row)),
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            let key = |at| match cell(keys, at) {
                Cell::Text(key) => key,
                other => panic!("{other:?} is no key"),
            };
            Cell::Map((0..entries.len()).map(|at| (key(at), cell(values, at))).collect())
        }
        other => panic!("no column has the type {other}"),
    }
}
