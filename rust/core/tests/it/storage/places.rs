//! Tables in other locations than the configuration's for new ones.

use std::path::Path;

use iceberg::TableIdent;
use otlp2iceberg::catalog::{self, CommitOutcome, LoadedTable, table_spec};
use otlp2iceberg::config::Config;
use otlp2iceberg::{Pipeline, RetryClass, Table};
use sqlx::Executor;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

use super::stub::Stub;
use super::tables::export;
use crate::catalog_rest::server::Server;
use crate::commit_support::{entries, file_names, logs, summary};

const ON_S3: &str = "s3://lake/warehouse";

/// The same database, with this warehouse. Tables keep one old metadata file.
fn config(stub: &Stub, folder: &Path, warehouse: &str) -> Config {
    let database = folder.join("catalog.db");
    let mut config = stub.config(&format!(
        r#"{{"type": "sql", "uri": "sqlite://{}", "warehouse": "{warehouse}"}}"#,
        database.display()
    ));
    let kept = ("write.metadata.previous-versions-max".to_owned(), "1".to_owned());
    config.tables.properties.extend([kept]);
    config
}

async fn table(config: &Config, ident: &TableIdent) -> LoadedTable {
    let catalog = catalog::open(config).await.expect("catalog opens");
    let spec = table_spec(config, Table::Logs).expect("spec");
    catalog.ensure(ident, Some(spec)).await.expect("ensured")
}

/// Metadata files of the table of logs.
fn metadata_files(stub: &Stub, local: &Path, on_s3: bool) -> usize {
    if !on_s3 {
        return file_names(&local.join("otel/logs/metadata"), ".metadata.json").len();
    }
    let state = stub.state();
    let ours =
        |key: &&String| key.starts_with("warehouse/otel/logs/metadata/") && key.ends_with(".metadata.json");
    state.files.keys().filter(ours).count()
}

#[tokio::test]
async fn a_table_is_found_and_written_where_it_is_when_the_warehouse_is_elsewhere_by_now() {
    for first_on_s3 in [false, true] {
        let (stub, folder) = (Stub::start().await, tempfile::tempdir().expect("folder"));
        let local = folder.path().join("lake");
        let local_warehouse = local.to_str().expect("UTF-8");
        let mut warehouses = [local_warehouse, ON_S3];
        if first_on_s3 {
            warehouses.reverse();
        }
        let [old, new] = warehouses;
        let pipeline = Pipeline::open(config(&stub, folder.path(), old))
            .await
            .expect("opens");
        export(&pipeline, 0, &["zero"]).await.expect("stored");
        pipeline.close().await;
        let requests = stub.state().requests.len();

        let now = config(&stub, folder.path(), new);
        let pipeline = Pipeline::open(now.clone()).await.expect("opens");
        for sequence in 1..4 {
            let outcome = export(&pipeline, sequence, &["more"]).await.expect("stored");
            assert_eq!((outcome.rows, outcome.commits), (1, 1));
        }
        let again = export(&pipeline, 0, &["zero"]).await.expect("known");
        assert_eq!(again.already_committed, 1);
        pipeline.close().await;
        assert_eq!(stub.state().requests.len() > requests, first_on_s3);

        let found = table(&now, &logs()).await;
        let root = if first_on_s3 {
            ON_S3.to_owned()
        } else {
            format!("file://{local_warehouse}")
        };
        assert_eq!(found.metadata.location(), format!("{root}/otel/logs"));
        assert_eq!(summary(&found)["total-records"], "4");
        for path in entries(&found).await.into_keys() {
            assert!(path.starts_with(&root), "{path}");
            assert!(found.file_io.exists(&path).await.expect("looked"), "{path}");
        }
        assert_eq!(
            metadata_files(&stub, &local, first_on_s3),
            2,
            "older ones are deleted there"
        );

        // Only a new table is put into the current warehouse.
        let other = TableIdent::from_strs(["otel", "others"]).expect("ident");
        let made = table(&now, &other).await;
        assert_eq!(made.metadata.location().starts_with("s3://"), !first_on_s3);
        assert!(
            made.file_io
                .exists(&made.metadata_location)
                .await
                .expect("looked")
        );
    }
}

#[tokio::test]
async fn one_process_commits_to_tables_here_and_there() {
    let (stub, folder) = (Stub::start().await, tempfile::tempdir().expect("folder"));
    let local = folder.path().join("lake");
    let local = config(&stub, folder.path(), local.to_str().expect("UTF-8"));
    let there = config(&stub, folder.path(), ON_S3);
    let ident = |name| TableIdent::from_strs(["otel", name]).expect("ident");
    table(&local, &ident("here")).await;
    table(&there, &ident("there")).await;
    for config in [local, there] {
        let catalog = catalog::open(&config).await.expect("opens");
        for name in ["here", "there"] {
            let base = catalog.load(&ident(name)).await.expect("loaded");
            let outcome = catalog.commit(&base, Vec::new(), Vec::new()).await;
            let CommitOutcome::Committed(next) = outcome else {
                panic!("{outcome:?}");
            };
            for table in [&base, &next] {
                let location = &table.metadata_location;
                assert_eq!(location.starts_with("s3://"), name == "there");
                assert!(next.file_io.exists(location).await.expect("looked"), "{location}");
            }
        }
    }
}

#[tokio::test]
async fn a_table_of_others_where_there_is_no_storage_for_it_is_said_with_its_place() {
    let (stub, folder) = (Stub::start().await, tempfile::tempdir().expect("folder"));
    let config = config(&stub, folder.path(), ON_S3);
    table(&config, &logs()).await;
    let database = SqliteConnectOptions::new().filename(folder.path().join("catalog.db"));
    let pool = SqlitePool::connect_with(database).await.expect("opens");
    let moved = "UPDATE iceberg_tables SET metadata_location = 'gs://b/t/metadata/1.metadata.json'";
    pool.execute(moved).await.expect("moved");
    let catalog = catalog::open(&config).await.expect("opens");
    let error = catalog.load(&logs()).await.expect_err("no such storage");
    assert_eq!(error.retry_class(), RetryClass::Retry { after: None });
    for part in ["gs://", "otel.logs"] {
        assert!(error.to_string().contains(part), "{part} in {error}");
    }
}

#[tokio::test]
async fn a_table_that_a_server_makes_anew_on_s3_is_written_there() {
    let (stub, server) = (Stub::start().await, Server::new());
    let storage = format!(
        r#""storage": {{"s3": {{"endpoint": "http://127.0.0.1:{}", "access_key_id": "AKID", "secret_access_key": "hush"}}}}"#,
        stub.port
    );
    let config = server.config_with(r#""vended_credentials": false"#, &storage);
    let catalog = catalog::open(&config).await.expect("opens");
    let spec = || Some(table_spec(&config, Table::Logs).expect("spec"));
    catalog.ensure(&logs(), spec()).await.expect("made");
    {
        let mut state = server.state();
        state.tables.clear();
        state.files = Some("s3://lake/otel");
    }
    let made = catalog.ensure(&logs(), spec()).await.expect("made anew");
    let file = format!("{}/data/none", made.metadata.location());
    assert!(!made.file_io.exists(&file).await.expect("looked on S3"));
}
