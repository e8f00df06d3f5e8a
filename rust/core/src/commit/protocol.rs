//! The commit protocol: one commit with all its attempts, until every append in it has an answer.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use iceberg::spec::TableMetadata;
use tokio::time::Instant;
use uuid::Uuid;

use super::backoff::Backoff;
use super::expire_plan::Expired;
use super::expire_schedule::Expiry;
use super::expired_files::ExpiredFiles;
use super::failure::{Failure, asks_to_wait, shared_error};
use super::history::{Base, History};
use super::ids::ancestry;
use super::producer::{AttemptFiles, Producer, delete};
use super::queue::Queued;
use super::recognition::{history_for, not_settled, part_repeated, settled};
use super::retry_rules::RetryRules;
use super::unknown_attempts::UnknownAttempts;
use super::{Committed, Files, Shared, View};
use crate::catalog::{Catalog, CommitOutcome, LoadedTable, TableSpec};
use crate::config::CommitConfig;
use crate::error::{Error, ErrorKind, Result, panic_text};

/// Maximum number of runs whose leftover files are remembered for deletion.
const LEFT_MAX: usize = 64;

/// How long a loaded table stays usable for attempts, where the catalog does not compare all of the metadata.
const FRESH_FOR: Duration = Duration::from_secs(2);
/// How long a commit waits for an optional reload.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(2);

/// Which state of the table an attempt is based on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// The current state: the table was just loaded.
    Fresh,
    /// The last loaded state, which is recent enough or newer than what the catalog returns.
    None,
    /// The last loaded state, because the reload failed.
    Failed,
}

/// Commits one batch at a time, and keeps what is known about earlier attempts.
#[derive(Debug)]
pub(super) struct Protocol {
    pub(super) catalog: Arc<dyn Catalog>,
    /// Recreates the table if it was dropped while we use it, as a restart would.
    pub(super) spec: Option<TableSpec>,
    pub(super) config: CommitConfig,
    pub(super) shared: Arc<Shared>,
    /// Attempts with an unknown outcome.
    pub(super) unknown: UnknownAttempts,
    /// Files of attempts that were refused while the table could not be loaded.
    pub(super) left: Vec<Left>,
    pub(super) expiry: Expiry,
    /// Whether the last reload failed. The failure is logged as a warning only once.
    pub(super) load_failing: bool,
    /// When the table was last loaded. `None` once a commit was sent after that.
    pub(super) loaded: Option<Instant>,
}

/// Metadata files that are not needed if the table does not contain the snapshot.
#[derive(Debug)]
pub(super) struct Left {
    begun: Begun,
    snapshot_id: i64,
    paths: Vec<String>,
}

/// The states of the table that a run's attempts were based on.
#[derive(Debug, Clone, Copy)]
struct Begun {
    table_id: Uuid,
    /// The base of the first attempt.
    first: Base,
    /// The latest base.
    last: Base,
}

/// The appends of one commit, and the attempts made for them.
struct Run {
    batch: Vec<Queued>,
    /// Latest deadline of the batch. No attempt begins after it.
    deadline: Instant,
    /// Created at the first attempt, and again when the batch shrinks.
    producer: Option<Producer>,
    /// The files that the producer's attempts wrote.
    attempts: Vec<AttemptFiles>,
    /// Number of attempts that were sent to the catalog.
    sent: u32,
    /// The bases of these attempts.
    begun: Option<Begun>,
}

impl Protocol {
    /// Commits a batch and contains its panics. After a panic, the callers get an error because their appends
    /// are dropped, and the next batch begins with a reload of the table.
    pub(super) async fn commit_guarded(&mut self, batch: Vec<Queued>) {
        // Besides the table, a commit changes only what is known about attempts. After a panic, their outcome
        // is marked as unknown.
        let caught = AssertUnwindSafe(self.commit(batch)).catch_unwind().await;
        if let Err(panic) = caught {
            tracing::error!(panic = panic_text(panic.as_ref()), "a commit panicked");
            self.mark_all_unknown();
        }
    }

