//! The `SQLite` catalog: creation, configuration errors, other tools' databases, evolution.

use std::path::Path;
use std::sync::Arc;

use iceberg::spec::{NestedField, PrimitiveType, Schema, Transform, Type};
use iceberg::{TableRequirement, TableUpdate};
use otlp2iceberg::catalog::{self, CommitOutcome, TableSpec, table_spec};
use otlp2iceberg::commit::{Committer, Wanted};
use otlp2iceberg::config::{CommitConfig, Config};
use otlp2iceberg::schema::{ColumnCase, iceberg_schema};
use otlp2iceberg::{ErrorKind, RetryClass, Table};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use sqlx::{Executor, Row};

use crate::commit_support::{Warehouse, append, entries, file_names, logs, soon};
use crate::logged::warnings;

async fn database(warehouse: &Warehouse) -> SqlitePool {
    let path = warehouse.folder.path().join("catalog.db");
    SqlitePool::connect_with(SqliteConnectOptions::new().filename(path).create_if_missing(true))
        .await
        .expect("opens")
}

fn all(schema: &Schema) -> Wanted<'_> {
    Wanted {
        schema,
        attributes: &[],
    }
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

/// Makes the table of logs, or finds it, as another process does. Returns its location.
async fn made(warehouse: &Warehouse) -> String {
    let catalog = warehouse.catalog().await;
    let table = catalog.ensure(&logs(), Some(warehouse.spec())).await;
    table.expect("ensured").metadata.location().to_owned()
}

/// The location that the table's name gives.
fn named_location(warehouse: &Warehouse) -> String {
    format!("file://{}/otel/logs", warehouse.folder.path().display())
}

/// Checks that this location is a table's own, beside the one that its name gives.
fn assert_is_own(location: &str, warehouse: &Warehouse) {
    let own = location.strip_prefix(&format!("{}-", named_location(warehouse)));
    assert!(own.is_some_and(|id| id.len() == 32), "{location}");
}

#[tokio::test]
async fn a_table_of_another_catalog_name_keeps_its_folder_and_is_told_of() {
    let mut warehouse = Warehouse::new();
    let (logged, _guard) = warnings();
    for (name, warned) in [("default", 0), ("other", 1)] {
        warehouse.config.catalog.name = Some(name.to_owned());
        let location = made(&warehouse).await;
        if warned == 0 {
            assert_eq!(location, named_location(&warehouse));
        } else {
            assert_is_own(&location, &warehouse);
        }
        let lines = logged.lines();
        let told = lines
            .iter()
            .filter(|line| line.contains("or catalog.name was changed"))
            .count();
        assert_eq!(told, warned, "{name}: {lines:?}");
    }
}

/// The table was dropped, or another database has it.
#[tokio::test]
async fn a_table_that_the_database_does_not_have_keeps_its_folder() {
    let warehouse = Warehouse::new();
    let committer = warehouse.committer(warehouse.catalog().await).await;
    committer.append(append(1, 1), soon()).await.expect("committed");
    committer.close().await;
    run(&warehouse, "DELETE FROM iceberg_tables").await;
    let (logged, _guard) = warnings();
    let location = made(&warehouse).await;
    assert_is_own(&location, &warehouse);
    let newest = committer.table().metadata_location.clone();
    let lines = logged.lines();
    let told = lines
        .iter()
        .filter(|line| line.contains("in the folder of another one") && line.contains(&newest));
    assert_eq!(told.count(), 1, "{newest}: {lines:?}");
    assert_eq!(made(&warehouse).await, location, "found, not made again");
}

/// Another process may be creating this very table, and has not registered it yet.
#[tokio::test]
async fn a_first_metadata_file_alone_does_not_take_the_folder() {
    let warehouse = Warehouse::new();
    made(&warehouse).await;
    run(&warehouse, "DELETE FROM iceberg_tables").await;
    let (logged, _guard) = warnings();
    assert_eq!(made(&warehouse).await, named_location(&warehouse));
    assert_eq!(logged.lines(), Vec::<String>::new());
}

