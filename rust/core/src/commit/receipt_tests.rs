//! The stored form of a receipt, `testdata/receipt_v1.json`: every later version reads it, and until the form gets
//! another version, writes it.
//!
//! A test that fails here after a change of code or of iceberg-rust means that receipts of other versions, which may
//! wait in storage, are read or written differently. Give a new form a new `version`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::{env, fs};

use iceberg::TableIdent;
use iceberg::io::FileIO;
use iceberg::spec::{DataContentType, DataFileBuilder, DataFileFormat, Datum, Literal, Struct};
use serde_json::json;

use super::super::ids::tests::range;
use super::*;

/// Writes the stored form again: only for one that no released version has written.
const UPDATE: &str = "UPDATE_RECEIPT";

fn stored_path() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "src/commit/testdata/receipt_v1.json"]
        .iter()
        .collect()
}

fn stored() -> Vec<u8> {
    fs::read(stored_path()).unwrap()
}

/// The table on which the receipt is based.
fn table() -> LoadedTable {
    let metadata = json!({
        "format-version": 2,
        "table-uuid": "9c12d441-03fe-4693-9a96-a0705ddf69c1",
        "location": "file:///warehouse/otel/logs",
        "last-sequence-number": 7,
        "last-updated-ms": 1_767_323_044_000_i64,
        "last-column-id": 3,
        "current-schema-id": 0,
        "schemas": [{"type": "struct", "schema-id": 0, "fields": [
            {"id": 1, "name": "Timestamp", "required": true, "type": "timestamptz"},
            {"id": 2, "name": "Body", "required": false, "type": "string"},
            {"id": 3, "name": "Value", "required": false, "type": "double"},
        ]}],
        "default-spec-id": 0,
        "partition-specs": [{"spec-id": 0, "fields": [
            {"source-id": 1, "field-id": 1000, "name": "Timestamp_day", "transform": "day"},
        ]}],
        "last-partition-id": 1000,
        "default-sort-order-id": 0,
        "sort-orders": [{"order-id": 0, "fields": []}],
        "properties": {},
        "current-snapshot-id": 3_051_729_675_574_597_004_i64,
        "snapshots": [{
            "snapshot-id": 3_051_729_675_574_597_004_i64, "sequence-number": 7, "schema-id": 0,
            "timestamp-ms": 1_767_323_044_000_i64,
            "manifest-list": "file:///warehouse/otel/logs/metadata/snap-7.avro",
            "summary": {"operation": "append"},
        }],
        "refs": {"main": {"snapshot-id": 3_051_729_675_574_597_004_i64, "type": "branch"}},
    });
    LoadedTable {
        ident: TableIdent::from_strs(["otel", "logs"]).unwrap(),
        metadata: Arc::new(serde_json::from_value(metadata).unwrap()),
        metadata_location: String::new(),
        file_io: FileIO::new_with_memory(),
    }
}

/// A file with bounds of a time, a text and a number.
fn data_file() -> DataFile {
    DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path("file:///warehouse/otel/logs/data/Timestamp_day=2026-01-02/1.parquet".to_owned())
        .file_format(DataFileFormat::Parquet)
        .partition(Struct::from_iter([Some(Literal::date(20_455))]))
        .partition_spec_id(0)
        .record_count(3)
        .file_size_in_bytes(2_048)
        .column_sizes(HashMap::from([(1, 90), (2, 120), (3, 80)]))
        .value_counts(HashMap::from([(1, 3), (2, 3), (3, 3)]))
        .null_value_counts(HashMap::from([(1, 0), (2, 1), (3, 0)]))
        .nan_value_counts(HashMap::from([(3, 1)]))
        .lower_bounds(HashMap::from([
            (1, Datum::timestamptz_micros(1_767_323_045_000_000)),
            (2, Datum::string("disk is full")),
            (3, Datum::double(-0.5)),
        ]))
        .upper_bounds(HashMap::from([
            (1, Datum::timestamptz_micros(1_767_323_047_000_000)),
            (2, Datum::string("ünder")),
            (3, Datum::double(12.25)),
        ]))
        .split_offsets(Some(vec![4]))
        .sort_order_id(1)
        .build()
        .unwrap()
}

fn ids() -> Vec<IdRange> {
    vec![range(1, 5, 9), range(2, 0, 0)]
}

/// Sorts lists of keys with values: iceberg-rust writes them in any order.
fn sort_by_key(json: &mut Value) {
    match json {
        Value::Array(elements) => {
            elements.iter_mut().for_each(sort_by_key);
            if elements.iter().all(|element| element["key"].is_i64()) {
                elements.sort_by_key(|element| element["key"].as_i64());
            }
        }
        Value::Object(fields) => fields.values_mut().for_each(sort_by_key),
        _ => {}
    }
}

#[test]
fn the_stored_form_is_read() {
    let table = table();
    let receipt = Receipt::parse(&stored()).unwrap();
    assert_eq!(receipt.base, Base::of(&table.metadata));
    assert_eq!(receipt.rows, 3);
    assert_eq!(receipt.ids(), ids());
    receipt.check_table(&table.metadata).unwrap();
    let append = receipt.append(&table.metadata).unwrap();
    assert_eq!(append.files, [data_file()]);
    assert_eq!(append.files[0].lower_bounds(), data_file().lower_bounds());
    assert_eq!(append.partition_spec_id, 0);
    assert_eq!(append.ids, ids());
    assert_eq!(append.table_id, Some(table.metadata.uuid()));
}

#[test]
fn the_stored_form_is_written() {
    let append = Append {
        files: vec![data_file()],
        partition_spec_id: 0,
        ids: ids(),
        table_id: None,
        request_bytes: 0,
    };
    let receipt = Receipt::new(&append, &table()).unwrap();
    let mut written: Value = serde_json::from_slice(&receipt.to_json().unwrap()).unwrap();
    sort_by_key(&mut written);
    // These differ with each receipt.
    assert!(written["created-ms"].is_u64(), "{written}");
    written["created-ms"] = json!(1_767_323_048_000_u64);
    let author = written["created-by"].as_str().unwrap();
    assert!(author.starts_with("otlp2iceberg "), "{author}");
    written["created-by"] = json!("otlp2iceberg 0.1.0");

    let text = serde_json::to_string_pretty(&written).unwrap();
    if env::var_os(UPDATE).is_some() {
        fs::write(stored_path(), text.clone() + "\n").unwrap();
    }
    let mut stored: Value = serde_json::from_slice(&stored()).unwrap();
    sort_by_key(&mut stored);
    assert!(
        written == stored,
        "receipts have another form than {}:\n{text}",
        stored_path().display()
    );
}
