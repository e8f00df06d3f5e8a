//! Manifests of many commits are merged into few, and every entry keeps its values.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use iceberg::TableUpdate;
use iceberg::spec::{
    DataFile, DataFileBuilder, Literal, NestedField, PrimitiveType, Schema, Struct, Type,
    UnboundPartitionSpec,
};
use otlp2iceberg::catalog::{self, Catalog, LoadedTable, table_spec};
use otlp2iceberg::commit::{Append, Committer, Replacement};
use otlp2iceberg::config::CommitConfig;
use otlp2iceberg::{ErrorKind, Table};
use tempfile::TempDir;

use crate::commit_support::{
    Warehouse, append, data_file, entries, ids, logs, manifests, soon, summary, taken,
};
use crate::logged::warnings;
use crate::storage::stub::{Answer, Stub};

#[tokio::test]
async fn a_hundred_manifests_become_one_with_all_files_and_their_numbers() {
    let warehouse = Warehouse::new();
    let committer = warehouse.committer(warehouse.catalog().await).await;
    let mut snapshots = Vec::new();
    for sequence in 1..=105 {
        snapshots.push(
            committer
                .append(append(1, sequence), soon())
                .await
                .expect("committed")
                .snapshot_id,
        );
        let expected = if sequence < 100 { sequence } else { sequence - 99 };
        assert_eq!(
            manifests(&committer.table()).await.len() as u64,
            expected,
            "after {sequence} commits"
        );
        if sequence == 100 {
            let table = committer.table();
            for (key, value) in [
                ("manifests-created", "1"),
                ("manifests-kept", "0"),
                ("manifests-replaced", "99"),
            ] {
                assert_eq!(summary(&table).get(key).map(String::as_str), Some(value), "{key}");
            }
        }
    }
    let table = warehouse.catalog().await.load(&logs()).await.expect("loads");
    let entries = entries(&table).await;
    assert_eq!(entries.len(), 105);
    for (sequence, snapshot_id) in (1i64..).zip(&snapshots) {
        let entry = &entries[&format!("file:///nowhere/1-{sequence}.parquet")];
        assert_eq!(entry.snapshot_id(), Some(*snapshot_id), "{sequence}");
        assert_eq!(entry.sequence_number(), Some(sequence), "{sequence}");
        assert_eq!(entry.file_sequence_number, Some(sequence), "{sequence}");
        assert_eq!(
            entry.data_file(),
            &data_file(&format!("1-{sequence}"), 10),
            "{sequence}"
        );
    }
    assert_eq!(
        summary(&table).get("total-data-files").map(String::as_str),
        Some("105")
    );
    let oldest = manifests(&table).await.pop().expect("a manifest");
    assert_eq!(
        (oldest.added_files_count, oldest.existing_files_count),
        (Some(1), Some(99))
    );
    assert_eq!(oldest.min_sequence_number, 1);
}

/// A local path.
fn path_of(manifest: &iceberg::spec::ManifestFile) -> &str {
    manifest
        .manifest_path
        .strip_prefix("file://")
        .expect("a local file")
}

