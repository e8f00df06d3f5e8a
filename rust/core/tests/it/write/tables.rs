//! Every column of every table is read back as it was written, including empty, null and extreme values.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array, ListArray, MapArray,
    RecordBatch, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use arrow_select::concat::concat_batches;
use arrow_select::take::take;
use iceberg::spec::Type;
use otlp2iceberg::Table;
use otlp2iceberg::config::ParquetConfig;
use otlp2iceberg::schema::{UTC, arrow_schema, time_column};
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

use super::support::{DAY, TestTable, read_bytes, write_with};

/// Rows of a table in its canonical schema, one service, times ascending: already in the table's sort order.
pub fn sample(table: Table, rows: usize) -> RecordBatch {
    let schema = arrow_schema(table);
    let columns = schema.fields().iter().map(|field| match field.name().as_str() {
        name if name == time_column(table) => {
            Arc::new(TimestampMicrosecondArray::from_iter_values(DAY..DAY + rows as i64).with_timezone(UTC))
        }
        "ServiceName" | "MetricName" => constant_labels(field.name(), rows),
        _ => array(field, rows),
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap()
}

fn constant_labels(value: &str, rows: usize) -> ArrayRef {
    Arc::new(std::iter::repeat_n(Some(value), rows).collect::<DictionaryArray<Int32Type>>())
}

/// Cyclic values: for each type an extreme one, an ordinary one and, where allowed, null.
fn array(field: &Field, rows: usize) -> ArrayRef {
    let null = |row: usize| field.is_nullable() && row % 5 == 3;
    fn pick<T: Copy>(values: &[T], rows: usize, null: impl Fn(usize) -> bool) -> Vec<Option<T>> {
        (0..rows)
            .map(|row| (!null(row)).then(|| values[row % values.len()]))
            .collect()
    }
    let words = ["", "ä😀", "x", "a longer text than sixteen code points"];
    match field.data_type() {
        DataType::Boolean => Arc::new(BooleanArray::from(pick(&[true, false], rows, null))),
        DataType::Int32 => Arc::new(Int32Array::from(pick(&[i32::MIN, i32::MAX, 0], rows, null))),
        DataType::Int64 => Arc::new(Int64Array::from(pick(&[i64::MIN, i64::MAX, 0], rows, null))),
        DataType::Float64 => {
            let values = [f64::NAN, -0.0, f64::NEG_INFINITY, f64::MIN_POSITIVE, 1.5];
            Arc::new(Float64Array::from(pick(&values, rows, null)))
        }
        DataType::Timestamp(_, _) => {
            let values = pick(&[DAY, i64::MAX / 1000, 1], rows, null);
            Arc::new(TimestampMicrosecondArray::from(values).with_timezone(UTC))
        }
        DataType::Utf8 => Arc::new(StringArray::from(pick(&words, rows, null))),
        DataType::Dictionary(_, shared) if shared.is_nested() => {
            let maps = array(&Field::new("shared", shared.as_ref().clone(), true), 3);
            let keys = Int32Array::from(pick(&[2, 0, 1, 0], rows, null));
            Arc::new(DictionaryArray::new(keys, maps))
        }
        DataType::Dictionary(_, _) => Arc::new(
            pick(&words, rows, null)
                .into_iter()
                .collect::<DictionaryArray<Int32Type>>(),
        ),
        DataType::Struct(fields) => Arc::new(structure(fields, rows)),
        DataType::List(element) => {
            let (offsets, nulls) = repetition(rows);
            let values = array(element, offsets[rows] as usize);
            Arc::new(ListArray::new(Arc::clone(element), offsets, values, Some(nulls)))
        }
        DataType::Map(entries, sorted) => {
            let DataType::Struct(fields) = entries.data_type() else {
                panic!("a map of {entries}");
            };
            let (offsets, nulls) = repetition(rows);
            let values = structure(fields, offsets[rows] as usize);
            Arc::new(MapArray::new(
                Arc::clone(entries),
                offsets,
                values,
                Some(nulls),
                *sorted,
            ))
        }
        other => panic!("no table has {other}"),
    }
}

fn structure(fields: &Fields, rows: usize) -> StructArray {
    let arrays: Vec<ArrayRef> = fields.iter().map(|field| array(field, rows)).collect();
    StructArray::new(fields.clone(), arrays, None)
}

/// Lengths in a cycle: two elements, null, none, one.
fn repetition(rows: usize) -> (OffsetBuffer<i32>, NullBuffer) {
    let lengths = (0..rows).map(|row| [2, 0, 0, 1][row % 4]);
    let nulls = NullBuffer::from_iter((0..rows).map(|row| row % 4 != 1));
    (OffsetBuffer::from_lengths(lengths), nulls)
}

#[tokio::test]
async fn every_column_of_every_table_comes_back() {
    for table in Table::ALL {
        let metadata = TestTable::default(table).build();
        let rows = sample(table, 41);
        let (written, file_io) = write_with(&metadata, table, rows.clone(), &ParquetConfig::default())
            .await
            .unwrap();
        assert_eq!(written.files.len(), 1, "{table}");
        assert_eq!(written.files[0].sort_order_id(), Some(1), "{table}");
        let bytes = read_bytes(&file_io, &written.files[0]).await;
        let rows = unshared(&rows);
        assert_eq!(read_as(bytes, &rows.schema()), rows, "{table}");
    }
}

/// Copies shared maps into each of their rows.
fn unshared(batch: &RecordBatch) -> RecordBatch {
    let schema = batch.schema();
    let (fields, columns): (Vec<Field>, Vec<ArrayRef>) = schema
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, column)| match field.data_type() {
            DataType::Dictionary(_, shared) if shared.is_nested() => {
                let dictionary = column.as_dictionary::<Int32Type>();
                let maps = take(dictionary.values(), dictionary.keys(), None).unwrap();
                (
                    field.as_ref().clone().with_data_type(shared.as_ref().clone()),
                    maps,
                )
            }
            _ => (field.as_ref().clone(), Arc::clone(column)),
        })
        .unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// Reads with these types (dictionaries, the spelling of the time zone).
fn read_as(bytes: bytes::Bytes, schema: &SchemaRef) -> RecordBatch {
    let options = ArrowReaderOptions::new().with_schema(Arc::clone(schema));
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, options).unwrap();
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    concat_batches(schema, &batches).unwrap()
}

#[tokio::test]
async fn only_sizes_are_kept_of_what_is_inside_lists_and_maps() {
    for table in Table::ALL {
        let metadata = TestTable::default(table).build();
        let (written, _) = write_with(&metadata, table, sample(table, 9), &ParquetConfig::default())
            .await
            .unwrap();
        let file = &written.files[0];
        let fields = metadata.current_schema().as_struct().fields();
        for field in fields {
            let primitive = matches!(*field.field_type, Type::Primitive(_));
            assert_eq!(
                file.value_counts().get(&field.id),
                primitive.then_some(&9),
                "{table}.{}",
                field.name
            );
        }
        let top_level = |id: &i32| fields.iter().any(|field| field.id == *id);
        assert!(file.lower_bounds().keys().all(top_level), "{table}");
        assert!(file.upper_bounds().keys().all(top_level), "{table}");
        let nested = |name: &str| metadata.current_schema().field_id_by_name(name).unwrap();
        for part in ["key", "value"] {
            let id = nested(&format!("ResourceAttributes.{part}"));
            assert!(file.column_sizes()[&id] > 0, "{table}.{part}");
            assert!(!file.null_value_counts().contains_key(&id), "{table}.{part}");
        }
    }
}
