//! One commit, with all its attempts, until every append in it has an answer.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

use super::ids::{Coverage, IdSet, recent_ancestry, to_text};
use super::patience::Patience;
use super::producer::{AppendProducer, AttemptFiles};
use super::queue::Queued;
use super::retry::RetryRules;
use super::{Committed, Files, Shared, View};
use crate::catalog::{Catalog, CommitOutcome, LoadedTable, TableSpec};
use crate::config::CommitConfig;
use crate::error::{Error, ErrorKind, Result, RetryClass};
use crate::request::IdRange;

/// What commits, one batch at a time, and what is known of the attempts so far.
#[derive(Debug)]
pub(super) struct Protocol {
    pub(super) catalog: Arc<dyn Catalog>,
    /// Makes the table anew when it was dropped under us, as a restart would.
    pub(super) spec: Option<TableSpec>,
    pub(super) config: CommitConfig,
    pub(super) shared: Arc<Shared>,
    /// The parent snapshots of attempts whose outcome is not known. Such an attempt can still land
    /// while the main branch is at its parent; once the branch has moved, it never can.
    pub(super) in_doubt: HashSet<Option<i64>>,
}

/// The appends of one commit and what was tried for them.
struct Run {
    batch: Vec<Queued>,
    /// Latest deadline of the batch: no attempt is begun after it.
    deadline: Instant,
    /// Made at the first attempt, and anew when the batch shrinks.
    producer: Option<AppendProducer>,
    /// What the producer's attempts wrote.
    attempts: Vec<AttemptFiles>,
    /// Attempts that the catalog saw.
    sent: u32,
}

impl Protocol {
    /// Commits a batch. Every append in it is answered when this returns.
    pub(super) async fn commit(&mut self, batch: Vec<Queued>) {
        let (batch, repeated) = part_repeated(batch);
        self.commit_distinct(batch).await;
        let view = self.shared.view();
        for queued in repeated {
            let answer = settled(&queued, &view).unwrap_or_else(|| Err(not_settled(&view)));
            queued.answer(answer);
        }
    }

    async fn commit_distinct(&mut self, batch: Vec<Queued>) {
        let deadline = batch
            .iter()
            .map(|queued| queued.deadline)
            .max()
            .unwrap_or_else(Instant::now);
        let mut run = Run {
            batch,
            deadline,
            producer: None,
            attempts: Vec::new(),
            sent: 0,
        };
        let mut failure = None;
        let rules = RetryRules::of(&self.config, &self.shared.view().table.metadata);
        let mut patience = Patience::new(rules, run.deadline);
        while patience.allows_another().await {
            let begun = Instant::now();
            if self.shared.is_stale()
                && let Err(error) = self.look_again().await
            {
                failure = Some(error);
                patience.failed();
                continue;
            }
            if self.settle(&mut run).await {
                return;
            }
            let base = Arc::clone(&self.shared.view().table);
            let attempt = match run.producer_for(&base).attempt(&base).await {
                Ok(attempt) => attempt,
                Err(error) => {
                    // What it read of the table may be gone, because the table is, or because another
                    // writer went on and removed what it no longer needs.
                    self.shared.set_stale(true);
                    if self.is_behind(&base).await {
                        tracing::debug!(table = %base.ident, %error, "the table changed while an attempt was made");
                        failure = Some(error);
                        patience.lost_race(begun.elapsed());
                        continue;
                    }
                    return self.give_up(run, Failure::Ours(error)).await;
                }
            };
            run.attempts.push(attempt.files);
            run.sent += 1;
            match self
                .catalog
                .commit(&base, attempt.requirements, attempt.updates)
                .await
            {
                CommitOutcome::Committed(table) => return self.succeed(run, table).await,
                CommitOutcome::Refused { conflict, error } => {
                    tracing::debug!(table = %base.ident, %error, conflict, "a commit attempt was refused");
                    self.shared.set_stale(true);
                    failure = Some(error);
                    if !conflict {
                        break;
                    }
                    patience.lost_race(begun.elapsed());
                }
                CommitOutcome::Unknown(error) => {
                    tracing::warn!(table = %base.ident, %error, "the outcome of a commit attempt is unknown");
                    self.doubt(&base);
                    failure = Some(error);
                    patience.failed();
                }
            }
        }
        let failure = failure.unwrap_or_else(|| Error::new(ErrorKind::Cancelled, "the time allowed ran out"));
        self.give_up(run, Failure::Catalogs(failure)).await;
    }

    /// Loads the table afresh. Attempts whose parent is no longer current can never land.
    pub(super) async fn look_again(&mut self) -> Result<()> {
        let ident = self.shared.view().table.ident.clone();
        let table = self
            .catalog
            .ensure(&ident, self.spec.clone())
            .await
            .inspect_err(|error| {
                tracing::warn!(table = %ident, %error, "cannot look at the table again");
            })?;
        self.see(table);
        Ok(())
    }