    /// Commits a batch. Every append in it has an answer when this returns.
    async fn commit(&mut self, batch: Vec<Queued>) {
        let (batch, repeated) = part_repeated(batch);
        self.commit_distinct(batch).await;
        let view = self.shared.view();
        let history = history_for(&repeated, &view);
        for queued in repeated {
            let answer = settled(&queued, &view, history.as_ref()).unwrap_or_else(|| Err(not_settled(&view)));
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
            begun: None,
        };
        let mut failure: Option<Error> = None;
        let rules = RetryRules::of(&self.config, &self.shared.view().table.metadata);
        let mut backoff = Backoff::new(rules, run.deadline);
        while backoff.allows_another().await {
            let begun = Instant::now();
            let look = match self.look_before(run.deadline).await {
                Ok(look) => look,
                Err(error) => {
                    // The final answer to this batch must not rely on the last loaded state.
                    self.shared.set_stale(true);
                    backoff.failed(error.retry_after());
                    failure = Some(error);
                    continue;
                }
            };
            if self.settle(&mut run).await {
                return;
            }
            let view = self.shared.view();
            let base = Arc::clone(&view.table);
            let expired = if look == Look::Fresh {
                self.expiring()
            } else {
                None
            };
            let expires = expired.is_some();
            let producer = run.producer_for(&base);
            let attempt = match producer.attempt(&base, expired, &view.carried).await {
                Ok(attempt) => attempt,
                Err(error) => {
                    // A file that the attempt had to read may be gone. Either the table was dropped, or
                    // another writer committed and removed what it no longer needed.
                    self.shared.set_stale(true);
                    if self.is_behind(&base).await.unwrap_or(false) {
                        tracing::debug!(table = %base.ident, %error, "the table changed while an attempt was made");
                        failure = Some(error);
                        backoff.lost_race(begun.elapsed());
                        continue;
                    }
                    return self.give_up(run, Failure::Ours(error)).await;
                }
            };
            run.attempts.push(attempt.files);
            run.sent += 1;
            run.begun = Some(Begun::on(&base.metadata, run.begun));
            self.loaded = None;
            match self
                .catalog
                .commit(&base, attempt.requirements, attempt.updates)
                .await
            {
                CommitOutcome::Committed(table) => return self.succeed(run, table).await,
                CommitOutcome::Refused { conflict, error } => {
                    tracing::debug!(table = %base.ident, %error, conflict, "a commit attempt was refused");
                    self.shared.set_stale(true);
                    if !conflict {
                        if expires {
                            self.expiry.refused(&base);
                        }
                        if asks_to_wait(&error) {
                            return self.give_up(run, Failure::Catalogs(error)).await;
                        }
                        if look == Look::Failed {
                            return self.end(run, Failure::Catalogs(error), false).await;
                        }
                        // Some catalogs return this error for a lost race.
                        match self.is_behind(&base).await {
                            Ok(true) => {}
                            Ok(false) => return self.give_up(run, Failure::Catalogs(error)).await,
                            Err(_) => return self.end(run, Failure::Catalogs(error), false).await,
                        }
                    }
                    failure = Some(error);
                    backoff.lost_race(begun.elapsed());
                }
                CommitOutcome::Unknown(error) => {
                    tracing::warn!(table = %base.ident, %error, "the outcome of a commit attempt is unknown");
                    self.mark_unknown(&base);
                    backoff.failed(error.retry_after());
                    failure = Some(error);
                }
            }
        }
        let failure = failure.unwrap_or_else(|| Error::new(ErrorKind::Cancelled, "the time allowed ran out"));
        self.give_up(run, Failure::Catalogs(failure)).await;
    }