#[tokio::test]
async fn manifests_that_cannot_be_read_stay_in_the_table_and_hold_up_no_others() {
    let (logged, _guard) = warnings();
    let warehouse = Warehouse::with(r#"{"properties": {"commit.manifest.min-count-to-merge": "4"}}"#);
    let committer = warehouse.committer(warehouse.catalog().await).await;
    for sequence in 1..=3 {
        committer
            .append(append(1, sequence), soon())
            .await
            .expect("committed");
    }
    let lost = manifests(&committer.table()).await.pop().expect("a manifest");
    let aside = warehouse.folder.path().join("aside");
    fs::rename(path_of(&lost), &aside).expect("moved");
    committer.append(append(1, 4), soon()).await.expect("committed");
    let listed = manifests(&committer.table()).await;
    assert_eq!(listed.len(), 2, "three are merged");
    assert!(
        listed
            .iter()
            .any(|manifest| manifest.manifest_path == lost.manifest_path)
    );
    assert_eq!(logged.lines().len(), 1, "{:?}", logged.lines());
    fs::rename(&aside, path_of(&lost)).expect("moved back");
    committer.close().await;

    let table = warehouse.catalog().await.load(&logs()).await.expect("loads");
    let entries = entries(&table).await;
    assert_eq!(entries.len(), 4);
    for sequence in 1i64..=4 {
        let entry = &entries[&format!("file:///nowhere/1-{sequence}.parquet")];
        assert_eq!(entry.sequence_number(), Some(sequence), "{sequence}");
    }
}

#[tokio::test]
async fn a_manifest_that_is_lost_is_read_twice() {
    let (logged, _guard) = warnings();
    let warehouse = Warehouse::with(r#"{"properties": {"commit.manifest.min-count-to-merge": "2"}}"#);
    let committer = warehouse.committer(warehouse.catalog().await).await;
    committer.append(append(1, 1), soon()).await.expect("committed");
    let listed = manifests(&committer.table()).await;
    for manifest in &listed {
        fs::remove_file(path_of(manifest)).expect("removed");
    }
    for sequence in 2..=9 {
        committer
            .append(append(1, sequence), soon())
            .await
            .expect("committed");
    }
    let lines = logged.lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
    let last = manifests(&committer.table()).await;
    assert!(
        last.iter()
            .any(|manifest| manifest.manifest_path == listed[0].manifest_path)
    );
    assert_eq!(last.len(), 2, "the others are merged");
    committer.close().await;
}

#[tokio::test]
async fn properties_of_the_table_rule_merging() {
    for (properties, expected) in [
        (
            r#"{"properties": {"commit.manifest.min-count-to-merge": "3"}}"#,
            2,
        ),
        (
            r#"{"properties": {"commit.manifest.min-count-to-merge": "3", "commit.manifest-merge.enabled": "false"}}"#,
            6,
        ),
        (
            r#"{"properties": {"commit.manifest.min-count-to-merge": "3", "commit.manifest-merge.enabled": "False"}}"#,
            6,
        ),
        (
            r#"{"properties": {"commit.manifest.min-count-to-merge": "3", "commit.manifest-merge.enabled": "TRUE"}}"#,
            2,
        ),
        (
            r#"{"properties": {"commit.manifest.min-count-to-merge": "3", "commit.manifest.target-size-bytes": "10"}}"#,
            6,
        ),
        (
            r#"{"properties": {"commit.manifest.min-count-to-merge": "3", "format-version": "1"}}"#,
            2,
        ),
        // A merge would give rows other ids.
        (
            r#"{"properties": {"commit.manifest.min-count-to-merge": "3", "format-version": "3"}}"#,
            6,
        ),
    ] {
        let warehouse = Warehouse::with(properties);
        let committer = warehouse.committer(warehouse.catalog().await).await;
        for sequence in 1..=6 {
            committer
                .append(append(1, sequence), soon())
                .await
                .expect("committed");
        }
        let table = warehouse.catalog().await.load(&logs()).await.expect("loads");
        assert_eq!(manifests(&table).await.len(), expected, "{properties}");
        assert_eq!(entries(&table).await.len(), 6, "{properties}");
    }
}

#[tokio::test]
async fn rows_of_a_format_v3_table_are_numbered_on() {
    let warehouse = Warehouse::with(r#"{"properties": {"format-version": "3"}}"#);
    let committer = warehouse.committer(warehouse.catalog().await).await;
    for sequence in 0..3 {
        let files = vec![
            data_file(&format!("a{sequence}"), 10),
            data_file(&format!("b{sequence}"), 7),
        ];
        let append = Append {
            table_id: None,
            files,
            partition_spec_id: 0,
            ids: vec![ids(1, sequence, sequence)],
            request_bytes: 0,
        };
        committer.append(append, soon()).await.expect("committed");
    }
    let table = warehouse.catalog().await.load(&logs()).await.expect("loads");
    let snapshot = table.metadata.current_snapshot().expect("a snapshot");
    assert_eq!(
        (snapshot.row_range(), table.metadata.next_row_id()),
        (Some((34, 17)), 51)
    );
    let mut first_rows: Vec<_> = manifests(&table)
        .await
        .iter()
        .map(|manifest| manifest.first_row_id)
        .collect();
    first_rows.sort();
    assert_eq!(first_rows, [Some(0), Some(17), Some(34)]);
}

/// A table on a stub of S3 that records reads.
struct OnS3 {
    stub: Stub,
    catalog: Arc<dyn Catalog>,
    committer: Committer,
    _folder: TempDir,
}

impl OnS3 {
    /// `tables` is the configuration's `tables`.
    async fn open(tables: &str) -> Self {
        let (stub, folder) = (Stub::start().await, tempfile::tempdir().expect("folder"));
        let database = folder.path().join("catalog.db");
        let mut config = stub.config(&format!(
            r#"{{"type": "sql", "uri": "sqlite://{}", "warehouse": "s3://lake/warehouse/"}}"#,
            database.display()
        ));
        config.tables = Warehouse::with(tables).config.tables;
        let catalog = catalog::open(&config).await.expect("catalog opens");
        let spec = table_spec(&config, Table::Logs).expect("table spec");
        let committer = Committer::open(
            Arc::clone(&catalog),
            logs(),
            Some(spec),
            None,
            CommitConfig::default(),
        );
        Self {
            stub,
            catalog,
            committer: committer.await.expect("committer opens"),
            _folder: folder,
        }
    }

    /// A file of the table's default partition spec.
    fn file(&self, number: u64, partition: Option<Literal>) -> DataFile {
        let table = self.committer.table();
        let fields = table.metadata.default_partition_type().fields().len();
        let file = data_file(&format!("1-{number}"), 10);
        DataFileBuilder::default()
            .content(file.content_type())
            .file_path(file.file_path().to_owned())
            .file_format(file.file_format())
            .partition(Struct::from_iter(std::iter::repeat_n(partition, fields)))
            .partition_spec_id(table.metadata.default_partition_spec_id())
            .record_count(file.record_count())
            .file_size_in_bytes(file.file_size_in_bytes())
            .build()
            .expect("data file")
    }

    /// Commits a file of the table's default partition spec.
    async fn commit(&self, sequence: u64, partition: Option<Literal>) -> otlp2iceberg::Result<()> {
        self.commit_all(sequence, vec![self.file(sequence, partition)])
            .await
    }

    async fn commit_all(&self, sequence: u64, files: Vec<DataFile>) -> otlp2iceberg::Result<()> {
        let append = Append {
            files,
            partition_spec_id: self.committer.table().metadata.default_partition_spec_id(),
            ..append(1, sequence)
        };
        self.committer.append(append, soon()).await.map(|_| ())
    }

    /// Changes the table like an engine: its columns, and more.
    async fn evolve(
        &self,
        columns: impl Fn(&NestedField) -> Option<NestedField>,
        more: impl IntoIterator<Item = TableUpdate>,
    ) {
        let table = self.committer.table();
        let fields = table.metadata.current_schema().as_struct().fields();
        let schema = Schema::builder()
            .with_fields(fields.iter().filter_map(|field| columns(field)).map(Arc::new))
            .build()
            .expect("schema");
        let schema = [
            TableUpdate::AddSchema { schema },
            TableUpdate::SetCurrentSchema { schema_id: -1 },
        ];
        let updates = more.into_iter().chain(schema).collect();
        taken(self.catalog.commit(&table, vec![], updates).await);
        self.committer.mark_stale();
        self.committer.refresh_if_stale().await.expect("looked at");
    }

    async fn manifests(&self) -> BTreeSet<String> {
        listed(&self.committer.table()).await
    }

    /// The number of reads of these manifests.
    fn reads(&self, manifests: &BTreeSet<String>) -> usize {
        let key = |path: &String| path.strip_prefix("s3://lake/").expect("on S3").to_owned();
        manifests
            .iter()
            .map(|path| self.stub.count(&format!("GET {}", key(path))))
            .sum()
    }

    /// The number of manifests and manifest lists in storage.
    fn files(&self) -> usize {
        let state = self.stub.state();
        state.files.keys().filter(|key| key.contains(".avro")).count()
    }
}

async fn listed(table: &LoadedTable) -> BTreeSet<String> {
    let manifests = manifests(table).await;
    manifests
        .into_iter()
        .map(|manifest| manifest.manifest_path)
        .collect()
}

#[tokio::test]
async fn manifests_of_a_spec_whose_column_was_dropped_are_left_alone() {
    let table = OnS3::open(
        r#"{"partition_by": ["identity(Tenant)"], "attribute_columns": [{"attribute": "tenant", "from": "resource"}]}"#,
    )
    .await;
    for sequence in 1..=3 {
        let committed = table.commit(sequence, Some(Literal::string("blue"))).await;
        committed.expect("committed");
    }
    let old = table.manifests().await;
    assert_eq!(old.len(), 3);
    let unpartitioned = [
        TableUpdate::AddSpec {
            spec: UnboundPartitionSpec::builder().build(),
        },
        TableUpdate::SetDefaultSpec { spec_id: -1 },
    ];
    let without = |field: &NestedField| (field.name != "Tenant").then(|| field.clone());
    table.evolve(without, unpartitioned).await;
    let reads = table.reads(&old);
    table.commit(4, None).await.expect("committed");
    assert_eq!(table.reads(&old), reads, "they are not read in vain");
    let now = table.manifests().await;
    assert!(now.is_superset(&old) && now.len() == 4, "{now:?}");
}

/// The columns, of which the one that partitions the tables below is made wider.
fn wider(field: &NestedField) -> Option<NestedField> {
    let mut field = field.clone();
    if field.name == "ScopeDroppedAttributesCount" {
        *field.field_type = Type::Primitive(PrimitiveType::Long);
    }
    Some(field)
}

#[tokio::test]
async fn manifests_from_before_a_partition_column_was_made_wider_are_left_alone() {
    let table = OnS3::open(
        r#"{"partition_by": ["identity(ScopeDroppedAttributesCount)"], "properties": {"commit.manifest.min-count-to-merge": "2"}}"#,
    )
    .await;
    for sequence in 1..=2 {
        table
            .commit(sequence, Some(Literal::int(1)))
            .await
            .expect("committed");
    }
    let old = table.manifests().await;
    assert_eq!(old.len(), 1, "they were merged");
    table.evolve(wider, []).await;
    let reads = table.reads(&old);
    for sequence in 3..=4 {
        table
            .commit(sequence, Some(Literal::long(1)))
            .await
            .expect("committed");
    }
    assert_eq!(table.reads(&old), reads, "they are not read in vain");
    let now = table.manifests().await;
    assert!(
        now.is_superset(&old) && now.len() == 2,
        "the new ones are merged: {now:?}"
    );
    assert_eq!(entries(&table.committer.table()).await.len(), 4);
}

/// Such files waited for their commit while an engine made the column wider.
#[tokio::test]
async fn files_from_before_a_partition_column_was_made_wider_have_a_manifest_with_their_types() {
    let table = OnS3::open(
        r#"{"partition_by": ["identity(ScopeDroppedAttributesCount)"], "properties": {"commit.manifest.min-count-to-merge": "2"}}"#,
    )
    .await;
    table.evolve(wider, []).await;
    let partitions = [Literal::int(1), Literal::long(1), Literal::int(2)];
    let files = (1..).zip(&partitions);
    let files = files.map(|(number, partition)| table.file(number, Some(partition.clone())));
    table.commit_all(1, files.collect()).await.expect("committed");
    let loaded = table.committer.table();
    let mut found = BTreeSet::new();
    for manifest in manifests(&loaded).await {
        let manifest = manifest.load_manifest(&loaded.file_io).await.expect("manifest");
        let metadata = manifest.metadata();
        let types = metadata.partition_spec().partition_type(metadata.schema());
        let types = types.expect("types").fields()[0].field_type.to_string();
        let entries = manifest.entries().iter();
        let names = entries.map(|entry| entry.file_path().rsplit('/').next().expect("a name"));
        found.insert((types, names.collect::<Vec<_>>().join(" ")));
    }
    let expected = [("int", "1-1.parquet 1-3.parquet"), ("long", "1-2.parquet")];
    assert_eq!(
        found,
        BTreeSet::from(expected.map(|(types, names)| (types.to_owned(), names.to_owned())))
    );
    for (entry, partition) in entries(&loaded).await.values().zip(partitions) {
        let expected = Struct::from_iter([Some(partition)]);
        assert_eq!(*entry.data_file().partition(), expected);
    }
    table.commit(4, Some(Literal::long(1))).await.expect("committed");
    assert_eq!(table.manifests().await.len(), 2, "the wide ones were merged");
    assert_eq!(entries(&table.committer.table()).await.len(), 4);
}

/// Another compaction of the same files was faster. A large table is not read while appends wait.
#[tokio::test]
async fn a_replacement_that_lost_reads_no_manifest_from_before_it_was_chosen() {
    let table = OnS3::open(r#"{"properties": {"commit.manifest-merge.enabled": "false"}}"#).await;
    for sequence in 1..=4 {
        let committed = table.commit(sequence, Some(Literal::date(20_000))).await;
        committed.expect("committed");
    }
    let chosen_from = table.committer.table();
    let mut others = table.manifests().await;
    let mut replaced = Vec::new();
    for manifest in manifests(&chosen_from).await.into_iter().rev().take(2) {
        let path = manifest.manifest_path.clone();
        let manifest = manifest.load_manifest(&chosen_from.file_io).await;
        let manifest = manifest.expect("manifest");
        others.remove(&path);
        replaced.push((manifest.entries()[0].file_path().to_owned(), path));
    }
    let replacement = |name: &str| Replacement {
        files: vec![data_file(name, 20)],
        partition_spec_id: 0,
        replaced: replaced.clone(),
        table_id: chosen_from.metadata.uuid(),
        chosen_at: chosen_from.metadata.last_sequence_number(),
    };
    let won = table.committer.replace(replacement("first")).await;
    won.expect("replaced");
    let reads = table.reads(&others);
    let lost = table.committer.replace(replacement("second")).await;
    let error = lost.expect_err("they are gone");
    assert_eq!(error.kind(), ErrorKind::Catalog, "{error}");
    assert_eq!((others.len(), table.reads(&others)), (2, reads));
}

#[tokio::test]
async fn merged_manifests_are_deleted_when_their_list_cannot_be_written() {
    let table = OnS3::open(
        r#"{"partition_by": ["identity(ScopeDroppedAttributesCount)"], "properties": {"commit.manifest.min-count-to-merge": "2"}}"#,
    )
    .await;
    table.commit(1, Some(Literal::int(1))).await.expect("committed");
    let files = table.files();
    table
        .stub
        .fault("PUT /snap-", 1, Answer::Refusal(403, "AccessDenied", ""));
    let error = table.commit(2, Some(Literal::int(1))).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Storage, "{error}");
    assert!(error.to_string().contains("manifest list"), "{error}");
    assert_eq!(table.files(), files);
    table.commit(2, Some(Literal::int(1))).await.expect("committed");
    assert_eq!(table.manifests().await.len(), 1, "they were merged");
}
