//! Dead letters: left-out data, kept as OTLP bytes with the reason, to be sent again after a fix.
//!
//! An object holds a valid `Export*ServiceRequest` with the records that were left out, under their own
//! resource and scope, with unchanged bytes. A whole request that cannot be read is kept as received. A JSON
//! file beside the object gives the reason. Names are derived from the request ids, so a retried call writes
//! the same objects. Everything is durable before the call is answered.

mod collect;
mod object;
mod select;
mod store;
mod time;

use crate::config::Config;
use crate::error::Result;

pub(super) use self::collect::Collector;
pub(super) use self::select::{Selection, Takes};
pub(super) use self::store::{Kept, Store};

/// Opens the dead-letter store, if one is configured.
///
/// # Errors
/// `Config` naming `dead_letter.path` when it cannot work.
pub(super) fn open(config: &Config) -> Result<Option<Store>> {
    match &config.dead_letter.path {
        Some(path) => Store::open(path, config).map(Some),
        None => Ok(None),
    }
}
