//! The `SQLite` catalog: creation, configuration errors, other tools' databases, metadata files.

use std::sync::Arc;

use iceberg::spec::Transform;
use iceberg::{TableRequirement, TableUpdate};
use otlp2iceberg::catalog::{self, CommitOutcome, table_spec};
use otlp2iceberg::config::Config;
use otlp2iceberg::{ErrorKind, RetryClass, Table};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use sqlx::{Executor, Row};

use crate::commit_support::{Warehouse, append, logs, soon};

pub async fn database(warehouse: &Warehouse) -> SqlitePool {
    let path = warehouse.folder.path().join("catalog.db");
    SqlitePool::connect_with(SqliteConnectOptions::new().filename(path).create_if_missing(true))
        .await
        .expect("opens")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_writers_create_the_same_table_at_once() {
    let warehouse = Arc::new(Warehouse::new());
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let warehouse = Arc::clone(&warehouse);
            tokio::spawn(async move {
                let table = warehouse
                    .catalog()
                    .await
                    .ensure(&logs(), Some(warehouse.spec()))
                    .await
                    .expect("ensured");
                (table.metadata.uuid(), table.metadata_location)
            })
        })
        .collect();
    let mut tables = Vec::new();
    for task in tasks {
        tables.push(task.await.expect("joined"));
    }
    tables.dedup();
    assert_eq!(tables.len(), 1, "all see one table");
    assert_eq!(
        warehouse.metadata_files(".json").len(),
        1,
        "losers remove their metadata"
    );
}

#[tokio::test]
async fn table_is_made_as_configured() {
    let warehouse = Warehouse::with(
        r#"{"partition_by": ["day(Timestamp)", "bucket(16, ServiceName)"],
            "properties": {"write.metadata.previous-versions-max": "5", "owner": "me"}}"#,
    );
    let table = warehouse
        .catalog()
        .await
        .ensure(&logs(), Some(warehouse.spec()))
        .await
        .expect("ensured");
    let metadata = &table.metadata;
    assert_eq!(
        metadata.location(),
        format!("file://{}/otel/logs", warehouse.folder.path().display())
    );
    assert!(
        table
            .metadata_location
            .starts_with(&format!("{}/metadata/00000-", metadata.location()))
    );
    let fields: Vec<_> = metadata
        .default_partition_spec()
        .fields()
        .iter()
        .map(|f| (f.name.as_str(), f.transform))
        .collect();
    assert_eq!(
        fields,
        [
            ("Timestamp_day", Transform::Day),
            ("ServiceName_bucket", Transform::Bucket(16))
        ]
    );
    let order: Vec<_> = metadata
        .default_sort_order()
        .fields
        .iter()
        .map(|field| metadata.current_schema().name_by_field_id(field.source_id))
        .collect();
    assert_eq!(order, [Some("ServiceName"), Some("Timestamp")]);
    for (key, value) in [
        ("write.metadata.delete-after-commit.enabled", "true"),
        ("write.metadata.previous-versions-max", "5"),
        ("write.parquet.compression-codec", "zstd"),
        ("write.parquet.bloom-filter-enabled.column.TraceId", "true"),
        ("owner", "me"),
    ] {
        assert_eq!(
            metadata.properties().get(key).map(String::as_str),
            Some(value),
            "{key}"
        );
    }
}

#[tokio::test]
async fn table_keeps_a_short_log_of_metadata_files_unless_told_otherwise() {
    let warehouse = Warehouse::new();
    let properties = warehouse.spec().properties;
    for (key, value) in [
        ("write.metadata.delete-after-commit.enabled", "true"),
        ("write.metadata.previous-versions-max", "20"),
    ] {
        assert_eq!(properties.get(key).map(String::as_str), Some(value), "{key}");
    }
}