    /// Whether the same table has moved on from this state of it.
    async fn is_behind(&mut self, base: &LoadedTable) -> bool {
        if self.look_again().await.is_err() {
            return false;
        }
        let now = Arc::clone(&self.shared.view().table);
        now.metadata.uuid() == base.metadata.uuid()
            && now.metadata.current_snapshot_id() != base.metadata.current_snapshot_id()
    }

    fn see(&mut self, table: LoadedTable) {
        let current = table.metadata.current_snapshot_id();
        self.in_doubt.retain(|parent| *parent == current);
        self.shared.set(table);
        // What can still land may have done so by the next look.
        self.shared.set_stale(!self.in_doubt.is_empty());
    }

    /// An attempt on this table may have been taken or not.
    fn doubt(&mut self, base: &LoadedTable) {
        self.in_doubt.insert(base.metadata.current_snapshot_id());
        self.shared.set_stale(true);
    }

    /// A commit ended at an unknown point: the table as last seen may be its base.
    pub(super) fn doubt_all(&mut self) {
        let table = Arc::clone(&self.shared.view().table);
        self.doubt(&table);
    }

    /// Answers the appends that need no commit (any more). True if none is left.
    async fn settle(&self, run: &mut Run) -> bool {
        let view = self.shared.view();
        if let Some(manifest_list) = run.landed(&view) {
            run.answer_committed();
            self.clean(&view.table, run, Some(&manifest_list)).await;
            return true;
        }
        let before = run.batch.len();
        for queued in std::mem::take(&mut run.batch) {
            if let Some(answer) = settled(&queued, &view) {
                queued.answer(answer);
            } else {
                run.batch.push(queued);
            }
        }
        // The others must not go out with a manifest that has the files of those just answered.
        if run.batch.len() < before && run.producer.is_some() {
            self.clean(&view.table, run, None).await;
            run.producer = None;
            run.attempts.clear();
        }
        run.batch.is_empty()
    }

    /// The callers first: what is left to clean up is no concern of theirs.
    async fn succeed(&mut self, mut run: Run, table: LoadedTable) {
        let manifest_list = table
            .metadata
            .current_snapshot()
            .map(|snapshot| snapshot.manifest_list().to_owned());
        self.see(table);
        run.answer_committed();
        self.clean(&self.shared.view().table, &run, manifest_list.as_deref())
            .await;
    }

    /// No more attempts: finds out what is known, and says so.
    async fn give_up(&mut self, mut run: Run, mut failure: Failure) {
        let mut looked = true;
        if self.shared.is_stale()
            && let Err(error) = self.look_again().await
        {
            looked = false;
            if let Failure::Ours(first) = failure {
                tracing::warn!(error = %first, "a commit attempt could not be made");
                failure = Failure::Catalogs(error);
            }
        }
        if looked && self.settle(&mut run).await {
            return;
        }
        let table = Arc::clone(&self.shared.view().table);
        let known = looked && self.in_doubt.is_empty();
        if known {
            self.clean(&table, &run, None).await;
        }
        let cause = Arc::new(failure.into_error(known, run.sent, &table));
        for queued in run.batch {
            queued.answer(Err(shared_error(&cause)));
        }
    }

    /// Deletes metadata files of attempts that did not win. None while an attempt may still land.
    async fn clean(&self, table: &LoadedTable, run: &Run, winner: Option<&str>) {
        let Some(producer) = &run.producer else {
            return;
        };
        if winner.is_none() && !self.in_doubt.is_empty() {
            return;
        }
        for path in producer.unused(&run.attempts, winner) {
            if let Err(cause) = table.file_io.delete(&path).await {
                tracing::warn!(path, %cause, "cannot delete a metadata file that is not needed");
            }
        }
    }
}

impl Run {
    fn producer_for(&mut self, table: &LoadedTable) -> &mut AppendProducer {
        let (batch, metadata) = (&self.batch, &table.metadata);
        self.producer.get_or_insert_with(|| {
            let mut groups: BTreeMap<i32, Files> = BTreeMap::new();
            for append in batch
                .iter()
                .map(|queued| &queued.append)
                .filter(|append| !append.files.is_empty())
            {
                let id = append.partition_spec_id;
                let group = groups.entry(id).or_insert_with(|| Files {
                    partition_spec_id: id,
                    files: Vec::new(),
                });
                group.files.extend(append.files.iter().cloned());
            }
            let ids = batch.iter().flat_map(|queued| &queued.append.ids);
            AppendProducer::new(metadata, groups.into_values().collect(), to_text(ids))
        })
    }

