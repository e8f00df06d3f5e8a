//! The commit protocol: one commit with all its attempts, until every append in it has an answer.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use tokio::time::Instant;

use super::Shared;
use super::backoff::Backoff;
use super::cleanup::PendingCleanup;
use super::expire_plan::Expired;
use super::expire_schedule::Expiry;
use super::failure::{Failure, asks_to_wait, shared_error};
use super::queue::Queued;
use super::recognition::{history_for, not_settled, part_repeated, settled};
use super::refresh::BaseState;
use super::retry_rules::RetryRules;
use super::run::{AttemptBases, Run};
use super::unknown_attempts::UnknownAttempts;
use crate::catalog::{Catalog, CommitOutcome, LoadedTable, TableSpec};
use crate::config::CommitConfig;
use crate::error::{Error, ErrorKind, panic_text};

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
    /// Files of attempts that may be in the table, as far as is known, or may still land.
    pub(super) pending_cleanup: Vec<PendingCleanup>,
    pub(super) expiry: Expiry,
    /// Whether the last reload failed. The failure is logged as a warning only once.
    pub(super) load_failing: bool,
    /// When the table was last loaded. `None` once a commit was sent after that.
    pub(super) loaded: Option<Instant>,
}

/// What follows an attempt.
enum Step {
    /// Nothing: every append has an answer.
    Done,
    /// Another attempt, which may succeed, if time and rules allow it.
    Retry(Error),
    /// No further attempt.
    GiveUp(Failure),
    /// No further attempt, and the table could not be reloaded.
    End(Failure),
}