#[tokio::test]
async fn every_table_has_a_spec_that_can_be_created() {
    let warehouse = Warehouse::with(r#"{"partition_by": ["hour(Timestamp)", "identity(ServiceName)"]}"#);
    let catalog = warehouse.catalog().await;
    for table in Table::ALL {
        let ident = iceberg::TableIdent::from_strs(["otel", table.default_name()]).expect("ident");
        let spec = table_spec(&warehouse.config, table).expect("spec");
        let loaded = catalog.ensure(&ident, Some(spec)).await.expect("ensured");
        assert_eq!(
            loaded.metadata.default_partition_spec().fields().len(),
            2,
            "{table:?}"
        );
    }
}

#[tokio::test]
async fn missing_table_without_a_spec_is_an_error_that_says_what_to_do() {
    let warehouse = Warehouse::new();
    let error = warehouse
        .catalog()
        .await
        .ensure(&logs(), None)
        .await
        .expect_err("no table");
    assert!(
        error.to_string().contains("tables.auto_create") && error.to_string().contains("otel.logs"),
        "{error}"
    );
}

#[tokio::test]
async fn unusable_places_are_configuration_errors_that_name_their_key() {
    let folder = tempfile::tempdir().expect("temporary folder");
    std::fs::write(folder.path().join("file"), "").expect("write");
    std::fs::write(
        folder.path().join("text.db"),
        "no database, but long enough to be read as a header",
    )
    .expect("write");
    let root = folder.path().display();
    for (json, key) in [
        (
            format!(r#"{{"catalog": {{"warehouse": "{root}/file/below"}}}}"#),
            "catalog.warehouse:",
        ),
        (
            format!(r#"{{"catalog": {{"warehouse": "{root}/w", "uri": "sqlite://{root}/file/c.db"}}}}"#),
            "catalog.uri:",
        ),
        (
            format!(r#"{{"catalog": {{"warehouse": "{root}/w", "uri": "sqlite://{root}/text.db"}}}}"#),
            "catalog.uri:",
        ),
    ] {
        let config = Config::from_json(json.as_bytes()).expect("valid in form");
        let error = catalog::open(&config).await.expect_err("cannot work");
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        let text = error.to_string();
        assert!(text.starts_with(key) && !text.contains('\n'), "{text}");
    }
}

#[tokio::test]
async fn rows_are_those_of_java_schema_v1() {
    let warehouse = Warehouse::new();
    let committer = warehouse.committer(warehouse.catalog().await).await;
    let created = committer.table().metadata_location.clone();
    committer.append(append(1, 1), soon()).await.expect("committed");
    let pool = database(&warehouse).await;
    let row = pool
        .fetch_one("SELECT * FROM iceberg_tables")
        .await
        .expect("one row");
    let columns: Vec<Option<String>> = (0..6).map(|i| row.get(i)).collect();
    let expected = [
        "default",
        "otel",
        "logs",
        &committer.table().metadata_location,
        &created,
        "TABLE",
    ];
    assert_eq!(columns, expected.map(|text| Some(text.to_owned())));
    let row = pool
        .fetch_one("SELECT * FROM iceberg_namespace_properties")
        .await
        .expect("one row");
    let columns: Vec<String> = (0..4).map(|i| row.get(i)).collect();
    assert_eq!(columns, ["default", "otel", "exists", "true"]);
}

#[tokio::test]
async fn database_that_pyiceberg_made_is_used_as_it_is() {
    let warehouse = Warehouse::new();
    let pool = database(&warehouse).await;
    pool.execute(
        "CREATE TABLE iceberg_tables (
            catalog_name VARCHAR(255) NOT NULL, table_namespace VARCHAR(255) NOT NULL, table_name VARCHAR(255) NOT NULL,
            metadata_location VARCHAR(1000), previous_metadata_location VARCHAR(1000),
            PRIMARY KEY (catalog_name, table_namespace, table_name))",
    )
    .await
    .expect("created");
    let committer = warehouse.committer(warehouse.catalog().await).await;
    committer.append(append(1, 1), soon()).await.expect("committed");
    let columns = pool
        .fetch_all("SELECT name FROM pragma_table_info('iceberg_tables')")
        .await
        .expect("columns");
    assert_eq!(columns.len(), 5, "not altered");
}

#[tokio::test]
async fn view_of_the_tables_name_is_told_from_a_table() {
    let warehouse = Warehouse::new();
    let catalog = warehouse.catalog().await;
    let insert =
        "INSERT INTO iceberg_tables VALUES ('default', 'otel', 'logs', 'file:///v.json', NULL, 'VIEW')";
    database(&warehouse)
        .await
        .execute(insert)
        .await
        .expect("inserted");
    let error = catalog
        .ensure(&logs(), Some(warehouse.spec()))
        .await
        .expect_err("a view");
    assert_eq!(error.kind(), ErrorKind::TableMismatch);
    assert_eq!(
        error.retry_class(),
        RetryClass::Retry { after: None },
        "rows wait until it is gone"
    );
    database(&warehouse)
        .await
        .execute("DELETE FROM iceberg_tables")
        .await
        .expect("dropped");
    catalog
        .ensure(&logs(), Some(warehouse.spec()))
        .await
        .expect("made without a restart");
}

#[tokio::test]
async fn commit_on_a_stale_base_is_a_conflict_and_leaves_no_metadata_file() {
    let warehouse = Warehouse::new();
    let catalog = warehouse.catalog().await;
    let base = catalog
        .ensure(&logs(), Some(warehouse.spec()))
        .await
        .expect("ensured");
    let set = |key: &str| {
        vec![TableUpdate::SetProperties {
            updates: [(key.to_owned(), "1".to_owned())].into(),
        }]
    };
    let outcome = catalog.commit(&base, vec![], set("a")).await;
    let CommitOutcome::Committed(table) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(table.metadata.metadata_log().len(), 1);
    let outcome = catalog.commit(&base, vec![], set("b")).await;
    assert!(
        matches!(outcome, CommitOutcome::Refused { conflict: true, .. }),
        "{outcome:?}"
    );
    let requirement = TableRequirement::UuidMatch {
        uuid: uuid::Uuid::nil(),
    };
    let outcome = catalog.commit(&table, vec![requirement], set("c")).await;
    assert!(
        matches!(outcome, CommitOutcome::Refused { conflict: true, .. }),
        "{outcome:?}"
    );
    let update = TableUpdate::SetCurrentSchema { schema_id: 77 };
    let outcome = catalog.commit(&table, vec![], vec![update]).await;
    assert!(
        matches!(outcome, CommitOutcome::Refused { conflict: false, .. }),
        "{outcome:?}"
    );
    assert_eq!(warehouse.metadata_files(".json").len(), 2);
    assert!(
        catalog
            .load(&logs())
            .await
            .expect("loads")
            .metadata
            .properties()
            .contains_key("a")
    );
}

#[tokio::test]
async fn old_metadata_files_are_pruned_only_when_the_table_wants_it() {
    for (enabled, expected) in [("true", 4), ("false", 7)] {
        let warehouse = Warehouse::with(&format!(
            r#"{{"properties": {{"write.metadata.previous-versions-max": "3",
                "write.metadata.delete-after-commit.enabled": "{enabled}"}}}}"#
        ));
        let committer = warehouse.committer(warehouse.catalog().await).await;
        for sequence in 1..=6 {
            committer
                .append(append(1, sequence), soon())
                .await
                .expect("committed");
        }
        assert_eq!(committer.table().metadata.metadata_log().len(), 3);
        // Callers get their answers before anything is deleted.
        committer.close().await;
        assert_eq!(
            warehouse.metadata_files(".json").len(),
            expected,
            "enabled: {enabled}"
        );
    }
}

#[tokio::test]
async fn load_of_an_unchanged_table_reads_no_file() {
    let warehouse = Warehouse::new();
    let catalog = warehouse.catalog().await;
    catalog
        .ensure(&logs(), Some(warehouse.spec()))
        .await
        .expect("ensured");
    for name in warehouse.metadata_files(".json") {
        std::fs::remove_file(warehouse.folder.path().join("otel/logs/metadata").join(name)).expect("removed");
    }
    catalog.load(&logs()).await.expect("known already");
    let error = warehouse
        .catalog()
        .await
        .load(&logs())
        .await
        .expect_err("another process must read");
    assert_eq!(error.kind(), ErrorKind::Storage);
}
