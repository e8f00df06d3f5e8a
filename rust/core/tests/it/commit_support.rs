//! Shared by tests of catalog and commit: a warehouse in a temporary folder, names of data files that do not
//! exist, and a catalog whose commits end as a test wants.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Literal, ManifestEntryRef, ManifestFile,
    ManifestList, ManifestStatus, Struct,
};
use iceberg::{TableIdent, TableRequirement, TableUpdate};
use otlp2iceberg::catalog::{self, Catalog, CommitOutcome, LoadedTable, TableSpec, table_spec};
use otlp2iceberg::commit::{Append, Committer};
use otlp2iceberg::config::{CommitConfig, Config};
use otlp2iceberg::{Error, ErrorKind, IdRange, Result, RetryClass, Table};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// A warehouse that is removed when dropped.
pub struct Warehouse {
    pub folder: TempDir,
    pub config: Config,
}

impl Warehouse {
    pub fn new() -> Self {
        Self::with("{}")
    }

    /// `tables` is the configuration's `tables`.
    pub fn with(tables: &str) -> Self {
        Self::with_sections(&format!(r#""tables": {tables}"#))
    }

    /// `sections` are sections of the configuration other than `catalog`.
    pub fn with_sections(sections: &str) -> Self {
        Self::in_folder(tempfile::tempdir().expect("temporary folder"), sections)
    }

    /// The same warehouse, with other sections of the configuration from now on.
    pub fn reconfigured(self, sections: &str) -> Self {
        Self::in_folder(self.folder, sections)
    }

    fn in_folder(folder: TempDir, sections: &str) -> Self {
        let path = folder.path().to_str().expect("UTF-8");
        let json = format!(r#"{{"catalog": {{"warehouse": "{path}"}}, {sections}}}"#);
        let config = Config::from_json(json.as_bytes()).expect("valid configuration");
        Self { folder, config }
    }

    /// A catalog with its own connections, like another process.
    pub async fn catalog(&self) -> Arc<dyn Catalog> {
        catalog::open(&self.config).await.expect("catalog opens")
    }

    pub fn spec(&self) -> TableSpec {
        table_spec(&self.config, Table::Logs).expect("table spec")
    }

    pub async fn committer(&self, catalog: Arc<dyn Catalog>) -> Committer {
        self.committer_with(catalog, CommitConfig::default()).await
    }

    pub async fn committer_with(&self, catalog: Arc<dyn Catalog>, config: CommitConfig) -> Committer {
        Committer::open(catalog, logs(), Some(self.spec()), None, config)
            .await
            .expect("committer opens")
    }

    /// Names of the files in the table's metadata folder with this ending, in order.
    pub fn metadata_files(&self, ending: &str) -> Vec<String> {
        file_names(&self.folder.path().join("otel/logs/metadata"), ending)
    }
}

pub fn file_names(folder: &Path, ending: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("folder")
        .map(|entry| entry.expect("entry").file_name().into_string().expect("UTF-8"))
        .filter(|name| name.ends_with(ending))
        .collect();
    names.sort();
    names
}

pub fn logs() -> TableIdent {
    TableIdent::from_strs(["otel", "logs"]).expect("ident")
}

pub fn ids(writer: u8, from: u64, to: u64) -> IdRange {
    IdRange {
        writer: [writer; 16],
        from,
        to,
    }
}

/// A data file of the day partition 20,000 that no test reads.
pub fn data_file(name: &str, rows: u64) -> DataFile {
    data_file_on_day(name, rows, 20_000)
}

pub fn data_file_on_day(name: &str, rows: u64, day: i32) -> DataFile {
    DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path(format!("file:///nowhere/{name}.parquet"))
        .file_format(DataFileFormat::Parquet)
        .partition(Struct::from_iter([Some(Literal::date(day))]))
        .partition_spec_id(0)
        .record_count(rows)
        .file_size_in_bytes(rows * 100)
        .value_counts(HashMap::from([(1, rows)]))
        .build()
        .expect("data file")
}

/// One file of ten rows, for one request.
pub fn append(writer: u8, sequence: u64) -> Append {
    Append {
        table_id: None,
        files: vec![data_file(&format!("{writer}-{sequence}"), 10)],
        partition_spec_id: 0,
        ids: vec![ids(writer, sequence, sequence)],
        request_bytes: 100,
    }
}

/// Advances the clock of the process by this time.
pub async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

pub fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// The manifests of the current snapshot.
pub async fn manifests(table: &LoadedTable) -> Vec<ManifestFile> {
    let snapshot = table.metadata.current_snapshot().expect("a snapshot");
    let content = table
        .file_io
        .new_input(snapshot.manifest_list())
        .expect("input")
        .read()
        .await
        .expect("list is there");
    let list =
        ManifestList::parse_with_version(&content, table.metadata.format_version()).expect("list parses");
    list.consume_entries().into_iter().collect()
}

/// All live entries of the current snapshot by file path.
pub async fn entries(table: &LoadedTable) -> BTreeMap<String, ManifestEntryRef> {
    let mut entries = BTreeMap::new();
    for manifest in manifests(table).await {
        let manifest = manifest
            .load_manifest(&table.file_io)
            .await
            .expect("manifest is there");
        for entry in manifest.entries() {
            if entry.status() != ManifestStatus::Deleted {
                let old = entries.insert(entry.file_path().to_owned(), Arc::clone(entry));
                assert!(old.is_none(), "{} is listed twice", entry.file_path());
            }
        }
    }
    entries
}

/// The summary of the current snapshot.
pub fn summary(table: &LoadedTable) -> &HashMap<String, String> {
    &table
        .metadata
        .current_snapshot()
        .expect("a snapshot")
        .summary()
        .additional_properties
}

/// The outcome of a commit of [`Faulty`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The commit of the real catalog.
    None,
    /// A conflict. The real catalog is not called.
    Conflict,
    /// A permanent refusal. The real catalog is not called.
    Refusal,
    /// A conflict because of a second delivery: the real catalog committed the first.
    Twice,
    /// A request to wait. The real catalog is not called.
    Throttled,
    /// Throttling, without a time to wait. The real catalog is not called.
    TooMany,
    /// A request to wait because of a second delivery: the real catalog committed the first.
    TwiceThrottled,
    /// Unknown. The real catalog was not called.
    LostRequest,
    /// Unknown. The real catalog committed it.
    LostAnswer,
    /// A panic after the real catalog committed it.
    Panic,
}

/// A catalog whose next commits end with these faults, in turn. Later ones go to the real catalog.
#[derive(Debug)]
pub struct Faulty {
    pub real: Arc<dyn Catalog>,
    pub faults: Mutex<VecDeque<Fault>>,
    /// Whether loading fails.
    pub blind: Mutex<bool>,
    /// Whether loading and committing fail, as if the catalog did not answer.
    pub down: AtomicBool,
    /// The number of loads and commits.
    pub asked: AtomicUsize,
    /// A commit takes a permit before it begins.
    pub gate: Semaphore,
    /// Permits are only taken when true.
    pub gated: bool,
    /// Becomes available when a commit reaches the gate.
    pub reached: Semaphore,
}

impl Faulty {
    pub fn new(real: Arc<dyn Catalog>, faults: impl IntoIterator<Item = Fault>) -> Arc<Self> {
        Arc::new(Self {
            real,
            faults: Mutex::new(faults.into_iter().collect()),
            blind: Mutex::new(false),
            down: AtomicBool::new(false),
            asked: AtomicUsize::new(0),
            gate: Semaphore::new(0),
            gated: false,
            reached: Semaphore::new(0),
        })
    }

    /// Commits wait until the test lets them through.
    pub fn gated(real: Arc<dyn Catalog>) -> Arc<Self> {
        Arc::new(Self {
            real,
            faults: Mutex::default(),
            blind: Mutex::new(false),
            down: AtomicBool::new(false),
            asked: AtomicUsize::new(0),
            gate: Semaphore::new(0),
            gated: true,
            reached: Semaphore::new(0),
        })
    }

    pub fn set_blind(&self, blind: bool) {
        *self.blind.lock().expect("lock") = blind;
    }

    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }
}

/// The table after a successful commit.
pub fn taken(outcome: CommitOutcome) -> LoadedTable {
    match outcome {
        CommitOutcome::Committed(table) => table,
        outcome => panic!("{outcome:?}"),
    }
}

#[async_trait]
impl Catalog for Faulty {
    async fn ensure(&self, ident: &TableIdent, spec: Option<TableSpec>) -> Result<LoadedTable> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if *self.blind.lock().expect("lock") || self.down.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Catalog, "the catalog cannot be reached"));
        }
        self.real.ensure(ident, spec).await
    }

    async fn load(&self, ident: &TableIdent) -> Result<LoadedTable> {
        self.ensure(ident, None).await
    }

    async fn commit(
        &self,
        base: &LoadedTable,
        requirements: Vec<TableRequirement>,
        updates: Vec<TableUpdate>,
    ) -> CommitOutcome {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.down.load(Ordering::SeqCst) {
            let error = Error::new(ErrorKind::Catalog, "the catalog cannot be reached");
            return CommitOutcome::Refused {
                conflict: false,
                error,
            };
        }
        if self.gated {
            self.reached.add_permits(1);
            self.gate.acquire().await.expect("gate").forget();
        }
        let fault = self
            .faults
            .lock()
            .expect("lock")
            .pop_front()
            .unwrap_or(Fault::None);
        let refused = |conflict| CommitOutcome::Refused {
            conflict,
            error: Error::new(ErrorKind::Catalog, "told to refuse"),
        };
        let throttled = || {
            let after = Some(Duration::from_secs(1));
            CommitOutcome::Refused {
                conflict: false,
                error: Error::new(ErrorKind::Catalog, "told to wait")
                    .class(RetryClass::Retry { after })
                    .throttled(),
            }
        };
        let unknown = || CommitOutcome::Unknown(Error::new(ErrorKind::CommitUnknown, "told not to know"));
        match fault {
            Fault::None => self.real.commit(base, requirements, updates).await,
            Fault::Conflict => refused(true),
            Fault::Refusal => refused(false),
            Fault::Twice => {
                let outcome = self.real.commit(base, requirements, updates).await;
                assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
                refused(true)
            }
            Fault::Throttled => throttled(),
            Fault::TooMany => CommitOutcome::Refused {
                conflict: false,
                error: Error::new(ErrorKind::Catalog, "told to slow down").throttled(),
            },
            Fault::TwiceThrottled => {
                let outcome = self.real.commit(base, requirements, updates).await;
                assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
                throttled()
            }
            Fault::LostRequest => unknown(),
            Fault::LostAnswer => {
                let outcome = self.real.commit(base, requirements, updates).await;
                assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
                unknown()
            }
            Fault::Panic => {
                let outcome = self.real.commit(base, requirements, updates).await;
                panic!("told to panic after {outcome:?}");
            }
        }
    }

    async fn reach(&self, ident: &TableIdent) -> Result<()> {
        self.real.reach(ident).await
    }

    fn tells_history(&self) -> bool {
        self.real.tells_history()
    }

    fn compares_metadata(&self) -> bool {
        self.real.compares_metadata()
    }

    async fn tidy(&self) {
        self.real.tidy().await;
    }
}