/// What is known of an attempt once it is being made. It decides what follows a failure.
struct Attempted {
    base: Arc<LoadedTable>,
    state: BaseState,
    /// Whether it expires snapshots.
    expires: bool,
    begun: Instant,
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
        self.clean_pending().await;
    }

    async fn commit_distinct(&mut self, batch: Vec<Queued>) {
        let mut run = Run::new(batch);
        let mut failure: Option<Error> = None;
        let rules = RetryRules::of(&self.config, &self.shared.view().table.metadata);
        let mut backoff = Backoff::new(rules, run.deadline);
        while backoff.allows_another().await {
            match self.attempt(&mut run, &mut backoff).await {
                Step::Done => return,
                Step::Retry(error) => failure = Some(error),
                Step::GiveUp(failure) => return self.give_up(run, failure).await,
                Step::End(failure) => return self.end(run, failure, false).await,
            }
        }
        let failure = failure.unwrap_or_else(|| Error::new(ErrorKind::Cancelled, "the time allowed ran out"));
        self.give_up(run, Failure::Catalogs(failure)).await;
    }

    /// Makes one attempt, and tells the backoff how it failed if another may follow.
    async fn attempt(&mut self, run: &mut Run, backoff: &mut Backoff) -> Step {
        let begun = Instant::now();
        let state = match self.prepare_base(run.deadline, run.has_waited).await {
            Ok(state) => state,
            Err(error) => return self.after_failed_load(run, backoff, error),
        };
        if self.settle(run).await {
            return Step::Done;
        }
        let view = self.shared.view();
        let expired = if state == BaseState::Fresh {
            self.expiring()
        } else {
            None
        };
        let attempted = Attempted {
            base: Arc::clone(&view.table),
            state,
            expires: expired.is_some(),
            begun,
        };
        let base = &attempted.base;
        let built = run
            .producer_for(base)
            .attempt(base, expired, &view.carried, &self.shared.odd_manifests)
            .await;
        let attempt = match built {
            Ok(attempt) => attempt,
            Err(error) => return self.after_failed_build(&attempted, backoff, error).await,
        };
        run.attempts.push(attempt.files);
        run.sent += 1;
        run.bases = Some(AttemptBases::on(&base.metadata, run.bases));
        self.loaded = None;
        let outcome = self
            .catalog
            .commit(base, attempt.requirements, attempt.updates)
            .await;
        match outcome {
            CommitOutcome::Committed(table) => {
                self.succeed(run, table).await;
                Step::Done
            }
            CommitOutcome::Refused { conflict, error } => {
                self.refused(&attempted, backoff, conflict, error).await
            }
            CommitOutcome::Unknown(error) => self.in_doubt(&attempted, run, backoff, error),
        }
    }

    /// What follows when the table could not be loaded.
    fn after_failed_load(&self, run: &mut Run, backoff: &mut Backoff, error: Error) -> Step {
        run.has_waited = error.is_throttled();
        // The final answer to this batch must not rely on the last loaded state. Throttling tells nothing about
        // the table.
        if !run.has_waited {
            self.shared.set_stale(true);
        }
        backoff.failed(error.retry_after());
        Step::Retry(error)
    }

    /// What follows when the attempt's manifests could not be made. A file that it had to read may be gone.
    /// Either the table was dropped, or another writer committed and removed what it no longer needed.
    async fn after_failed_build(
        &mut self,
        attempted: &Attempted,
        backoff: &mut Backoff,
        error: Error,
    ) -> Step {
        let base = &attempted.base;
        self.shared.set_stale(true);
        if self.is_behind(base).await.unwrap_or(false) {
            tracing::debug!(table = %base.ident, %error, "the table changed while an attempt was made");
            backoff.lost_race(attempted.begun.elapsed());
            return Step::Retry(error);
        }
        Step::GiveUp(Failure::Ours(error))
    }

    /// What follows when the catalog refused the attempt.
    async fn refused(
        &mut self,
        attempted: &Attempted,
        backoff: &mut Backoff,
        conflict: bool,
        error: Error,
    ) -> Step {
        let base = &attempted.base;
        tracing::debug!(table = %base.ident, %error, conflict, "a commit attempt was refused");
        // The next attempt looks at the table first: this may be the answer to a second delivery.
        self.shared.set_stale(true);
        if conflict {
            backoff.lost_race(attempted.begun.elapsed());
            return Step::Retry(error);
        }
        if error.is_throttled() {
            return throttled(error, backoff);
        }
        if attempted.expires {
            self.expiry.pause(base);
        }
        let step = self.after_refusal(attempted, error).await;
        if matches!(step, Step::Retry(_)) {
            backoff.lost_race(attempted.begun.elapsed());
        }
        step
    }

    /// What follows a refusal that is no conflict. After an attempt that expires snapshots, expiry is paused by
    /// now, so the next attempt goes without.
    async fn after_refusal(&mut self, attempted: &Attempted, error: Error) -> Step {
        if asks_to_wait(&error) {
            return Step::GiveUp(Failure::Catalogs(error));
        }
        if attempted.state == BaseState::Failed {
            return Step::End(Failure::Catalogs(error));
        }
        match self.is_behind(&attempted.base).await {
            // Some catalogs return this error for a lost race. A catalog may forbid the expiry alone.
            Ok(behind) if behind || attempted.expires => Step::Retry(error),
            Ok(_) => Step::GiveUp(Failure::Catalogs(error)),
            Err(_) => Step::End(Failure::Catalogs(error)),
        }
    }

    /// What follows when the attempt's outcome is unknown.
    fn in_doubt(
        &mut self,
        attempted: &Attempted,
        run: &mut Run,
        backoff: &mut Backoff,
        error: Error,
    ) -> Step {
        let base = &attempted.base;
        if std::mem::replace(&mut run.is_in_doubt, true) {
            tracing::debug!(table = %base.ident, %error, "the outcome of another attempt is unknown");
        } else {
            tracing::warn!(table = %base.ident, %error, "the outcome of a commit attempt is unknown");
        }
        self.mark_unknown(base);
        // Some catalogs answer every expiry with 5xx.
        if attempted.expires {
            self.expiry.pause(base);
        }
        backoff.failed(error.retry_after());
        Step::Retry(error)
    }

    /// What a commit on the table as last loaded would expire.
    pub(super) fn expiring(&self) -> Option<Expired> {
        // Nothing is expired while resolving an unknown outcome depends on the table's history.
        if self.unknown.is_open() {
            return None;
        }
        let floor = self.unknown.floor();
        self.expiry.plan(&self.shared.view().table, floor.as_ref())
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
    async fn settle(&mut self, run: &mut Run) -> bool {
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
            // The table was loaded after each of them.
            self.clean_lost(run, true).await;
            run.producer = None;
            run.attempts.clear();
        }
        run.batch.is_empty()
    }

    /// Answers the callers, then cleans up. Callers do not wait for the cleanup.
    async fn succeed(&mut self, run: &mut Run, table: LoadedTable) {
        self.set_loaded(table);
        // The response may contain a later snapshot, which another writer added meanwhile and which lists our
        // manifests.
        let manifest_list = run.landed(&self.shared.view());
        run.answer_committed();
        if let Some(manifest_list) = manifest_list {
            self.finish(run, &manifest_list).await;
        }
        self.catalog.tidy().await;
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
        let known = looked && !self.unknown.is_open() && run.is_surely_lacking(&table.metadata);
        // This holds for every answer of the catalog: a proxy may have delivered an attempt twice, and passed
        // on only the second answer.
        self.clean_lost(&run, looked).await;
        let cause = Arc::new(failure.into_error(known, run.sent, &table));
        for queued in run.batch {
            queued.answer(Err(shared_error(&cause)));
        }
    }
}

/// What follows an attempt that the catalog throttled. Nothing was committed. The table is not looked at before
/// the wait is over, since that would be one more request. The catalog may ask for a longer wait than ours: that
/// is left to the host.
fn throttled(error: Error, backoff: &mut Backoff) -> Step {
    if asks_to_wait(&error) {
        return Step::GiveUp(Failure::Catalogs(error));
    }
    backoff.failed(None);
    Step::Retry(error)
}
