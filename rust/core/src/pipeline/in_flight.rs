//! Back-pressure: how many bytes of payload may be in flight at once.

use tokio::sync::{Semaphore, SemaphorePermit};

use super::call::Call;
use crate::error::{Error, ErrorKind, Result};

/// Bytes per permit. A semaphore acquires at most a 32-bit number of permits at a time.
const UNIT_BYTES: usize = 1024;

/// The payload bytes that further calls may bring in.
#[derive(Debug)]
pub(super) struct InFlight {
    bytes_max: usize,
    units: Semaphore,
}

/// A call's share, returned on drop.
#[derive(Debug)]
pub(super) struct Share<'a> {
    _units: Option<SemaphorePermit<'a>>,
    /// Whether the call had to wait for it.
    pub waited: bool,
}

impl InFlight {
    /// `bytes_max` 0 means no limit.
    pub(super) fn new(bytes_max: usize) -> Self {
        let units = units(bytes_max) as usize;
        Self {
            bytes_max,
            units: Semaphore::new(units.min(Semaphore::MAX_PERMITS)),
        }
    }

    /// Acquires a payload's share, waiting if necessary. A payload larger than the limit runs alone.
    ///
    /// # Errors
    /// `Cancelled`, retryable, when the call ends before its turn.
    pub(super) async fn enter(&self, payload_bytes: usize, call: &Call) -> Result<Share<'_>> {
        if self.bytes_max == 0 {
            return Ok(Share {
                _units: None,
                waited: false,
            });
        }
        let wanted = units(payload_bytes.min(self.bytes_max));
        if let Ok(units) = self.units.try_acquire_many(wanted) {
            return Ok(Share {
                _units: Some(units),
                waited: false,
            });
        }
        match call.wait(self.units.acquire_many(wanted)).await {
            Some(Ok(units)) => Ok(Share {
                _units: Some(units),
                waited: true,
            }),
            Some(Err(cause)) => {
                Err(Error::new(ErrorKind::Shutdown, "the exporter is shutting down").because(cause))
            }
            None => Err(self.no_turn()),
        }
    }

    fn no_turn(&self) -> Error {
        let message = format!(
            "the calls under way hold limits.in_flight_bytes_max ({} bytes) and this one's time ran out before its turn; raise it if memory allows",
            self.bytes_max
        );
        Error::new(ErrorKind::Cancelled, message)
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}