/// A rename is no reason for a warning.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_make_a_table_anew_after_a_rename_agree_on_its_folder() {
    let warehouse = Arc::new(Warehouse::new());
    assert_eq!(made(&warehouse).await, named_location(&warehouse));
    run(&warehouse, "UPDATE iceberg_tables SET table_name = 'logs_2025'").await;
    let (logged, guard) = warnings();
    let location = made(&warehouse).await;
    drop(guard);
    assert_is_own(&location, &warehouse);
    assert_eq!(logged.lines(), Vec::<String>::new());
    run(
        &warehouse,
        "UPDATE iceberg_tables SET table_name = 'logs_2026' WHERE table_name = 'logs'",
    )
    .await;
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let warehouse = Arc::clone(&warehouse);
            tokio::spawn(async move { made(&warehouse).await })
        })
        .collect();
    let mut locations = Vec::new();
    for task in tasks {
        locations.push(task.await.expect("joined"));
    }
    locations.dedup();
    assert_eq!(locations.len(), 1, "{locations:?}");
    assert_ne!(locations[0], location);
    let folders = std::fs::read_dir(warehouse.folder.path().join("otel")).expect("folder");
    let files = folders.map(|folder| {
        let folder = folder.expect("entry").path().join("metadata");
        file_names(&folder, ".metadata.json").len()
    });
    assert_eq!(files.sum::<usize>(), 3, "losers remove their metadata");
}

async fn run(warehouse: &Warehouse, sql: &str) {
    database(warehouse).await.execute(sql).await.expect("changed");
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

/// The logs table without some columns and with one column of another tool.
fn other_spec(warehouse: &Warehouse, body: PrimitiveType) -> TableSpec {
    let spec = warehouse.spec();
    let kept = spec
        .schema
        .as_struct()
        .fields()
        .iter()
        .filter(|field| !matches!(field.name.as_str(), "Body" | "EventName"));
    let body = NestedField::optional(900, "Body", Type::Primitive(body));
    let theirs = NestedField::optional(901, "Theirs", Type::Primitive(PrimitiveType::String));
    let fields = kept.cloned().chain([Arc::new(body), Arc::new(theirs)]);
    TableSpec {
        schema: Schema::builder().with_fields(fields).build().expect("schema"),
        ..spec
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_columns_are_added_once_by_many_writers() {
    let warehouse = Arc::new(Warehouse::new());
    let catalog = warehouse.catalog().await;
    let old = catalog
        .ensure(&logs(), Some(other_spec(&warehouse, PrimitiveType::String)))
        .await
        .expect("ensured");
    let tasks: Vec<_> = (1..=4u8)
        .map(|writer| {
            let warehouse = Arc::clone(&warehouse);
            tokio::spawn(async move {
                let wanted = iceberg_schema(Table::Logs, &[], ColumnCase::Pascal).expect("schema");
                let catalog = warehouse.catalog().await;
                let config = CommitConfig::default();
                let committer = Committer::open(catalog, logs(), None, Some(all(&wanted)), config)
                    .await
                    .expect("opens");
                committer
                    .append(append(writer, 1), soon())
                    .await
                    .expect("committed");
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("joined");
    }
    let table = catalog.load(&logs()).await.expect("loads");
    let schema = table.metadata.current_schema();
    assert_eq!(table.metadata.schemas_iter().len(), 2);
    assert!(
        schema
            .field_by_name("EventName")
            .is_some_and(|field| field.id > old.metadata.last_column_id())
    );
    assert_eq!(
        schema.field_id_by_name("Theirs"),
        old.metadata.current_schema().field_id_by_name("Theirs")
    );
    assert_eq!(entries(&table).await.len(), 4);
}

#[tokio::test]
async fn column_of_another_type_is_a_mismatch_that_names_both() {
    let warehouse = Warehouse::new();
    let catalog = warehouse.catalog().await;
    catalog
        .ensure(&logs(), Some(other_spec(&warehouse, PrimitiveType::Long)))
        .await
        .expect("ensured");
    let wanted = iceberg_schema(Table::Logs, &[], ColumnCase::Pascal).expect("schema");
    let error = Committer::open(catalog, logs(), None, Some(all(&wanted)), CommitConfig::default())
        .await
        .expect_err("clash");
    assert_eq!(error.kind(), ErrorKind::TableMismatch);
    let text = error.to_string();
    assert!(
        text.contains("\"Body\" is long") && text.contains("otel.logs"),
        "{text}"
    );
    assert_eq!(
        file_names(
            &Path::new(warehouse.folder.path()).join("otel/logs/metadata"),
            ".json"
        )
        .len(),
        1
    );
}
