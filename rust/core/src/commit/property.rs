//! Sets a table property once, before files that need it are added.

use iceberg::{TableRequirement, TableUpdate};

use super::Committer;
use super::idempotent::{Attempted, IdempotentCommit};
use crate::error::Result;

impl Committer {
    /// Sets a property that the table does not have. If another writer set it meanwhile, that value stays;
    /// [`Committer::table`] then shows it.
    ///
    /// # Errors
    /// As [`crate::catalog::Catalog::load`] and [`crate::catalog::Catalog::commit`].
    pub async fn set_property(&self, key: &str, value: &str) -> Result<()> {
        let mut protocol = self.protocol.lock().await;
        let mut change = IdempotentCommit::new(&protocol.config, &self.table().metadata);
        loop {
            protocol.refresh().await?;
            let base = self.table();
            if base.metadata.properties().contains_key(key) {
                return Ok(());
            }
            let requirements = vec![TableRequirement::UuidMatch {
                uuid: base.metadata.uuid(),
            }];
            let updates = vec![TableUpdate::SetProperties {
                updates: [(key.to_owned(), value.to_owned())].into(),
            }];
            let catalog = protocol.catalog.as_ref();
            match change.attempt(catalog, &base, requirements, updates).await? {
                Attempted::Committed(_) => {
                    tracing::info!(table = %base.ident, property = key, "a property of the table is set");
                    return protocol.refresh().await;
                }
                Attempted::Refused(error) => return Err(error),
                Attempted::Again => {}
            }
        }
    }
}
