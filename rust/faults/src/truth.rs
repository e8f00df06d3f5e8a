//! Reads the actual content of the tables from the servers' memory, without using our own code.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use arrow_array::cast::AsArray;
use arrow_cast::cast;
use arrow_schema::DataType;
use bytes::Bytes;
use iceberg::spec::{Manifest, ManifestFile, ManifestList, ManifestStatus, Snapshot, TableMetadata};
use otlp2iceberg::IdRange;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::catalog::{Catalog, key_of};
use crate::requests::key_column;
use crate::storage::Storage;

/// Part of every receipt's key.
const RECEIPTS: &str = "/_otlp2iceberg/receipts/";

/// Files that no table or receipt refers to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Strays {
    /// Data files.
    pub data: usize,
    /// Manifests and manifest lists.
    pub metadata: usize,
}

/// The keys of all receipts.
#[must_use]
pub fn receipts(storage: &Storage) -> Vec<String> {
    let state = storage.state();
    let keys = state.files.keys().filter(|key| key.contains(RECEIPTS));
    keys.cloned().collect()
}

/// Checks that each of `expected` (table, key) is in its table exactly once, that there are no other rows,
/// and that every snapshot is complete. Returns the remaining files in storage.
///
/// # Errors
/// All violations, one line each.
pub fn check(
    catalog: &Catalog,
    storage: &Storage,
    expected: &[(&'static str, String)],
) -> Result<Strays, Vec<String>> {
    let (files, changed, uploads) = {
        let state = storage.state();
        (state.files.clone(), state.changed.clone(), state.uploads.len())
    };
    let mut reading = Reading {
        files: &files,
        manifests: HashMap::new(),
        rows: HashMap::new(),
        used: HashSet::new(),
        problems: Vec::new(),
    };
    for key in changed {
        reading
            .problems
            .push(format!("{key} was written again with other bytes"));
    }
    let mut wanted: BTreeMap<&str, BTreeMap<&str, i64>> = BTreeMap::new();
    for (table, key) in expected {
        *wanted.entry(table).or_default().entry(key).or_default() += 1;
    }
    let tables = catalog.tables();
    for (name, metadata, location) in &tables {
        reading.metadata(metadata, location);
        let found = reading.table(name, metadata);
        compare(
            name,
            &found,
            wanted.remove(name.as_str()).unwrap_or_default(),
            &mut reading.problems,
        );
    }
    for table in wanted.keys() {
        reading.problems.push(format!("the table {table} is missing"));
    }
    if !reading.problems.is_empty() {
        return Err(reading.problems);
    }
    for key in receipts(storage) {
        reading.receipt(&key);
    }
    if !reading.problems.is_empty() {
        return Err(reading.problems);
    }
    let strays = files
        .keys()
        .filter(|key| !key.ends_with(".metadata.json") && !reading.used.contains(key.as_str()));
    let mut found = Strays {
        data: uploads,
        metadata: 0,
    };
    for key in strays {
        if key.ends_with(".parquet") {
            found.data += 1;
        } else {
            found.metadata += 1;
        }
    }
    Ok(found)
}

/// The number of snapshots that the tables no longer list: each commit takes the next sequence number.
#[must_use]
pub fn forgotten(catalog: &Catalog) -> i64 {
    let tables = catalog.tables();
    let forgotten = tables.iter().map(|(_, metadata, _)| {
        let known = i64::try_from(metadata.snapshots().len()).unwrap_or(i64::MAX);
        metadata.last_sequence_number() - known
    });
    forgotten.sum()
}

fn compare(
    table: &str,
    found: &BTreeMap<String, i64>,
    mut wanted: BTreeMap<&str, i64>,
    problems: &mut Vec<String>,
) {
    for (key, count) in found {
        let want = wanted.remove(key.as_str()).unwrap_or(0);
        if *count != want {
            problems.push(format!("{table}: row {key} is there {count} times, not {want}"));
        }
    }
    for key in wanted.keys() {
        problems.push(format!("{table}: row {key} is lost"));
    }
}

/// The part of a receipt that refers to files.
#[derive(serde::Deserialize)]
struct Receipt {
    files: Vec<DescribedFile>,
}

#[derive(serde::Deserialize)]
struct DescribedFile {
    file_path: String,
}

struct Reading<'a> {
    files: &'a BTreeMap<String, Bytes>,
    manifests: HashMap<String, Manifest>,
    /// Keys of the rows of each data file.
    rows: HashMap<String, Vec<String>>,
    /// Files that snapshots refer to.
    used: HashSet<String>,
    problems: Vec<String>,
}

impl Reading<'_> {
    /// Checks that the metadata file exists and equals the catalog's metadata.
    fn metadata(&mut self, metadata: &TableMetadata, location: &str) {
        let stored = self
            .file(location)
            .map(|content| serde_json::from_slice::<TableMetadata>(&content));
        match stored {
            Some(Ok(stored)) if stored == *metadata => {}
            Some(Ok(_)) => self
                .problems
                .push(format!("{location} is not the catalog's table")),
            Some(Err(cause)) => self.problems.push(format!("{location} cannot be read: {cause}")),
            None => {}
        }
    }

    /// Checks all snapshots of a table; returns the rows of the current one.
    fn table(&mut self, name: &str, metadata: &TableMetadata) -> BTreeMap<String, i64> {
        let mut ids = BTreeSet::new();
        let mut rows = BTreeMap::new();
        for snapshot in metadata.snapshots() {
            let found = self.snapshot(name, metadata, snapshot);
            let text = snapshot
                .summary()
                .additional_properties
                .get(otlp2iceberg::commit::COMMIT_IDS);
            let ranges = text
                .into_iter()
                .flat_map(|text| text.split(','))
                .filter_map(IdRange::parse);
            for (range, sequence) in ranges.flat_map(|range| (range.from..=range.to).map(move |n| (range, n)))
            {
                if !ids.insert((range.writer, sequence)) {
                    self.problems
                        .push(format!("{name}: two snapshots hold {sequence} of {range}"));
                }
            }
            if metadata.current_snapshot_id() == Some(snapshot.snapshot_id()) {
                rows = found;
            }
        }
        self.lineage(name, metadata);
        rows
    }

    /// Checks that every snapshot is an ancestor of the current one, so no commit is lost.
    fn lineage(&mut self, name: &str, metadata: &TableMetadata) {
        let mut count = 0;
        let mut current = metadata.current_snapshot();
        while let Some(snapshot) = current {
            count += 1;
            current = snapshot
                .parent_snapshot_id()
                .and_then(|id| metadata.snapshot_by_id(id));
        }
        let all = metadata.snapshots().count();
        if count != all {
            self.problems.push(format!(
                "{name}: {count} of {all} snapshots are in the main branch"
            ));
        }
    }

    fn snapshot(
        &mut self,
        name: &str,
        metadata: &TableMetadata,
        snapshot: &Snapshot,
    ) -> BTreeMap<String, i64> {
        let mut rows: BTreeMap<String, i64> = BTreeMap::new();
        let mut paths = HashSet::new();
        for manifest in self.manifests(metadata, snapshot) {
            for (path, size, records) in self.entries(&manifest) {
                if !paths.insert(path.clone()) {
                    self.problems
                        .push(format!("{name}: {path} is listed twice in one snapshot"));
                }
                let keys = self.data_file(name, &path, size);
                if keys.len() as u64 != records {
                    self.problems
                        .push(format!("{path} has {} rows, not {records}", keys.len()));
                }
                for key in keys {
                    *rows.entry(key).or_default() += 1;
                }
            }
        }
        let total = snapshot
            .summary()
            .additional_properties
            .get("total-records")
            .cloned();
        let found: i64 = rows.values().sum();
        if total.as_deref() != Some(found.to_string().as_str()) {
            self.problems.push(format!(
                "{name}: the summary says {total:?} records, there are {found}"
            ));
        }
        rows
    }

    fn manifests(&mut self, metadata: &TableMetadata, snapshot: &Snapshot) -> Vec<ManifestFile> {
        let path = snapshot.manifest_list();
        let Some(content) = self.file(path) else {
            return Vec::new();
        };
        match ManifestList::parse_with_version(&content, metadata.format_version()) {
            Ok(list) => list.consume_entries().into_iter().collect(),
            Err(cause) => {
                self.problems.push(format!("{path} cannot be read: {cause}"));
                Vec::new()
            }
        }
    }

    /// Path, bytes and records of a manifest's live files.
    fn entries(&mut self, manifest: &ManifestFile) -> Vec<(String, u64, u64)> {
        let path = &manifest.manifest_path;
        if !self.manifests.contains_key(path) {
            let Some(content) = self.file(path) else {
                return Vec::new();
            };
            match Manifest::parse_avro(&content) {
                Ok(parsed) => self.manifests.insert(path.clone(), parsed),
                Err(cause) => {
                    self.problems.push(format!("{path} cannot be read: {cause}"));
                    return Vec::new();
                }
            };
        }
        let entries = self
            .manifests
            .get(path)
            .map(Manifest::entries)
            .unwrap_or_default();
        entries
            .iter()
            .filter(|entry| entry.status() != ManifestStatus::Deleted)
            .map(|entry| {
                let file = entry.data_file();
                (
                    file.file_path().to_owned(),
                    file.file_size_in_bytes(),
                    file.record_count(),
                )
            })
            .collect()
    }

    /// The keys of a data file's rows.
    fn data_file(&mut self, table: &str, path: &str, size: u64) -> Vec<String> {
        if let Some(known) = self.rows.get(path) {
            return known.clone();
        }
        let Some(content) = self.file(path) else {
            return Vec::new();
        };
        if content.len() as u64 != size {
            self.problems
                .push(format!("{path} has {} bytes, not {size}", content.len()));
        }
        let keys = keys_of(table, content).unwrap_or_else(|cause| {
            self.problems.push(format!("{path} cannot be read: {cause}"));
            Vec::new()
        });
        self.rows.insert(path.to_owned(), keys.clone());
        keys
    }

    /// Reads a receipt; its files are not stray.
    fn receipt(&mut self, key: &str) {
        let receipt: Option<Receipt> = self
            .file(key)
            .and_then(|content| serde_json::from_slice(&content).ok());
        match receipt {
            Some(receipt) => {
                for file in receipt.files {
                    self.file(&file.file_path);
                }
            }
            None => self.problems.push(format!("{key} is not a receipt")),
        }
    }

    fn file(&mut self, location: &str) -> Option<Bytes> {
        let key = key_of(location);
        self.used.insert(key.to_owned());
        let content = self.files.get(key).cloned();
        if content.is_none() {
            self.problems.push(format!("{location} is missing"));
        }
        content
    }
}

