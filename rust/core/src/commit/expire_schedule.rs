//! When a table's committer expires snapshots, and when it skips that.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::expire_blocker::{Blocker, blocker, is_blocked};
use super::expire_plan::{Cleaner, Expired, Rules, expirable};
use super::expired_files::ExpiredFiles;
use super::history::Base;
use super::ids::Window;
use super::receipts::Receipts;
use crate::catalog::LoadedTable;
use crate::clock::now_ms;
use crate::config::CommitConfig;

/// How long commits skip expiry after one that failed. A catalog may not allow us to expire snapshots, or may
/// not be able to.
const PAUSE: Duration = Duration::from_secs(600);
/// Clock differences up to this cause no warning.
const CLOCK_SKEW_MAX_MS: i64 = 10 * 60_000;

/// A committer's expiry of snapshots.
#[derive(Debug)]
pub(super) struct Expiry {
    window: Window,
    receipts: Arc<Receipts>,
    /// `None` where nothing is expired.
    cleaner: Option<Cleaner>,
    /// Receives files to delete; `None` where the catalog's service deletes them.
    leftovers: Option<mpsc::Sender<ExpiredFiles>>,
    not_before: Option<Instant>,
    /// Whether it was logged that the newest snapshot's timestamp is far ahead of our clock.
    warned_of_clock: AtomicBool,
    /// Whether it was logged that receipts of a later version hold expiry up.
    warned_of_later_version: AtomicBool,
    blocked: Mutex<Blocked>,
}

/// Whether something blocks expiry, as last looked at.
#[derive(Debug, Default)]
struct Blocked {
    looked: Option<Instant>,
    /// What was found last; it was logged.
    by: Option<Blocker>,
}

impl Expiry {
    /// `by_service` says that the catalog's service deletes unreferenced files.
    pub(super) fn new(
        config: &CommitConfig,
        by_service: bool,
        receipts: Arc<Receipts>,
        leftovers: mpsc::Sender<ExpiredFiles>,
    ) -> Self {
        let cleaner = if by_service {
            Cleaner::Service(Rules {
                max_age_ms: config.max_snapshot_age_ms(),
                min_to_keep: config.dedup_snapshots,
            })
        } else {
            Cleaner::Us
        };
        Self {
            window: Window::new(config),
            receipts,
            cleaner: config.expire_snapshots.then_some(cleaner),
            leftovers: (!by_service).then_some(leftovers),
            not_before: None,
            warned_of_clock: AtomicBool::new(false),
            warned_of_later_version: AtomicBool::new(false),
            blocked: Mutex::default(),
        }
    }

    /// What the next commit on this table expires. Snapshots after `floor` are kept.
    pub(super) fn plan(&self, table: &LoadedTable, floor: Option<&Base>) -> Option<Expired> {
        let cleaner = self.cleaner?;
        let now_ms = now_ms();
        let is_held_up = self.receipts.is_any_for_later_version();
        if Rules::of(&table.metadata, cleaner).is_some() {
            self.check_clock(table, now_ms);
            if is_held_up {
                self.tell_of_later_version(table);
            }
        }
        // One deletion at a time, so slow deletion slows down expiry. Receipts that wait prevent expiry, whoever
        // can commit them: they are recognised by all snapshots since they were made, however old.
        let is_sweeping = |leftovers: &mpsc::Sender<ExpiredFiles>| leftovers.capacity() == 0;
        if self.leftovers.as_ref().is_some_and(is_sweeping)
            || self.not_before.is_some_and(|until| Instant::now() < until)
            || self.receipts.is_any_open()
            || is_held_up
        {
            return None;
        }
        let expired = expirable(&table.metadata, self.window, floor, cleaner, now_ms);
        if expired.is_none() {
            self.check_blocked(table, floor, cleaner, now_ms);
        }
        expired
    }

    /// Warns once of what has blocked expiry for long.
    fn check_blocked(&self, table: &LoadedTable, floor: Option<&Base>, cleaner: Cleaner, now_ms: i64) {
        let mut last = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        // Not at each commit: the references have to be read.
        if last.looked.is_some_and(|at| at.elapsed() < PAUSE)
            || !is_blocked(&table.metadata, self.window, floor, cleaner, now_ms)
        {
            return;
        }
        last.looked = Some(Instant::now());
        let Some(found) = blocker(&table.metadata, self.window, floor, cleaner, now_ms) else {
            return;
        };
        if last.by.as_ref() != Some(&found) {
            let also = match cleaner {
                Cleaner::Us => ", and its small files are not merged",
                Cleaner::Service(_) => "",
            };
            tracing::warn!(
                table = %table.ident,
                "old snapshots are not expired because of {found}; the table's metadata grows with each commit{also}. {}",
                found.remedy()
            );
        }
        last.by = Some(found);
    }

    /// Warns once if another writer's clock was, or ours is, far off. A snapshot's timestamp is never before
    /// its parent's. So after a snapshot from the future, later snapshots look young, and are not expired until
    /// that time.
    fn check_clock(&self, table: &LoadedTable, now_ms: i64) {
        let Some(current) = table.metadata.current_snapshot() else {
            return;
        };
        let ahead_ms = current.timestamp_ms().saturating_sub(now_ms);
        if ahead_ms <= CLOCK_SKEW_MAX_MS || self.warned_of_clock.swap(true, Ordering::Relaxed) {
            return;
        }
        tracing::warn!(
            table = %table.ident,
            "the table's newest snapshot is stamped {} minutes ahead of this host's clock; until then this and later ones are not expired, and the \
             table's metadata grows with each commit. Correct this clock, or the one of the writer that was ahead; in that case, \
             expire with an engine: expire_snapshots with older_than in the future and retain_last 500",
            ahead_ms / 60_000
        );
    }

    /// Warns once that receipts of a later version hold expiry up.
    fn tell_of_later_version(&self, table: &LoadedTable) {
        if self.warned_of_later_version.swap(true, Ordering::Relaxed) {
            return;
        }
        tracing::warn!(
            table = %table.ident,
            "old snapshots are not expired while receipts of a newer version of otlp2iceberg wait, which this version cannot \
             read; the table's metadata grows with each commit. Run the newer version, which commits them"
        );
    }

    /// Records that a commit with expiry was permanently refused, or that its outcome is unknown.
    pub(super) fn pause(&mut self, table: &LoadedTable) {
        tracing::info!(
            table = %table.ident,
            "a commit that expires old snapshots failed; the next ones for {PAUSE:?} go without"
        );
        self.not_before = Instant::now().checked_add(PAUSE);
    }

    /// Schedules the deletion of files that a successful commit made unreachable. Ends a pause: only its
    /// answer was lost.
    pub(super) fn clean(&mut self, leftover: ExpiredFiles) {
        self.not_before = None;
        if let Some(leftovers) = &self.leftovers
            && leftovers.try_send(leftover).is_err()
        {
            tracing::debug!("files of expired snapshots are left behind");
        }
    }

    /// Stops expiry. The task that deletes files ends after its pending work.
    pub(super) fn stop(&mut self) {
        self.cleaner = None;
        self.leftovers = None;
    }
}
