//! The door of one process: what it says to any server goes through it.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, watch};

/// Shared by the faultboxes before the servers that one process talks to. Cutting it is as good as
/// killing the process: nobody ever hears of it again.
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
    /// A gate that a request cuts when it stalls.
    #[must_use]
    pub fn cut_by_stall() -> Self {
        Self::with(true)
    }

    /// A gate at which a stalled request waits alone.
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

    /// Lets nothing pass any more.
    pub fn cut(&self) {
        self.cut.send_replace(true);
    }

    /// Returns once it is cut.
    pub async fn cut_off(&self) {
        // The sender lives as long as the gate.
        let _ = self.cut.subscribe().wait_for(|cut| *cut).await;
    }

    /// Lets what is stalled go on.
    pub fn release(&self) {
        self.released.send_modify(|count| *count += 1);
    }

    /// How many requests have stalled.
    pub fn stalls(&self) -> usize {
        self.stalls.load(Ordering::SeqCst)
    }

    /// Returns once a request stalls, or did before.
    pub async fn stalled(&self) {
        self.stalled.notified().await;
    }

    /// A request is at its point: it goes on when released.
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
