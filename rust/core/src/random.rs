//! Random waits, which differ between processes.

use std::time::Duration;

use uuid::Uuid;

/// A random part of a duration, in steps of a thousandth.
pub(crate) fn random_part(whole: Duration) -> Duration {
    let (random, _) = Uuid::new_v4().as_u64_pair();
    whole / 1000 * u32::try_from(random % 1001).unwrap_or(0)
}
