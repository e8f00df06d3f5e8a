//! A table whose files can be replaced, with four of them, and the replacement by names.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use iceberg::spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat, Literal, Struct};
use otlp2iceberg::Result;
use otlp2iceberg::commit::{Append, Committed, Committer, Replacement};
use otlp2iceberg::config::CommitConfig;

use crate::commit_support::{Fault, Faulty, Warehouse, append, entries, manifests, soon};

/// The minimum number of snapshots to keep.
pub const KEPT: usize = 10;

pub const TABLES: &str = r#"{"properties": {
    "history.expire.max-snapshot-age-ms": "0", "history.expire.min-snapshots-to-keep": "1",
    "commit.manifest.min-count-to-merge": "5"}}"#;

pub fn window() -> CommitConfig {
    keeping(KEPT)
}

fn keeping(snapshots: usize) -> CommitConfig {
    CommitConfig {
        dedup_snapshots: snapshots,
        dedup_window: Duration::ZERO,
        ..CommitConfig::default()
    }
}

/// The same with manifests that are not merged, and so keep their age.
pub fn unmerged() -> String {
    let merged = r#""commit.manifest.min-count-to-merge": "5""#;
    TABLES.replace(merged, r#""commit.manifest-merge.enabled": "false""#)
}

/// A table whose files are on disk. They are not read, but tests can check that they exist.
pub struct Stored(pub Warehouse);

impl Stored {
    pub fn path(&self, name: &str) -> PathBuf {
        self.0
            .folder
            .path()
            .join(format!("otel/logs/data/{name}.parquet"))
    }

    pub fn file(&self, name: &str, rows: u64) -> DataFile {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("folder")).expect("folder");
        fs::write(&path, name).expect("written");
        entry(&path, rows, by_day(), 0)
    }

    pub fn append(&self, sequence: u64) -> Append {
        Append {
            files: vec![self.file(&format!("1-{sequence}"), 10)],
            ..append(1, sequence)
        }
    }

    pub async fn commit(&self, committer: &Committer, sequences: impl Iterator<Item = u64>) {
        for sequence in sequences {
            let append = self.append(sequence);
            committer.append(append, soon()).await.expect("committed");
        }
    }

    pub fn there(&self) -> BTreeSet<String> {
        let names =
            crate::commit_support::file_names(&self.0.folder.path().join("otel/logs/data"), ".parquet");
        names.into_iter().collect()
    }
}

pub fn entry(path: &Path, rows: u64, partition: Struct, partition_spec_id: i32) -> DataFile {
    DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path(format!("file://{}", path.display()))
        .file_format(DataFileFormat::Parquet)
        .partition(partition)
        .partition_spec_id(partition_spec_id)
        .record_count(rows)
        .file_size_in_bytes(rows * 100)
        .build()
        .expect("data file")
}

pub fn by_day() -> Struct {
    Struct::from_iter([Some(Literal::date(20_000))])
}

pub fn names(names: impl IntoIterator<Item = impl ToString>) -> BTreeSet<String> {
    let name = |name: String| format!("{name}.parquet");
    names.into_iter().map(|it| name(it.to_string())).collect()
}

pub async fn live(committer: &Committer) -> BTreeSet<String> {
    let name = |path: &String| path.rsplit('/').next().expect("a name").to_owned();
    entries(&committer.table()).await.keys().map(name).collect()
}

/// Replaces files of the table by their names.
pub async fn replace(committer: &Committer, file: DataFile, replaced: &[&str]) -> Result<Committed> {
    replace_all(committer, vec![file], replaced).await
}

pub async fn replace_all(
    committer: &Committer,
    files: Vec<DataFile>,
    replaced: &[&str],
) -> Result<Committed> {
    let table = committer.table();
    let mut seen = Vec::new();
    for manifest in manifests(&table).await {
        let loaded = manifest.load_manifest(&table.file_io).await.expect("manifest");
        for entry in loaded.entries().iter().filter(|entry| entry.is_alive()) {
            let path = entry.file_path();
            if replaced
                .iter()
                .any(|name| path.ends_with(&format!("/{name}.parquet")))
            {
                seen.push((path.to_owned(), manifest.manifest_path.clone()));
            }
        }
    }
    assert_eq!(seen.len(), replaced.len());
    replace_seen(committer, files, seen, 0).await
}

pub async fn replace_seen(
    committer: &Committer,
    files: Vec<DataFile>,
    seen: Vec<(String, String)>,
    partition_spec_id: i32,
) -> Result<Committed> {
    let table = committer.table();
    let replacement = Replacement {
        files,
        partition_spec_id,
        replaced: seen,
        table_id: table.metadata.uuid(),
        chosen_at: table.metadata.last_sequence_number(),
    };
    committer.replace(replacement).await
}

pub async fn opened(faults: impl IntoIterator<Item = Fault>) -> (Stored, Arc<Faulty>, Committer) {
    opened_with(TABLES, faults).await
}

pub async fn opened_with(
    tables: &str,
    faults: impl IntoIterator<Item = Fault>,
) -> (Stored, Arc<Faulty>, Committer) {
    opened_keeping(KEPT, tables, faults).await
}

pub async fn opened_keeping(
    snapshots: usize,
    tables: &str,
    faults: impl IntoIterator<Item = Fault>,
) -> (Stored, Arc<Faulty>, Committer) {
    let warehouse = Warehouse::with(tables);
    let catalog = Faulty::new(warehouse.catalog().await, []);
    let committer = warehouse
        .committer_with(Arc::clone(&catalog) as Arc<_>, keeping(snapshots))
        .await;
    let stored = Stored(warehouse);
    stored.commit(&committer, 1..=4).await;
    catalog.faults.lock().expect("lock").extend(faults);
    (stored, catalog, committer)
}