    /// Reloads the table before an attempt, if that is necessary or useful.
    ///
    /// # Errors
    /// When a necessary reload fails, or the catalog asks to wait.
    async fn look_before(&mut self, deadline: Instant) -> Result<Look> {
        // Tagging a snapshot or setting a property does not move the main branch, and catalogs compare only
        // that. So expiry is planned on a freshly loaded table.
        if self.shared.is_stale() || self.expiring().is_some() {
            self.refresh().await?;
        } else if !self.may_be_outdated() {
            return Ok(Look::None);
        } else {
            match self.try_refresh(deadline).await {
                Ok(true) => {}
                Ok(false) => return Ok(Look::None),
                Err(error) if asks_to_wait(&error) => return Err(error),
                // If the catalog is down, the attempt fails too, and its error handling applies.
                Err(error) => {
                    tracing::debug!(%error, "the table is taken as it was last seen");
                    return Ok(Look::Failed);
                }
            }
        }
        self.clean_left().await;
        Ok(Look::Fresh)
    }

    /// Whether another writer may have changed the table without making our commit conflict. A commit
    /// rewrites the main branch's reference, with the retention settings as last loaded. The response to our
    /// own commit does not count as a load: under steady load, the next commit would always fall within the
    /// time limit.
    fn may_be_outdated(&self) -> bool {
        let is_fresh = |loaded: Instant| loaded.elapsed() < FRESH_FOR;
        !self.catalog.compares_metadata() && !self.loaded.is_some_and(is_fresh)
    }

    /// What a commit on the table as last loaded would expire.
    fn expiring(&self) -> Option<Expired> {
        // Nothing is expired while resolving an unknown outcome depends on the table's history.
        if self.unknown.is_open() {
            return None;
        }
        let floor = self.unknown.floor();
        self.expiry.plan(&self.shared.view().table, floor.as_ref())
    }

    /// Reloads the table. Attempts whose parent is no longer current can never land.
    pub(super) async fn refresh(&mut self) -> Result<()> {
        let ident = self.shared.view().table.ident.clone();
        let begun = Instant::now();
        let looked = self.catalog.ensure(&ident, self.spec.clone()).await;
        let was_failing = std::mem::replace(&mut self.load_failing, looked.is_err());
        match &looked {
            Err(error) if was_failing => {
                tracing::debug!(table = %ident, %error, "still cannot look at the table again");
            }
            Err(error) => {
                tracing::warn!(table = %ident, %error, "cannot look at the table again; this is told once until it can be");
            }
            Ok(_) if was_failing => {
                tracing::warn!(table = %ident, "the table can be looked at again");
            }
            Ok(_) => {}
        }
        let table = looked?;
        self.see(table);
        self.loaded = Some(begun);
        Ok(())
    }

