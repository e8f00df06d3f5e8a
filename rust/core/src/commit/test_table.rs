//! For tests that the public interface does not allow: a table in a SQLite catalog, with files in a temporary
//! folder, and entries of manifest lists.

use iceberg::spec::{ManifestContentType, ManifestFile};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Executor};
use tempfile::TempDir;

use super::Committer;
use crate::Table;
use crate::catalog::{self, table_spec};
use crate::config::Config;

pub(super) struct TestTable {
    pub(super) folder: TempDir,
    pub(super) committer: Committer,
}

impl TestTable {
    /// An unpartitioned table that is recreated when it is missing.
    pub(super) async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            r#"{{"catalog": {{"warehouse": "{}"}}, "tables": {{"partition_by": "none"}}, "commit": {{"on_failure": "accept"}}}}"#,
            folder.path().display()
        );
        let config = Config::from_json(config.as_bytes()).unwrap();
        let catalog = catalog::open(&config).await.unwrap();
        let ident = iceberg::TableIdent::from_strs(["otel", "logs"]).unwrap();
        let spec = table_spec(&config, Table::Logs).unwrap();
        let committer = Committer::open(catalog, ident, Some(spec), None, config.commit)
            .await
            .unwrap();
        Self { folder, committer }
    }

    /// Drops the table from the catalog; its files stay.
    pub(super) async fn drop_from_catalog(&self) {
        let options = SqliteConnectOptions::new().filename(self.folder.path().join("catalog.db"));
        let mut connection = options.connect().await.unwrap();
        connection.execute("DELETE FROM iceberg_tables").await.unwrap();
    }
}

/// A data manifest with one added file of one row, which is not in storage. `length` is in bytes.
pub(super) fn manifest(path: &str, length: i64, spec_id: i32) -> ManifestFile {
    ManifestFile {
        manifest_path: path.to_owned(),
        manifest_length: length,
        partition_spec_id: spec_id,
        content: ManifestContentType::Data,
        sequence_number: 1,
        min_sequence_number: 1,
        added_snapshot_id: 1,
        added_files_count: Some(1),
        existing_files_count: Some(0),
        deleted_files_count: Some(0),
        added_rows_count: Some(1),
        existing_rows_count: Some(0),
        deleted_rows_count: Some(0),
        partitions: None,
        key_metadata: None,
        first_row_id: None,
    }
}