    /// The manifest list of the attempt that is in the table, if one is.
    fn landed(&self, view: &View) -> Option<String> {
        let id = self.producer.as_ref()?.snapshot_id();
        recent_ancestry(&view.table.metadata)
            .find(|snapshot| snapshot.snapshot_id() == id)
            .map(|snapshot| snapshot.manifest_list().to_owned())
    }

    fn answer_committed(&mut self) {
        let snapshot_id = self.producer.as_ref().map_or(0, AppendProducer::snapshot_id);
        let folded = u32::try_from(self.batch.len()).unwrap_or(u32::MAX);
        for queued in self.batch.drain(..) {
            queued.answer(Ok(Committed {
                snapshot_id,
                attempts: self.sent,
                folded,
                already_there: false,
            }));
        }
    }
}

/// A request that was sent twice at once goes in once: parts from a batch the appends that share ids
/// with an earlier one in it.
fn part_repeated(batch: Vec<Queued>) -> (Vec<Queued>, Vec<Queued>) {
    let mut taken: Vec<IdRange> = Vec::new();
    batch.into_iter().partition(|queued| {
        let ids = &queued.append.ids;
        let is_new = IdSet::from_ranges(taken.iter().copied()).coverage(ids) == Coverage::None;
        taken.extend(ids);
        is_new
    })
}

fn not_settled(view: &View) -> Error {
    let message = "the same request was sent twice at once, and the first was not committed; send it again";
    Error::new(ErrorKind::CommitUnknown, message).with("table", view.table.ident.to_string())
}

/// The answer to an append that needs no commit; `None` if it needs one.
fn settled(queued: &Queued, view: &View) -> Option<Result<Committed>> {
    let append = &queued.append;
    let there = |snapshot_id| Committed {
        snapshot_id,
        attempts: 0,
        folded: 0,
        already_there: true,
    };
    let table = &view.table;
    let again = |message: &str| {
        Some(Err(
            Error::new(ErrorKind::Catalog, message).with("table", table.ident.to_string())
        ))
    };
    match view.ids.coverage(&append.ids) {
        Coverage::Full => Some(Ok(there(holder(append.ids.as_slice(), view)))),
        Coverage::Partial => again(
            "another writer stored some of these requests meanwhile; send them again, and only the others are added",
        ),
        // Its columns may have other ids, and its partitions other meanings.
        Coverage::None if queued.table_id != table.metadata.uuid() => {
            again("the table was dropped and made anew meanwhile; send the data again")
        }
        Coverage::None if append.files.is_empty() => {
            Some(Ok(there(table.metadata.current_snapshot_id().unwrap_or(0))))
        }
        Coverage::None => None,
    }
}

/// The snapshot that holds the first of these ids; the current one if it is not found again.
fn holder(ids: &[IdRange], view: &View) -> i64 {
    let metadata = &view.table.metadata;
    recent_ancestry(metadata)
        .find(|snapshot| {
            let text = snapshot.summary().additional_properties.get(super::COMMIT_IDS);
            let held = IdSet::from_ranges(
                text.into_iter()
                    .flat_map(|text| text.split(','))
                    .filter_map(IdRange::parse),
            );
            held.coverage(ids.get(..1).unwrap_or_default()) != Coverage::None
        })
        .map(|snapshot| snapshot.snapshot_id())
        .or(metadata.current_snapshot_id())
        .unwrap_or(0)
}

/// Why no more attempts are made.
enum Failure {
    /// The catalog refused or could not be reached, as often as is allowed.
    Catalogs(Error),
    /// An attempt could not be made.
    Ours(Error),
}

impl Failure {
    /// The error for the callers; `known` if the appends are not in the table and never will be.
    fn into_error(self, known: bool, sent: u32, table: &LoadedTable) -> Error {
        let (kind, message, cause) = match self {
            Failure::Ours(error) if known => return error,
            Failure::Catalogs(error) if known => {
                (ErrorKind::Catalog, "the catalog did not take the commit", error)
            }
            Failure::Catalogs(error) | Failure::Ours(error) => (
                ErrorKind::CommitUnknown,
                "it is not known whether the commit was taken; send the data again",
                error,
            ),
        };
        let class = if known {
            cause.retry_class()
        } else {
            RetryClass::Retry { after: None }
        };
        Error::new(kind, message)
            .with("table", table.ident.to_string())
            .with("attempts", sent.to_string())
            .class(class)
            .because(cause)
    }
}

/// One error for each of several callers.
fn shared_error(error: &Arc<Error>) -> Error {
    Error::new(error.kind(), "the commit failed")
        .class(error.retry_class())
        .because(SharedCause(Arc::clone(error)))
}

/// Prints the whole chain by itself, so it names no source.
#[derive(Debug)]
struct SharedCause(Arc<Error>);

impl fmt::Display for SharedCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for SharedCause {}
