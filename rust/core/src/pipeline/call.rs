//! What bounds a call in time.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Export;
use crate::error::{Error, ErrorKind, Result};

/// One call's cancel token and deadline.
#[derive(Debug)]
pub(super) struct Call {
    cancel: CancellationToken,
    deadline: Instant,
}

impl Call {
    /// Checks that the parts make up the payload, and starts the clock.
    ///
    /// # Errors
    /// `InvalidArgument` when they do not; as [`Call::proceed`].
    pub(super) fn new(export: &Export<'_>) -> Result<Self> {
        let total: u64 = export
            .parts
            .iter()
            .fold(0, |sum: u64, part| sum.saturating_add(part.len));
        if total != export.payload.len() as u64 {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!(
                    "the lengths of the request's parts add up to {total} bytes, the payload has {}",
                    export.payload.len()
                ),
            ));
        }
        let now = Instant::now();
        let call = Self {
            cancel: export.cancel.clone(),
            // A timeout too large for the clock is as good as a year.
            deadline: now
                .checked_add(export.timeout)
                .unwrap_or(now + Duration::from_secs(365 * 86_400)),
        };
        call.proceed()?;
        Ok(call)
    }

    /// No commit is begun after it.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Comes when the caller gives up.
    pub(super) async fn cancelled(&self) {
        self.cancel.cancelled().await;
    }

    /// Asked between steps.
    ///
    /// # Errors
    /// `Cancelled` when the time is over or the caller gave up. The time comes first: hosts cancel when
    /// it is over, and what helps then is more of it.
    pub(super) fn proceed(&self) -> Result<()> {
        if Instant::now() >= self.deadline {
            return Err(Error::new(
                ErrorKind::Cancelled,
                "the time allowed ran out before the commit was begun; raise the exporter's timeout if this repeats",
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
