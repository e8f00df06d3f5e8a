//! One commit, with all its attempts, until every append in it has an answer.

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

/// Runs whose files are remembered to be deleted.
const LEFT_MAX: usize = 64;

/// For so long a look at the table is good for an attempt, where the catalog does not compare all of the metadata.
const FRESH_FOR: Duration = Duration::from_secs(2);
/// How long a commit waits for a look that it can do without.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(2);

/// What the table is taken for when an attempt is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// As it is now.
    Fresh,
    /// As it was last seen, which is new enough or newer than what is to be had.
    None,
    /// As it was last seen, since it could not be looked at.
    Failed,
}

/// What commits, one batch at a time, and what is known of the attempts so far.
#[derive(Debug)]
pub(super) struct Protocol {
    pub(super) catalog: Arc<dyn Catalog>,
    /// Makes the table anew when it was dropped under us, as a restart would.
    pub(super) spec: Option<TableSpec>,
    pub(super) config: CommitConfig,
    pub(super) shared: Arc<Shared>,
    /// Attempts whose outcome is not known.
    pub(super) unknown: UnknownAttempts,
    /// Files of attempts that were refused while the table could not be looked at.
    pub(super) left: Vec<Left>,
    pub(super) expiry: Expiry,
    /// Whether the last look at the table failed: it was told once then.
    pub(super) load_failing: bool,
    /// When the table was loaded last, unless a commit was sent since.
    pub(super) loaded: Option<Instant>,
}

/// Metadata files that nothing needs, if the table lacks the snapshot.
#[derive(Debug)]
pub(super) struct Left {
    begun: Begun,
    snapshot_id: i64,
    paths: Vec<String>,
}

/// Where a run's attempts began.
#[derive(Debug, Clone, Copy)]
struct Begun {
    table_id: Uuid,
    /// The base of the first one.
    first: Base,
    /// The latest base.
    last: Base,
}

/// The appends of one commit and what was tried for them.
struct Run {
    batch: Vec<Queued>,
    /// Latest deadline of the batch: no attempt is begun after it.
    deadline: Instant,
    /// Made at the first attempt, and anew when the batch shrinks.
    producer: Option<Producer>,
    /// What the producer's attempts wrote.
    attempts: Vec<AttemptFiles>,
    /// Attempts that the catalog saw.
    sent: u32,
    /// Where the table stood at these.
    begun: Option<Begun>,
}

impl Protocol {
    /// Commits a batch. A panic in it is its own end only: its callers are told as their appends are
    /// dropped, and the next batch begins with a fresh look at the table.
    pub(super) async fn commit_guarded(&mut self, batch: Vec<Queued>) {
        // The one thing that a commit changes besides the table is what is known of attempts, and
        // that is told to be in doubt.
        let caught = AssertUnwindSafe(self.commit(batch)).catch_unwind().await;
        if let Err(panic) = caught {
            tracing::error!(panic = panic_text(panic.as_ref()), "a commit panicked");
            self.mark_all_unknown();
        }
    }

    /// Commits a batch. Every append in it is answered when this returns.
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
                    // Whatever is said of this batch in the end, it is not from a fresh look.
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
                    // What it read of the table may be gone, because the table is, or because another
                    // writer went on and removed what it no longer needs.
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
                        // Some catalogs answer so to whoever lost a race.
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

    /// Looks at the table before an attempt, if that is needed or of use.
    ///
    /// # Errors
    /// When a look that is needed fails, or the catalog asks to wait.
    async fn look_before(&mut self, deadline: Instant) -> Result<Look> {
        // Whoever tags a snapshot, or sets a property, does not move the main branch, which is all that a catalog compares
        // with. So what is expired is chosen from the table as it is now.
        if self.shared.is_stale() || self.expiring().is_some() {
            self.refresh().await?;
        } else if !self.may_be_outdated() {
            return Ok(Look::None);
        } else {
            match self.try_refresh(deadline).await {
                Ok(true) => {}
                Ok(false) => return Ok(Look::None),
                Err(error) if asks_to_wait(&error) => return Err(error),
                // If the catalog is out of order, the attempt finds that out, and what to do about it.
                Err(error) => {
                    tracing::debug!(%error, "the table is taken as it was last seen");
                    return Ok(Look::Failed);
                }
            }
        }
        self.clean_left().await;
        Ok(Look::Fresh)
    }

