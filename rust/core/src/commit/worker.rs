//! The committer's task: commits queued appends, one commit at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::protocol::Protocol;
use super::queue::{Queued, out_of_time};
use crate::config::CommitConfig;

/// The state of a table's committer task.
#[derive(Debug)]
pub(super) struct Worker {
    /// Held during each commit.
    protocol: Arc<Mutex<Protocol>>,
    interval: Duration,
    queue: mpsc::UnboundedReceiver<Queued>,
    /// Cancelled once commits must no longer wait for the interval.
    shutting_down: CancellationToken,
}

impl Worker {
    pub(super) fn new(
        protocol: Arc<Mutex<Protocol>>,
        interval: Duration,
        queue: mpsc::UnboundedReceiver<Queued>,
        shutting_down: CancellationToken,
    ) -> Self {
        Self {
            protocol,
            interval,
            queue,
            shutting_down,
        }
    }

    /// Commits until the queue is closed and empty.
    pub(super) async fn run(mut self) {
        let mut not_before = Instant::now();
        while let Some(first) = self.queue.recv().await {
            let queued = self.keep_interval(not_before, first).await;
            let batch = self.take_with(queued);
            if batch.is_empty() {
                continue;
            }
            // An interval beyond the range of the clock counts as none.
            not_before = Instant::now().checked_add(self.interval).unwrap_or(not_before);
            self.protocol.lock().await.commit_guarded(batch).await;
        }
    }

    /// Waits until `not_before` and returns the appends that arrived meanwhile. Ends early at shutdown, when
    /// too much is waiting, or when half of the first append's remaining time has passed. The other half is
    /// kept for the commit.
    async fn keep_interval(&mut self, not_before: Instant, first: Queued) -> Vec<Queued> {
        let now = Instant::now();
        let latest = now + first.deadline.saturating_duration_since(now) / 2;
        let until = not_before.min(latest);
        let mut bytes = first.append.request_bytes;
        let mut queued = vec![first];
        while until > Instant::now() && bytes < CommitConfig::WAITING_BYTES_MAX {
            let next = tokio::select! {
                biased;
                () = self.shutting_down.cancelled() => break,
                () = tokio::time::sleep_until(until) => break,
                next = self.queue.recv() => next,
            };
            let Some(next) = next else {
                break;
            };
            bytes = bytes.saturating_add(next.append.request_bytes);
            queued.push(next);
        }
        queued
    }

    /// Takes these and all appends queued so far, except those withdrawn or out of time.
    fn take_with(&mut self, mut queued: Vec<Queued>) -> Vec<Queued> {
        while let Ok(next) = self.queue.try_recv() {
            queued.push(next);
        }
        let mut batch = Vec::with_capacity(queued.len());
        for queued in queued.into_iter().filter(Queued::begin) {
            if queued.deadline > Instant::now() {
                batch.push(queued);
            } else {
                queued.answer(Err(out_of_time()));
            }
        }
        batch
    }
}