/// The keys of a Parquet file's rows.
fn keys_of(table: &str, content: Bytes) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let mut keys = Vec::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(content)?.build()? {
        let batch = batch?;
        let column = batch
            .column_by_name(key_column(table))
            .ok_or("the key's column is missing")?;
        let column = cast(column, &DataType::Utf8)?;
        keys.extend(column.as_string::<i32>().iter().flatten().map(str::to_owned));
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use otlp2iceberg::RequestId;

    use super::*;
    use crate::process::{Servers, store_calmly};
    use crate::random::Random;
    use crate::requests::{self, OtlpRequest};
    use crate::settings::Settings;

    /// A lake with one request's rows, and its expected content.
    async fn lake() -> (Servers, Vec<(&'static str, String)>) {
        let storage = Arc::new(Storage::default());
        let catalog = Arc::new(Catalog::new(Arc::clone(&storage), false));
        let servers = Servers { catalog, storage };
        let request = request();
        store_calmly(&servers, &Settings::draw(1), std::slice::from_ref(&request))
            .await
            .expect("stored");
        (servers, request.rows)
    }

    fn request() -> OtlpRequest {
        let id = RequestId {
            writer: [1; 16],
            sequence: 1,
        };
        requests::draw(id, &mut Random::new(1))
    }

    fn problems(servers: &Servers, expected: &[(&'static str, String)]) -> String {
        check(&servers.catalog, &servers.storage, expected)
            .expect_err("wrong")
            .join("; ")
    }

    #[tokio::test]
    async fn a_lake_that_is_as_it_should_be_has_no_strays() {
        let (servers, rows) = lake().await;
        assert_eq!(
            check(&servers.catalog, &servers.storage, &rows),
            Ok(Strays::default())
        );
    }

    #[tokio::test]
    async fn lost_doubled_and_strange_rows_are_told() {
        let (servers, rows) = lake().await;
        let mut more = rows.clone();
        more.push((rows[0].0, "never sent".into()));
        assert!(problems(&servers, &more).contains("row never sent is lost"));
        assert!(problems(&servers, &rows[1..]).contains("is there 1 times, not 0"));
        let elsewhere = [("no_table", "x".to_owned())];
        assert!(
            problems(&servers, &[&rows[..], &elsewhere].concat()).contains("the table no_table is missing")
        );
    }

    #[tokio::test]
    async fn missing_cut_and_changed_files_are_told() {
        for (ending, cut) in [
            (".parquet", false),
            (".parquet", true),
            ("-m0.avro", false),
            ("-m0.avro", true),
        ] {
            let (servers, rows) = lake().await;
            {
                let mut state = servers.storage.state();
                let key = state
                    .files
                    .keys()
                    .find(|key| key.ends_with(ending))
                    .expect("a file")
                    .clone();
                let content = state.files.remove(&key).expect("its content");
                if cut {
                    state.files.insert(key, content.slice(..content.len() / 2));
                }
            }
            let said = problems(&servers, &rows);
            let word = if cut { "cannot be read" } else { "is missing" };
            assert!(said.contains(word), "{ending} {cut}: {said}");
        }
        let (servers, rows) = lake().await;
        let key = servers
            .storage
            .state()
            .files
            .keys()
            .next()
            .expect("a file")
            .clone();
        servers.storage.state().put(&key, Bytes::from_static(b"other"));
        assert!(problems(&servers, &rows).contains("was written again with other bytes"));
    }

    #[tokio::test]
    async fn files_that_no_table_has_are_counted() {
        let (servers, rows) = lake().await;
        servers
            .storage
            .state()
            .put("otel/logs/data/x.parquet", Bytes::new());
        servers
            .storage
            .state()
            .put("otel/logs/metadata/x.avro", Bytes::new());
        let strays = Strays { data: 1, metadata: 1 };
        assert_eq!(check(&servers.catalog, &servers.storage, &rows), Ok(strays));
    }
}