    /// Whether somebody may have changed the table since it was last seen, without the catalog refusing a commit for it. A commit
    /// writes the main branch's reference anew, with the retention settings that it was seen with. The answer to a commit of ours is no
    /// look: under steady load the next one would always follow within any time that we let it last.
    fn may_be_outdated(&self) -> bool {
        let is_fresh = |loaded: Instant| loaded.elapsed() < FRESH_FOR;
        !self.catalog.compares_metadata() && !self.loaded.is_some_and(is_fresh)
    }

    /// What a commit on the table as last seen would expire.
    fn expiring(&self) -> Option<Expired> {
        // Nothing is forgotten while an outcome hangs on what the table remembers.
        if self.unknown.is_open() {
            return None;
        }
        let floor = self.unknown.floor();
        self.expiry.plan(&self.shared.view().table, floor.as_ref())
    }

    /// Loads the table afresh. Attempts whose parent is no longer current can never land.
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

    /// Loads the table for what others changed without moving the main branch, which is no reason to wait for long. Whether it was
    /// seen: not in an older copy, as of a catalog whose reads lag, than the one it was seen in last.
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

    /// Whether this state of the table is behind what it is now. A snapshot of another branch moves it on, too: it takes the
    /// sequence number that an attempt's snapshot was to have.
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
        // What can still land may have done so by the next look.
        self.shared.set_stale(self.unknown.is_open());
    }

    /// An attempt on this table may have been taken or not.
    fn mark_unknown(&mut self, base: &LoadedTable) {
        self.unknown.add(&base.metadata);
        self.shared.set_stale(true);
    }

    /// A commit ended at an unknown point: the table as last seen may be its base.
    fn mark_all_unknown(&mut self) {
        let table = Arc::clone(&self.shared.view().table);
        self.mark_unknown(&table);
    }

    /// Answers the appends that need no commit (any more). True if none is left.
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
        // The others must not go out with a manifest that has the files of those just answered.
        if run.batch.len() < before && run.producer.is_some() {
            if run.is_surely_lacking(&view.table.metadata) {
                self.clean(&view.table, run, None).await;
            }
            run.producer = None;
            run.attempts.clear();
        }
        run.batch.is_empty()
    }

    /// The callers first: what is left to clean up is no concern of theirs.
    async fn succeed(&mut self, mut run: Run, table: LoadedTable) {
        self.see(table);
        // The answer may tell of a later snapshot, which somebody else added meanwhile and which lists our manifests.
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

    /// No more attempts: finds out what is known, and says so.
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

    /// The same once it was tried to look at the table; whether it was `looked` at.
    async fn end(&mut self, mut run: Run, failure: Failure, looked: bool) {
        if looked && self.settle(&mut run).await {
            return;
        }
        let table = Arc::clone(&self.shared.view().table);
        let surely_lacks = run.is_surely_lacking(&table.metadata);
        let known = looked && !self.unknown.is_open() && surely_lacks;
        // Whatever was answered: what lies between us and the catalog may have delivered an attempt twice, and passed on the
        // second answer.
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

    /// Deletes metadata files of attempts that did not win; without a winner, of a run that the table [surely lacks](Run::is_surely_lacking).
    /// None while an attempt may still land.
    async fn clean(&self, table: &LoadedTable, run: &Run, winner: Option<&str>) {
        let Some(producer) = &run.producer else {
            return;
        };
        if winner.is_none() && self.unknown.is_open() {
            return;
        }
        delete(table, producer.unused(&run.attempts, winner)).await;
    }

    /// Remembers what the attempts of a run wrote, to be deleted after the next look.
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

    /// Deletes what was left, after a look at the table. What the table may need, or may need one day, stays.
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
    /// With an attempt on this metadata, after those `before`.
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

    /// Whether the table, which lacks this snapshot, would know of it if it had been added since. One that landed and was
    /// expired, or went with another table that had the name, cannot be seen any more; one that was rolled back is still there.
    /// Nor can one in an older copy of the table than an attempt was made on.
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

    /// Whether none of the attempts is in the table, as far as it remembers.
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