    /// Reloads the table to see changes that do not move the main branch. They do not justify a long wait.
    /// Returns false if the catalog returned an older copy than the last loaded one, as catalogs with lagging
    /// reads do.
    async fn try_refresh(&mut self, deadline: Instant) -> Result<bool> {
        let last = Arc::clone(&self.shared.view().table);
        let begun = Instant::now();
        let time = REFRESH_TIMEOUT.min(deadline.saturating_duration_since(begun) / 4);
        let load = tokio::time::timeout(time, self.catalog.load(&last.ident)).await;
        let table = load.unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::Catalog,
                "the catalog is slow to load the table",
            ))
        })?;
        let (now, before) = (&table.metadata, &last.metadata);
        if now.uuid() == before.uuid() && now.last_sequence_number() < before.last_sequence_number() {
            return Ok(false);
        }
        self.see(table);
        self.loaded = Some(begun);
        Ok(true)
    }

    /// Whether this state of the table is behind the current one. A snapshot of another branch also counts:
    /// it takes the sequence number that the attempt's snapshot was to have.
    async fn is_behind(&mut self, base: &LoadedTable) -> Result<bool> {
        self.refresh().await?;
        let now = &self.shared.view().table.metadata;
        let base = &base.metadata;
        Ok(now.uuid() == base.uuid()
            && (now.current_snapshot_id() != base.current_snapshot_id()
                || now.last_sequence_number() > base.last_sequence_number()))
    }

    fn see(&mut self, table: LoadedTable) {
        self.unknown
            .looked(&table.metadata, self.config.dedup_window, Instant::now());
        self.shared.set(table, self.unknown.floor());
        // An attempt that can still land may have landed by the next load.
        self.shared.set_stale(self.unknown.is_open());
    }

    /// Records that an attempt on this table has an unknown outcome.
    fn mark_unknown(&mut self, base: &LoadedTable) {
        self.unknown.add(&base.metadata);
        self.shared.set_stale(true);
    }

    /// Records that a commit ended at an unknown point. Its base may be the table as last loaded.
    fn mark_all_unknown(&mut self) {
        let table = Arc::clone(&self.shared.view().table);
        self.mark_unknown(&table);
    }

    /// Answers the appends that need no commit, or no longer need one. Returns true if none is left.
    async fn settle(&self, run: &mut Run) -> bool {
        let view = self.shared.view();
        if let Some(manifest_list) = run.landed(&view) {
            run.answer_committed();
            self.finish(run, &manifest_list).await;
            return true;
        }
        let before = run.batch.len();
        let history = history_for(&run.batch, &view);
        for queued in std::mem::take(&mut run.batch) {
            if let Some(answer) = settled(&queued, &view, history.as_ref()) {
                queued.answer(answer);
            } else {
                run.batch.push(queued);
            }
        }
        // The next attempt must not reuse a manifest that lists the files of the appends just answered.
        if run.batch.len() < before && run.producer.is_some() {
            if run.is_surely_lacking(&view.table.metadata) {
                self.clean(&view.table, run, None).await;
            }
            run.producer = None;
            run.attempts.clear();
        }
        run.batch.is_empty()
    }

    /// Answers the callers, then cleans up. Callers do not wait for the cleanup.
    async fn succeed(&mut self, mut run: Run, table: LoadedTable) {
        self.see(table);
        // The response may contain a later snapshot, which another writer added meanwhile and which lists our
        // manifests.
        let manifest_list = run.landed(&self.shared.view());
        run.answer_committed();
        if let Some(manifest_list) = manifest_list {
            self.finish(&mut run, &manifest_list).await;
        }
        self.catalog.tidy().await;
    }

    /// Cleans up after the attempt that is in the table.
    async fn finish(&self, run: &mut Run, manifest_list: &str) {
        let table = Arc::clone(&self.shared.view().table);
        self.clean(&table, run, Some(manifest_list)).await;
        let won = run
            .attempts
            .iter_mut()
            .find(|attempt| attempt.manifest_list == manifest_list);
        if let Some(won) = won
            && let Some(expired) = won.expired.take()
        {
            let listed = std::mem::take(&mut won.listed);
            self.expiry.clean(ExpiredFiles {
                table,
                expired,
                listed,
            });
        }
    }

    /// Ends a run without further attempts: reloads the table if useful, and answers the callers.
    async fn give_up(&mut self, run: Run, mut failure: Failure) {
        let mut looked = true;
        if failure.asks_to_wait() {
            looked = !self.shared.is_stale();
        } else if self.shared.is_stale()
            && let Err(error) = self.refresh().await
        {
            looked = false;
            if let Failure::Ours(first) = failure {
                tracing::warn!(error = %first, "a commit attempt could not be made");
                failure = Failure::Catalogs(error);
            }
        }
        self.end(run, failure, looked).await;
    }

    /// Ends a run after the reload, if any. `looked` says whether the last loaded state is current.
    async fn end(&mut self, mut run: Run, failure: Failure, looked: bool) {
        if looked && self.settle(&mut run).await {
            return;
        }
        let table = Arc::clone(&self.shared.view().table);
        let surely_lacks = run.is_surely_lacking(&table.metadata);
        let known = looked && !self.unknown.is_open() && surely_lacks;
        // This holds for every answer of the catalog: a proxy may have delivered an attempt twice, and passed
        // on only the second answer.
        if looked || run.begun.is_none() {
            if surely_lacks {
                self.clean(&table, &run, None).await;
            }
        } else {
            self.leave(&run);
        }
        let cause = Arc::new(failure.into_error(known, run.sent, &table));
        for queued in run.batch {
            queued.answer(Err(shared_error(&cause)));
        }
    }

    /// Deletes metadata files of attempts that did not win. Without a winner, the table must [surely
    /// lack](Run::is_surely_lacking) the run, and nothing is deleted while an attempt may still land.
    async fn clean(&self, table: &LoadedTable, run: &Run, winner: Option<&str>) {
        let Some(producer) = &run.producer else {
            return;
        };
        if winner.is_none() && self.unknown.is_open() {
            return;
        }
        delete(table, producer.unused(&run.attempts, winner)).await;
    }

    /// Remembers the files of a run's attempts, to delete them after the next load.
    fn leave(&mut self, run: &Run) {
        if let (Some(producer), Some(begun)) = (&run.producer, run.begun)
            && self.left.len() < LEFT_MAX
        {
            self.left.push(Left {
                begun,
                snapshot_id: producer.snapshot_id(),
                paths: producer.unused(&run.attempts, None),
            });
        }
    }

    /// Deletes the remembered files after a load. Files that the table needs, or may need later, are kept.
    async fn clean_left(&mut self) {
        if self.left.is_empty() || self.unknown.is_open() {
            return;
        }
        let table = Arc::clone(&self.shared.view().table);
        for left in std::mem::take(&mut self.left) {
            if left.begun.is_remembered(&table.metadata, left.snapshot_id) {
                delete(&table, left.paths).await;
            }
        }
    }
}

