//! The tables' committers: opened on a table's first write, then kept.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::future::join_all;
use iceberg::TableIdent;

use super::destination::Destination;
use super::{Pipeline, ignored_settings};
use crate::catalog::{self, LoadedTable};
use crate::commit::{Committer, Wanted};
use crate::config::OnFailure;
use crate::error::{Error, ErrorKind, Result, RetryClass};
use crate::signal::Table;

impl Pipeline {
    /// Loads the existing tables concurrently, so that the first call does not have to. No table is created.
    /// An unreachable table is left to the first call that needs it.
    pub async fn warm(&self) {
        let closed = Table::ALL
            .into_iter()
            .filter(|table| self.destinations[*table as usize].get().is_none());
        let warm = closed.map(|table| async move {
            if !self.catalog.keeps_tables() {
                // Needs no catalog request: the table is its definition.
                let _ = self.destination(table).await;
            } else if let Ok(there) = self.catalog.load(&self.ident(table)).await {
                // The call that meets the failure again reports it.
                let _ = self.destination_on(table, Some(there)).await;
            }
        });
        join_all(warm).await;
    }

    /// The table's committer, opened on first use.
    pub(super) async fn destination(&self, table: Table) -> Result<&Destination> {
        self.destination_on(table, None).await
    }

    /// As [`Pipeline::destination`], on the table if it was just `loaded`.
    async fn destination_on(&self, table: Table, loaded: Option<LoadedTable>) -> Result<&Destination> {
        let open = || async {
            let tables = &self.config.tables;
            if !self.catalog.keeps_tables() {
                let spec = catalog::table_spec(&self.config, table)?;
                let defined = self.catalog.ensure(&self.ident(table), Some(spec)).await?;
                return Ok(Destination::Files(Arc::new(defined)));
            }
            let spec = tables
                .auto_create
                .then(|| catalog::table_spec(&self.config, table))
                .transpose()?;
            let wanted = tables.auto_evolve.then(|| tables.schema(table)).transpose()?;
            let catalog = Arc::clone(&self.catalog);
            let wanted = wanted.as_ref().map(|schema| Wanted {
                schema,
                attributes: tables.attribute_columns.of(table),
            });
            let config = self.config.commit.clone();
            let committer = match loaded {
                Some(loaded) => Committer::on(catalog, loaded, spec, wanted, config).await,
                None => Committer::open(catalog, self.ident(table), spec, wanted, config).await,
            }?;
            ignored_settings::warn(&self.config, table, &committer.table().metadata);
            Ok(Destination::Table(committer))
        };
        // `destinations` has one cell per variant of `Table`.
        let opened = self.destinations[table as usize].get_or_try_init(open).await;
        let opened = opened.map_err(retry_until_fixed)?;
        // A shutdown that began while it was being opened did not reach it.
        if self.shutting_down.load(Ordering::SeqCst) {
            opened.begin_shutdown();
        }
        Ok(opened)
    }

    pub(super) fn ident(&self, table: Table) -> TableIdent {
        TableIdent::new(self.namespace.clone(), self.config.tables.name(table).to_owned())
    }

    /// Adds why `commit.on_failure: accept` did not help: a table that was never loaded has no place for a
    /// receipt.
    pub(super) fn without_receipt(&self, table: Table, error: Error) -> Error {
        let never_seen = self.destinations[table as usize].get().is_none();
        if self.config.commit.on_failure != OnFailure::Accept
            || !never_seen
            || !matches!(error.retry_class(), RetryClass::Retry { .. })
        {
            return error;
        }
        let message = "the table could not be opened since this process started, and before that commit.on_failure: accept \
                       can accept nothing; a retry stores the rows once the table opens";
        Error::new(error.kind(), message)
            .class(error.retry_class())
            .because(error)
    }
}

/// Makes a configuration error that appears only now retryable: the configuration must be fixed, and the
/// requests are not at fault.
fn retry_until_fixed(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Config => error.class(RetryClass::Retry { after: None }),
        _ => error,
    }
}

/// The time ran out before the catalog responded.
pub(super) fn no_answer_in_time(table: &str) -> Error {
    let message = "the catalog did not answer in the time allowed; if this repeats, allow more (the exporter's timeout, or the deadline of a client that waits)";
    Error::new(ErrorKind::Catalog, message).with("table", table)
}
