//! No catalog: Parquet files in folders, which no catalog tracks.
//!
//! A table is only its definition. Each process builds the same definition, so that the same request writes
//! the same files.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use iceberg::io::FileIO;
use iceberg::{TableIdent, TableRequirement, TableUpdate};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::location::{Warehouse, prepare_warehouse, table_location};
use super::metadata::first_metadata;
use super::{Catalog, CommitOutcome, LoadedTable, TableSpec, no_table};
use crate::cause::IcebergCause;
use crate::config::CatalogConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::Stores;
use crate::storage::hiding_file_io;
use crate::table_properties::DATA_PATH;

/// Builds tables that are stored nowhere.
#[derive(Debug)]
pub(super) struct NoCatalog {
    warehouse: Warehouse,
    file_io: FileIO,
}

impl NoCatalog {
    /// Creates a local folder if it is missing. S3 is not contacted yet.
    ///
    /// # Errors
    /// `Config` naming `catalog.warehouse` when it cannot be used.
    pub(super) fn open(config: &CatalogConfig, stores: &Stores) -> Result<Self> {
        let warehouse = Warehouse::new(config.local_warehouse())?;
        prepare_warehouse(&warehouse)?;
        let file_io = match &warehouse {
            Warehouse::Local(_) => hiding_file_io(),
            Warehouse::S3(url) => stores.file_io(url, &HashMap::new())?,
        };
        Ok(Self { warehouse, file_io })
    }

    fn table(&self, ident: &TableIdent, mut spec: TableSpec) -> Result<LoadedTable> {
        let location = table_location(&self.warehouse, ident);
        // Data files are directly below the table's location, since there are no other files.
        spec.properties
            .entry(DATA_PATH.to_owned())
            .or_insert_with(|| location.clone());
        let id = id_of(&location, &spec);
        let metadata = first_metadata(location.clone(), spec, ident)?
            .into_builder(None)
            .assign_uuid(id)
            .build()
            .map_err(|cause| {
                Error::new(ErrorKind::Internal, "a table's definition cannot be made")
                    .with("table", ident.to_string())
                    .because(IcebergCause(cause))
            })?;
        Ok(LoadedTable {
            ident: ident.clone(),
            metadata: Arc::new(metadata.metadata),
            metadata_location: String::new(),
            file_io: self.file_io.clone(),
        })
    }
}

/// The table id in file names, derived from the table's location and partitioning.
fn id_of(location: &str, spec: &TableSpec) -> Uuid {
    let mut digest = Sha256::new();
    digest.update(location);
    for field in spec.partition_spec.fields() {
        digest.update(format!(
            "\n{} {} {}",
            field.source_id, field.transform, field.name
        ));
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.finalize()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[async_trait]
impl Catalog for NoCatalog {
    async fn ensure(&self, ident: &TableIdent, spec: Option<TableSpec>) -> Result<LoadedTable> {
        self.table(ident, spec.ok_or_else(|| no_table(ident))?)
    }

    async fn load(&self, ident: &TableIdent) -> Result<LoadedTable> {
        Err(no_table(ident))
    }

    async fn commit(
        &self,
        base: &LoadedTable,
        _requirements: Vec<TableRequirement>,
        _updates: Vec<TableUpdate>,
    ) -> CommitOutcome {
        CommitOutcome::Refused {
            conflict: false,
            error: Error::new(ErrorKind::Catalog, "there is no catalog to commit to")
                .with("table", base.ident.to_string()),
        }
    }

    async fn reach(&self, _ident: &TableIdent) -> Result<()> {
        Ok(())
    }

    fn keeps_tables(&self) -> bool {
        false
    }
}
