//! Waits that differ from one process to the next.

use std::time::Duration;

use uuid::Uuid;

/// A random part of a time, in thousandths of it.
pub(crate) fn random_part(whole: Duration) -> Duration {
    let (random, _) = Uuid::new_v4().as_u64_pair();
    whole / 1000 * u32::try_from(random % 1001).unwrap_or(0)
}