impl Begun {
    /// Adds an attempt on this metadata to those `before`.
    fn on(metadata: &TableMetadata, before: Option<Self>) -> Self {
        let base = Base::of(metadata);
        let new = Self {
            table_id: metadata.uuid(),
            first: base,
            last: base,
        };
        before.map_or(new, |before| Self {
            last: before.last.later(base),
            ..before
        })
    }

    /// Whether the table lacks this snapshot and its history would show it if it had been added. A snapshot
    /// that landed and was expired, or was lost with another table of the same name, is no longer visible. A
    /// snapshot that was rolled back still is. An older copy of the table than an attempt's base cannot show
    /// it either.
    fn is_remembered(&self, metadata: &TableMetadata, snapshot_id: i64) -> bool {
        let history = History::of(metadata);
        self.table_id == metadata.uuid()
            && metadata.snapshot_by_id(snapshot_id).is_none()
            && history.covers(&self.first)
            && history.covers(&self.last)
    }
}

impl Run {
    fn producer_for(&mut self, table: &LoadedTable) -> &mut Producer {
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
            let ids = batch.iter().flat_map(|queued| queued.append.ids.iter().copied());
            // A replacement is alone in its batch.
            let removal = batch.iter().find_map(|queued| queued.removal.clone());
            Producer::new(metadata, groups.into_values().collect(), removal, ids.collect())
        })
    }

    /// Whether none of the attempts is in the table, as far as its history shows.
    fn is_surely_lacking(&self, metadata: &TableMetadata) -> bool {
        let snapshot_id = self.producer.as_ref().map_or(0, Producer::snapshot_id);
        self.begun
            .is_none_or(|begun| begun.is_remembered(metadata, snapshot_id))
    }

    /// The manifest list of the attempt that is in the table, if one is.
    fn landed(&self, view: &View) -> Option<String> {
        let id = self.producer.as_ref()?.snapshot_id();
        ancestry(&view.table.metadata)
            .find(|snapshot| snapshot.snapshot_id() == id)
            .map(|snapshot| snapshot.manifest_list().to_owned())
    }

    fn answer_committed(&mut self) {
        let snapshot_id = self.producer.as_ref().map_or(0, Producer::snapshot_id);
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
