//! Where a new table is put: in the folder of its name, unless another table is there.
//!
//! A rename moves no files, a dropped table leaves them behind, and another database may use the same warehouse.
//! Two tables must not share a folder: a clean-up of orphan files through one deletes the files of the other, and
//! they would take each other's receipts for their own.

use iceberg::TableIdent;
use iceberg::io::FileIO;
use iceberg::spec::TableMetadata;

use super::{SqliteCatalog, key, look_up_failed};
use crate::catalog::TableSpec;
use crate::catalog::location::{config_error, table_location, unique_location};
use crate::catalog::metadata::first_metadata;
use crate::catalog::metadata_file::metadata_folder;
use crate::cause::IcebergCause;
use crate::error::Result;
use crate::storage;

/// How the name of a table's first metadata file begins.
const FIRST: &str = "00000-";
/// What the name of every metadata file contains. Some are compressed, which their ending says.
const METADATA: &str = ".metadata.json";

/// A new table that is not created yet.
#[derive(Debug)]
pub(super) struct Placed {
    /// Its first metadata.
    pub(super) metadata: TableMetadata,
    /// The table that has the folder of its name, if one does.
    pub(super) neighbour: Option<Neighbour>,
}

/// The table in a folder that a new table's name leads to.
#[derive(Debug)]
pub(super) enum Neighbour {
    /// A table of this catalog, by its name now.
    Renamed(String),
    /// Another table, by what is known of it: its name in another catalog of this database, or its newest metadata
    /// file.
    Foreign(String),
}

impl SqliteCatalog {
    /// Chooses the folder of a new table: that of its name, or one with its id at the end if another table is there.
    ///
    /// # Errors
    /// `Catalog` when the database cannot be read; `Config` when the table cannot be created as configured.
    pub(super) async fn placed(&self, ident: &TableIdent, spec: TableSpec) -> Result<Placed> {
        let metadata = first_metadata(table_location(&self.warehouse, ident), spec, ident)?;
        let file_io = self.file_io(ident, metadata.location())?;
        let neighbour = self.neighbour(ident, &metadata, &file_io).await?;
        let metadata = match neighbour {
            None => metadata,
            Some(_) => moved(metadata, ident)?,
        };
        Ok(Placed { metadata, neighbour })
    }

    /// The other table in the folder of a new one.
    ///
    /// A first metadata file alone does not count, unless the database has its table: another process may be
    /// creating this very table, and all of them must choose the same folder.
    async fn neighbour(
        &self,
        ident: &TableIdent,
        metadata: &TableMetadata,
        file_io: &FileIO,
    ) -> Result<Option<Neighbour>> {
        let folder = metadata_folder(metadata);
        let known = self.database.other_table_below(&key(ident), &folder).await;
        if let Some(other) = known.map_err(|cause| look_up_failed(ident, cause))? {
            return Ok(Some(if other.is_of_this_catalog {
                Neighbour::Renamed(other.name)
            } else {
                Neighbour::Foreign(other.name)
            }));
        }
        // Storage that does not allow listing is no reason for an error here.
        let names = storage::list(file_io, &folder).await.unwrap_or_default();
        let later = |name: &String| name.contains(METADATA) && !name.starts_with(FIRST);
        let newest = names.into_iter().filter(later).max();
        Ok(newest.map(|name| Neighbour::Foreign(format!("{folder}/{name}"))))
    }
}

/// The metadata with a location of the table's own.
fn moved(metadata: TableMetadata, ident: &TableIdent) -> Result<TableMetadata> {
    let location = unique_location(metadata.location(), metadata.uuid());
    let built = metadata.into_builder(None).set_location(location).build();
    built.map(|built| built.metadata).map_err(|cause| {
        config_error("the table cannot be made beside another one in the folder of its name; choose another name in tables.names")
            .with("table", ident.to_string())
            .because(IcebergCause(cause))
    })
}

impl Neighbour {
    /// Logs that a new table is in a folder of its own.
    ///
    /// A rename is meant. In the other cases, rows that somebody may miss are in a table that this catalog does not
    /// have. That is no error, because dropped tables leave their files behind, too.
    pub(super) fn log(&self, ident: &TableIdent, location: &str) {
        match self {
            Neighbour::Renamed(name) => tracing::info!(
                table = %ident,
                location,
                renamed = name,
                "the new table is not made in the folder of its name, which a renamed table has"
            ),
            Neighbour::Foreign(other) => tracing::warn!(
                table = %ident,
                location,
                other,
                "the new table is not made in the folder of another one, whose rows it does not have: if that one was not dropped, \
                 another catalog database has it, or catalog.name was changed; use that one again, or register the newest metadata file"
            ),
        }
    }
}
