//! The committer's task: takes what is queued, one commit at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::protocol::Protocol;
use super::queue::{Queued, out_of_time};

/// The state of a table's committer.
#[derive(Debug)]
pub(super) struct Worker {
    /// Held for as long as a commit lasts.
    protocol: Arc<Mutex<Protocol>>,
    interval: Duration,
    queue: mpsc::UnboundedReceiver<Queued>,
    /// Cancelled once commits must not wait for their turn.
    hurrying: CancellationToken,
}

impl Worker {
    pub(super) fn new(
        protocol: Arc<Mutex<Protocol>>,
        interval: Duration,
        queue: mpsc::UnboundedReceiver<Queued>,
        hurrying: CancellationToken,
    ) -> Self {
        Self {
            protocol,
            interval,
            queue,
            hurrying,
        }
    }

    /// Commits until the queue is closed and empty.
    pub(super) async fn run(mut self) {
        let mut not_before = Instant::now();
        while let Some(first) = self.queue.recv().await {
            self.keep_interval(not_before, first.deadline).await;
            let batch = self.take_with(first);
            if batch.is_empty() {
                continue;
            }
            // An interval beyond what the clock can tell is as good as none.
            not_before = Instant::now().checked_add(self.interval).unwrap_or(not_before);
            self.protocol.lock().await.commit_guarded(batch).await;
        }
    }

    /// Waits until `not_before`, but not once hurried, and not so long that the append that waits would run
    /// out of time: half of what it has left is kept for the commit.
    async fn keep_interval(&self, not_before: Instant, deadline: Instant) {
        let now = Instant::now();
        let latest = now + deadline.saturating_duration_since(now) / 2;
        let until = not_before.min(latest);
        if until > now {
            tokio::select! {
                () = self.hurrying.cancelled() => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }

    /// All that is queued by now and neither withdrawn nor out of time.
    fn take_with(&mut self, first: Queued) -> Vec<Queued> {
        let mut batch = Vec::new();
        let mut next = Some(first);
        while let Some(queued) = next {
            if queued.begin() {
                if queued.deadline > Instant::now() {
                    batch.push(queued);
                } else {
                    queued.answer(Err(out_of_time()));
                }
            }
            next = self.queue.try_recv().ok();
        }
        batch
    }
}
