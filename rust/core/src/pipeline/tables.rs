//! The tables' committers: opened on a table's first write, or before it if the table exists, then kept.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::future::join_all;
use iceberg::TableIdent;
use iceberg::spec::Schema;

use super::destination::Destination;
use super::{Pipeline, ignored_settings};
use crate::catalog::{self, LoadedTable};
use crate::commit::{Committer, Wanted, has_all_columns, has_receipts};
use crate::config::OnFailure;
use crate::error::{Error, ErrorKind, Result, RetryClass};
use crate::signal::Table;

impl Pipeline {
    /// Loads the existing tables concurrently, so that the first call does not have to. No table is created.
    /// An unreachable table is left to the first call that needs it.
    pub async fn warm(&self) {
        // The call that meets a failure again reports it.
        let openings = Table::ALL
            .into_iter()
            .map(|table| self.open_if(table, async |_| Ok(true)));
        join_all(openings).await;
    }

    /// Opens those of these tables that have receipts, and those to which opening adds no column, concurrently.
    /// A table that lacks columns may be another program's: only its first write changes it.
    ///
    /// Returns the tables that may have receipts and could not be opened, and why. A table that the catalog does
    /// not have is not one of them.
    pub(super) async fn open_for_receipts(&self, tables: Vec<Table>) -> Vec<(Table, Error)> {
        let openings = tables.into_iter().map(|table| async move {
            let opening = self.open_if(table, async |there| {
                let schema = self.wanted_schema(table)?;
                let is_complete =
                    schema.is_none_or(|schema| has_all_columns(there, self.wanted(table, &schema)));
                Ok(is_complete || has_receipts(there).await?)
            });
            Some((table, opening.await.err()?))
        });
        join_all(openings).await.into_iter().flatten().collect()
    }

    /// Opens a table that exists and is not open, if it is suitable.
    async fn open_if(
        &self,
        table: Table,
        is_suitable: impl AsyncFnOnce(&LoadedTable) -> Result<bool>,
    ) -> Result<()> {
        if self.destinations[table as usize].get().is_some() {
            return Ok(());
        }
        if !self.catalog.keeps_tables() {
            // Needs no catalog request: the table is its definition.
            self.destination_on(table, None).await?;
            return Ok(());
        }
        let there = match self.catalog.load(&self.ident(table)).await {
            Ok(there) => there,
            Err(error) if catalog::is_no_table(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        if is_suitable(&there).await? {
            self.destination_on(table, Some(there)).await?;
        }
        Ok(())
    }

    /// The columns that an existing table should have; `None` if none are added.
    fn wanted_schema(&self, table: Table) -> Result<Option<Schema>> {
        let tables = &self.config.tables;
        tables.auto_evolve.then(|| tables.schema(table)).transpose()
    }

    fn wanted<'a>(&'a self, table: Table, schema: &'a Schema) -> Wanted<'a> {
        Wanted {
            schema,
            attributes: self.config.tables.attribute_columns.of(table),
        }
    }

    /// The table's committer, for a write; opened on first use.
    pub(super) async fn destination(&self, table: Table) -> Result<&Destination> {
        let destination = self.destination_on(table, None).await?;
        if !self.written[table as usize].swap(true, Ordering::Relaxed)
            && let Some(committer) = destination.committer()
        {
            ignored_settings::warn(&self.config, table, &committer.table().metadata);
        }
        Ok(destination)
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
            let schema = self.wanted_schema(table)?;
            let wanted = schema.as_ref().map(|schema| self.wanted(table, schema));
            let catalog = Arc::clone(&self.catalog);
            let config = self.config.commit.clone();
            let committer = match loaded {
                Some(loaded) => Committer::on(catalog, loaded, spec, wanted, config).await,
                None => Committer::open(catalog, self.ident(table), spec, wanted, config).await,
            }?;
            Ok(Destination::Table(committer))
        };
        // `destinations` has one cell per variant of `Table`.
        let opened = self.destinations[table as usize].get_or_try_init(open).await;
        let opened = opened.map_err(retry_until_fixed)?;
        // A shutdown that began while it was being opened did not reach it.
        if self.shutting_down.is_cancelled() {
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
