//! The time limits of a call.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::deadline;
use crate::error::{Error, ErrorKind, Result};

/// One call's cancel token and deadline.
#[derive(Debug)]
pub(super) struct Call {
    cancel: CancellationToken,
    deadline: Instant,
}

impl Call {
    /// Starts the clock.
    ///
    /// # Errors
    /// As [`Call::proceed`].
    pub(super) fn new(cancel: &CancellationToken, timeout: Duration) -> Result<Self> {
        let call = Self {
            cancel: cancel.clone(),
            deadline: deadline::after(timeout),
        };
        call.proceed()?;
        Ok(call)
    }

    /// No commit begins after it.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Waits for a future. `None` when the call ends first.
    pub(super) async fn wait<T>(&self, awaited: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            came = timeout_at(self.deadline, awaited) => came.ok(),
            () = self.cancel.cancelled() => None,
        }
    }

    /// Checks whether the call may continue; called between steps.
    ///
    /// # Errors
    /// `Cancelled` when the time is over or the caller gave up. The time is checked first: hosts cancel when
    /// it is over, and the message should say that more time helps.
    pub(super) fn proceed(&self) -> Result<()> {
        if Instant::now() >= self.deadline {
            return Err(Error::new(
                ErrorKind::Cancelled,
                "the time allowed ran out before the commit was begun; if this repeats, allow more (the exporter's timeout, or the deadline of a client that waits)",
            ));
        }
        if self.cancel.is_cancelled() {
            return Err(Error::new(
                ErrorKind::Cancelled,
                "cancelled before the commit was begun",
            ));
        }
        Ok(())
    }
}
