//! The same rows as if they had been written at once.

use bytes::Bytes;
use iceberg::spec::Datum;
use otlp2iceberg::Table;
use otlp2iceberg::write::Joined;

use super::super::support::{
    DAY, TestTable, batch, chunk_of, footer, id, integers, labels, logs_of_resource, rows_of, texts, times,
};
use super::super::tables::sample;
use super::support::{Folder, logs, multiset, some_rows};

#[tokio::test]
async fn small_row_groups_become_one_as_if_their_rows_had_been_written_at_once() {
    for table in Table::ALL {
        let mut folder = Folder::new(table, TestTable::default(table));
        let rows = sample(table, 400);
        let batches = [
            some_rows(&rows, (0..150).rev()),
            some_rows(&rows, (150..160).chain(300..400)),
            some_rows(&rows, (160..300).map(|row| 160 + (row * 37) % 140)),
        ];
        let mut sources = Vec::new();
        for batch in &batches {
            sources.push(folder.write(batch.clone()).await);
        }
        let Joined { data_file, taken, .. } = folder.join(&sources).await;
        assert_eq!(taken, [0, 1, 2], "{table}");
        let (at_once, expected) = folder.at_once(&batches);
        let bytes = folder.bytes(&data_file).await;
        assert_eq!(rows_of(&bytes), rows_of(&at_once), "{table}");
        assert_eq!(footer(&bytes).num_row_groups(), 1, "{table}");
        let mut read = Vec::new();
        for source in &sources {
            read.push(folder.bytes(source).await);
        }
        assert_eq!(multiset([&bytes]), multiset(&read), "{table}");

        assert_eq!(data_file.sort_order_id(), Some(1), "{table}");
        assert_eq!(data_file.record_count(), 400, "{table}");
        assert_eq!(data_file.partition(), expected.partition(), "{table}");
        assert_eq!(data_file.value_counts(), expected.value_counts(), "{table}");
        assert_eq!(
            data_file.null_value_counts(),
            expected.null_value_counts(),
            "{table}"
        );
        assert_eq!(
            data_file.nan_value_counts(),
            expected.nan_value_counts(),
            "{table}"
        );
        assert_eq!(data_file.lower_bounds(), expected.lower_bounds(), "{table}");
        assert_eq!(data_file.upper_bounds(), expected.upper_bounds(), "{table}");
        assert_eq!(
            data_file.column_sizes().len(),
            expected.column_sizes().len(),
            "{table}"
        );
        assert_eq!(data_file.split_offsets(), Some(&[4][..]), "{table}");
        // Chunks are the same as in a normal write.
        let (ours, theirs) = (footer(&bytes), footer(&at_once));
        assert_eq!(
            ours.file_metadata().schema_descr(),
            theirs.file_metadata().schema_descr()
        );
        for (chunk, expected) in ours
            .row_group(0)
            .columns()
            .iter()
            .zip(theirs.row_group(0).columns())
        {
            let name = chunk.column_path().string();
            assert_eq!(
                chunk.encodings_mask(),
                expected.encodings_mask(),
                "{table}.{name}"
            );
            assert_eq!(chunk.compression(), expected.compression(), "{table}.{name}");
            assert_eq!(chunk.statistics(), expected.statistics(), "{table}.{name}");
            assert_eq!(
                chunk.bloom_filter_offset().is_some(),
                expected.bloom_filter_offset().is_some(),
                "{table}.{name}"
            );
        }
        assert_eq!(ours.column_index(), theirs.column_index(), "{table}");
    }
}

#[tokio::test]
async fn the_file_is_in_its_partitions_folder_under_a_new_name() {
    let mut folder = Folder::logs(100);
    let sources = [folder.write(logs(0..10)).await, folder.write(logs(10..20)).await];
    let first = folder.join(&sources).await.data_file;
    let second = folder.join(&sources).await.data_file;
    let prefix = format!(
        "file://{}/data/Timestamp_day=2026-11-21/joined-",
        folder.directory.path().display()
    );
    for file in [&first, &second] {
        let name = file.file_path().strip_prefix(&prefix).unwrap();
        let number = name.strip_suffix(".parquet").unwrap();
        assert!(
            number.len() == 32 && number.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{name}"
        );
    }
    assert_ne!(first.file_path(), second.file_path());
    assert_eq!(folder.files().len(), 4);

    let hashed = TestTable::default(Table::Logs).property("write.object-storage.enabled", "true");
    let mut folder = Folder::new(Table::Logs, hashed);
    let sources = [folder.write(logs(0..10)).await, folder.write(logs(10..20)).await];
    let joined = folder.join(&sources).await.data_file;
    let (folders, name) = joined
        .file_path()
        .rsplit_once("/Timestamp_day=2026-11-21/")
        .unwrap();
    assert!(name.starts_with("joined-"), "{name}");
    let bits: String = folders.chars().rev().take(23).filter(|bit| *bit != '/').collect();
    assert!(
        bits.len() == 20 && bits.chars().all(|bit| "01".contains(bit)),
        "{folders}"
    );
}

