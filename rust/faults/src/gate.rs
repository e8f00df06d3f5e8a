//! The gate of one process: all its requests to servers pass through it.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, watch};

/// Shared by the faultboxes in front of the servers of one process. Cutting it is equivalent to killing the
/// process: nothing it sends arrives any more.
#[derive(Debug)]
pub struct Gate {
    cut: watch::Sender<bool>,
    /// Whether a stalled request cuts the gate.
    cut_by_stall: bool,
    stalls: AtomicUsize,
    stalled: Notify,
    released: watch::Sender<u64>,
}

impl Gate {
    /// A gate that is cut when a request stalls.
    #[must_use]
    pub fn cut_by_stall() -> Self {
        Self::with(true)
    }

    /// A gate at which only the stalled request waits.
    #[must_use]
    pub fn open() -> Self {
        Self::with(false)
    }

    fn with(cut_by_stall: bool) -> Self {
        Self {
            cut: watch::Sender::new(false),
            cut_by_stall,
            stalls: AtomicUsize::new(0),
            stalled: Notify::new(),
            released: watch::Sender::new(0),
        }
    }

    /// Blocks everything from now on.
    pub fn cut(&self) {
        self.cut.send_replace(true);
    }

    /// Returns once it is cut.
    pub async fn cut_off(&self) {
        // The sender lives as long as the gate.
        let _ = self.cut.subscribe().wait_for(|cut| *cut).await;
    }

    /// Releases stalled requests.
    pub fn release(&self) {
        self.released.send_modify(|count| *count += 1);
    }

    /// The number of requests that have stalled.
    pub fn stalls(&self) -> usize {
        self.stalls.load(Ordering::SeqCst)
    }

    /// Returns once a request has stalled.
    pub async fn stalled(&self) {
        self.stalled.notified().await;
    }

    /// Stalls a request at its point until it is released.
    pub(crate) async fn stall(&self) {
        let mut released = self.released.subscribe();
        self.stalls.fetch_add(1, Ordering::SeqCst);
        if self.cut_by_stall {
            self.cut();
        }
        self.stalled.notify_one();
        let _ = released.changed().await;
    }
}
