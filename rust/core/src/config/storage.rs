//! `storage`: how the tables' files are reached.

use serde::Deserialize;

/// `storage`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorageConfig {}