#[tokio::test]
async fn columns_without_values_and_without_metrics_stay_so() {
    let modes = [
        ("write.metadata.metrics.default", "counts"),
        ("write.metadata.metrics.column.Body", "none"),
        ("write.metadata.metrics.column.TraceId", "truncate(4)"),
    ];
    let mut folder = Folder::new(Table::Logs, TestTable::ours(Table::Logs).properties(&modes));
    let of = |ids: [Option<&str>; 2]| {
        batch(&[
            ("Timestamp", times([DAY, DAY + 1])),
            ("TraceId", texts(ids)),
            ("SpanId", texts([None, None])),
            ("ServiceName", labels([None, None])),
            ("Body", texts([Some("a"), Some("b")])),
        ])
    };
    let batches = [
        of([None, None]),
        of([Some("abcdef"), None]),
        of([Some("xyz"), Some("xyzxyz")]),
    ];
    let mut sources = Vec::new();
    for batch in &batches {
        sources.push(folder.write(batch.clone()).await);
    }
    let joined = folder.join(&sources).await.data_file;
    let (at_once, expected) = folder.at_once(&batches);
    assert_eq!(rows_of(&folder.bytes(&joined).await), rows_of(&at_once));
    assert_eq!(joined.value_counts(), expected.value_counts());
    assert_eq!(joined.null_value_counts(), expected.null_value_counts());
    assert_eq!(joined.lower_bounds(), expected.lower_bounds());
    assert_eq!(joined.upper_bounds(), expected.upper_bounds());
    let trace_id = id(&folder.metadata, "TraceId");
    assert_eq!(joined.lower_bounds()[&trace_id], Datum::string("abcd"));
    assert_eq!(joined.upper_bounds()[&trace_id], Datum::string("xyzy"));
    assert_eq!(joined.null_value_counts()[&trace_id], 3);
    assert!(!joined.value_counts().contains_key(&id(&folder.metadata, "Body")));
    assert_eq!(joined.sort_order_id(), None, "the table has no order");
}

/// Texts that repeat in one file, and so have a dictionary there, and are distinct in the next one.
#[tokio::test]
async fn texts_with_and_without_a_dictionary_go_together() {
    let mut folder = Folder::logs(10_000);
    let bodies = |different: i64| {
        let rows = 0..3_000_i64;
        let bodies: Vec<String> = rows
            .clone()
            .map(|row| format!("{:0>60}", row % different))
            .collect();
        batch(&[
            ("Timestamp", times(rows.clone().map(|row| DAY + row))),
            ("TraceId", texts(bodies.iter().map(|body| Some(body.as_str())))),
            ("Body", texts(bodies.iter().map(|body| Some(body.as_str())))),
        ])
    };
    let batches = [bodies(3_000), bodies(3)];
    let sources = [
        folder.write(batches[0].clone()).await,
        folder.write(batches[1].clone()).await,
    ];
    let of_trace_id = |bytes: &Bytes| {
        let footer = footer(bytes);
        let mut chunks = footer.row_group(0).columns().iter();
        let chunk = chunks.find(|chunk| chunk.column_path().string() == "TraceId");
        chunk.unwrap().dictionary_page_offset().is_some()
    };
    assert!(!of_trace_id(&folder.bytes(&sources[0]).await));
    assert!(of_trace_id(&folder.bytes(&sources[1]).await));
    let bytes = folder.bytes(&folder.join(&sources).await.data_file).await;
    assert_eq!(rows_of(&bytes), rows_of(&folder.at_once(&batches).0));
    assert_eq!(integers(&rows_of(&bytes), "Timestamp").len(), 6_000);
}

/// Written again for each row, a long attribute of a resource would make small files gigabytes.
#[tokio::test]
async fn a_resource_is_in_the_dictionary_as_in_the_sources() {
    let table = TestTable::default(Table::Logs).property("write.parquet.dict-size-bytes", "8192");
    let mut folder = Folder::new(Table::Logs, table).with_rows_max(10_000);
    let long = ["x", "y"].map(|text| text.repeat(20 << 10));
    let batches = [logs_of_resource(&long[0], 500), logs_of_resource(&long[1], 500)];
    let sources = [
        folder.write(batches[0].clone()).await,
        folder.write(batches[1].clone()).await,
    ];
    let values = "ResourceAttributes.key_value.value";
    for source in &sources {
        let bytes = chunk_of(&folder.bytes(source).await, values).uncompressed_size();
        assert!((20 << 10..22 << 10).contains(&bytes), "{bytes} bytes");
    }
    let bytes = folder.bytes(&folder.join(&sources).await.data_file).await;
    let joined = chunk_of(&bytes, values).uncompressed_size();
    assert!((40 << 10..44 << 10).contains(&joined), "{joined} bytes");
    let rows = rows_of(&bytes);
    assert!(rows == rows_of(&folder.at_once(&batches).0), "other rows");
    assert_eq!(integers(&rows, "Timestamp"), vec![Some(DAY); 1000]);
}
