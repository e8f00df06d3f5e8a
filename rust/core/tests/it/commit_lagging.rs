//! Commits to a catalog whose reads return an older state, or never return.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use iceberg::{TableIdent, TableRequirement, TableUpdate};
use otlp2iceberg::catalog::{Catalog, CommitOutcome, LoadedTable, TableSpec};
use otlp2iceberg::commit::Committer;
use otlp2iceberg::config::CommitConfig;
use otlp2iceberg::{Error, ErrorKind, Result, RetryClass};

use crate::commit_support::{Warehouse, append, entries, soon, taken};

/// A catalog whose reads can return an older state.
#[derive(Debug)]
struct Lagging {
    real: Arc<dyn Catalog>,
    /// The table to return from reads instead of the current one.
    copy: Mutex<Option<LoadedTable>>,
    /// Whether reads never end.
    hangs: AtomicBool,
    /// Whether a commit is compared with the whole metadata.
    compares_metadata: bool,
    /// The outcomes of the next commits. Later ones go to the real catalog.
    turns: Mutex<VecDeque<Turn>>,
}

#[derive(Debug)]
enum Turn {
    /// Another writer commits first.
    Overtaken(Committer),
    /// It is committed, and the answer is that of a second delivery. From then on, reads return this older
    /// copy.
    Twice(LoadedTable),
    /// It is committed, and the answer is lost. From then on, reads return this older copy.
    Lost(LoadedTable),
    /// It is refused permanently.
    Refused,
}

impl Lagging {
    async fn open(warehouse: &Warehouse, max_retries: u32) -> (Arc<Self>, Committer) {
        Self::that_compares(true, warehouse, max_retries).await
    }

    async fn that_compares(
        compares_metadata: bool,
        warehouse: &Warehouse,
        max_retries: u32,
    ) -> (Arc<Self>, Committer) {
        let catalog = Arc::new(Self {
            real: warehouse.catalog().await,
            copy: Mutex::default(),
            hangs: AtomicBool::new(false),
            compares_metadata,
            turns: Mutex::default(),
        });
        let config = CommitConfig {
            max_retries: Some(max_retries),
            ..CommitConfig::default()
        };
        let committer = warehouse.committer_with(catalog.clone(), config).await;
        (catalog, committer)
    }

    fn lag(&self, copy: Option<LoadedTable>) {
        *self.copy.lock().expect("lock") = copy;
    }
}

#[async_trait::async_trait]
impl Catalog for Lagging {
    async fn ensure(&self, ident: &TableIdent, spec: Option<TableSpec>) -> Result<LoadedTable> {
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let copy = self.copy.lock().expect("lock").clone();
        match copy {
            Some(copy) => Ok(copy),
            None => self.real.ensure(ident, spec).await,
        }
    }

    async fn load(&self, ident: &TableIdent) -> Result<LoadedTable> {
        self.ensure(ident, None).await
    }

    async fn reach(&self, ident: &TableIdent) -> Result<()> {
        self.real.reach(ident).await
    }

    fn compares_metadata(&self) -> bool {
        self.compares_metadata
    }

    async fn commit(
        &self,
        base: &LoadedTable,
        requirements: Vec<TableRequirement>,
        updates: Vec<TableUpdate>,
    ) -> CommitOutcome {
        let refused = |conflict| CommitOutcome::Refused {
            conflict,
            error: Error::new(ErrorKind::Catalog, "refused").class(RetryClass::Permanent),
        };
        let turn = self.turns.lock().expect("lock").pop_front();
        match turn {
            None => self.real.commit(base, requirements, updates).await,
            Some(Turn::Overtaken(other)) => {
                other.append(append(9, 1), soon()).await.expect("committed");
                refused(true)
            }
            Some(Turn::Twice(copy)) => {
                taken(self.real.commit(base, requirements, updates).await);
                self.lag(Some(copy));
                refused(true)
            }
            Some(Turn::Lost(copy)) => {
                taken(self.real.commit(base, requirements, updates).await);
                self.lag(Some(copy));
                CommitOutcome::Unknown(Error::new(ErrorKind::CommitUnknown, "no answer"))
            }
            Some(Turn::Refused) => refused(false),
        }
    }
}

/// The copy contains the base of the first attempt but not that of the second.
#[tokio::test]
async fn an_older_copy_of_the_table_does_not_show_that_an_attempt_did_not_land() {
    let warehouse = Warehouse::new();
    let (catalog, committer) = Lagging::open(&warehouse, 1).await;
    committer.append(append(1, 1), soon()).await.expect("committed");
    let other = warehouse.committer(warehouse.catalog().await).await;
    let turns = [
        Turn::Overtaken(other),
        Turn::Twice(committer.table().as_ref().clone()),
    ];
    catalog.turns.lock().expect("lock").extend(turns);
    let error = committer
        .append(append(1, 2), soon())
        .await
        .expect_err("it cannot be told");
    assert_eq!(error.kind(), ErrorKind::CommitUnknown, "{error}");
    catalog.lag(None);
    let committed = committer.append(append(1, 2), soon()).await.expect("found");
    assert!(committed.already_there);
    assert_eq!(
        entries(&committer.table()).await.len(),
        3,
        "all of it can be read"
    );
}

/// After a `Catalog` error the caller could delete the data files, which the first attempt added to the
/// table.
#[tokio::test]
async fn an_older_copy_of_the_table_settles_no_doubt() {
    let warehouse = Warehouse::new();
    let (catalog, committer) = Lagging::open(&warehouse, 0).await;
    committer.append(append(1, 1), soon()).await.expect("committed");
    let copy = committer.table().as_ref().clone();
    committer.append(append(1, 2), soon()).await.expect("committed");
    catalog
        .turns
        .lock()
        .expect("lock")
        .extend([Turn::Lost(copy), Turn::Refused]);
    for _ in 0..2 {
        let error = committer.append(append(1, 3), soon()).await.expect_err("unknown");
        assert_eq!(error.kind(), ErrorKind::CommitUnknown, "{error}");
        assert_eq!(error.retry_class(), RetryClass::Retry { after: None });
    }
    catalog.lag(None);
    let committed = committer.append(append(1, 3), soon()).await.expect("found");
    assert!(committed.already_there);
    assert_eq!(entries(&committer.table()).await.len(), 3);
}

/// An optional reload neither delays a commit nor replaces newer known metadata.
#[tokio::test]
async fn a_catalog_whose_reads_lag_or_hang_is_asked_to_commit_all_the_same() {
    let warehouse = Warehouse::new();
    let (catalog, committer) = Lagging::that_compares(false, &warehouse, 0).await;
    committer.append(append(1, 1), soon()).await.expect("committed");
    let copy = committer.table().as_ref().clone();
    committer.append(append(1, 2), soon()).await.expect("committed");
    catalog.lag(Some(copy));
    let committed = committer.append(append(1, 3), soon()).await.expect("committed");
    assert_eq!(committed.attempts, 1);
    catalog.hangs.store(true, Ordering::SeqCst);
    let committed = committer.append(append(1, 4), soon()).await.expect("committed");
    assert_eq!(committed.attempts, 1);
    assert_eq!(entries(&committer.table()).await.len(), 4);
}
