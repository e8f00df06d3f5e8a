//! Adds our missing columns to an existing table, and to its name mapping if it has one.

use iceberg::spec::{Schema, TableMetadataBuilder};
use iceberg::{TableRequirement, TableUpdate};

use super::evolution::{Evolved, evolved};
use super::idempotent::{Attempted, IdempotentCommit};
use crate::catalog::{Catalog, LoadedTable};
use crate::config::CommitConfig;
use crate::error::{Error, Result};
use crate::schema::AttributeColumn;
use crate::table_properties::NAME_MAPPING;
use crate::write::register::extended_mapping;

/// The columns that a table should have.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// All columns.
    pub schema: &'a Schema,
    /// The attribute columns among them. The table may have them with another type, because our rows are
    /// complete without them.
    pub attributes: &'a [AttributeColumn],
}

/// Adds wanted columns (and struct fields) that the table lacks, as optional ones with new ids.
///
/// Several writers may do so at once: each reloads the table after a lost race.
///
/// # Errors
/// `TableMismatch` naming both types when a column's type clashes, or when the table refuses the change;
/// otherwise as [`Catalog::load`] and [`Catalog::commit`].
pub(super) async fn add_missing_columns(
    catalog: &dyn Catalog,
    mut table: LoadedTable,
    wanted: Wanted<'_>,
    config: &CommitConfig,
) -> Result<LoadedTable> {
    let mut change = IdempotentCommit::new(config, &table.metadata);
    loop {
        let Some(Evolved { schema, added }) = evolved(&table, wanted.schema, wanted.attributes)? else {
            return Ok(table);
        };
        let updates = updates(&table, schema);
        let attempt = change.attempt(catalog, &table, requirements(&table), updates);
        match attempt.await? {
            Attempted::Committed(table) => return Ok(table),
            Attempted::Refused(error) => return Err(not_added(&table, &added, error)),
            Attempted::Again => table = catalog.load(&table.ident).await?,
        }
    }
}

/// Whether nothing would be added. False also if a column clashes.
pub(crate) fn has_all_columns(table: &LoadedTable, wanted: Wanted<'_>) -> bool {
    evolved(table, wanted.schema, wanted.attributes).is_ok_and(|missing| missing.is_none())
}

fn requirements(table: &LoadedTable) -> Vec<TableRequirement> {
    let metadata = &table.metadata;
    vec![
        TableRequirement::UuidMatch {
            uuid: metadata.uuid(),
        },
        TableRequirement::CurrentSchemaIdMatch {
            current_schema_id: metadata.current_schema_id(),
        },
        TableRequirement::LastAssignedFieldIdMatch {
            last_assigned_field_id: metadata.last_column_id(),
        },
    ]
}

fn updates(table: &LoadedTable, schema: Schema) -> Vec<TableUpdate> {
    let mapping = name_mapping(table, &schema).map(|mapping| TableUpdate::SetProperties {
        updates: [(NAME_MAPPING.to_owned(), mapping)].into(),
    });
    let mut updates = vec![
        TableUpdate::AddSchema { schema },
        TableUpdate::SetCurrentSchema {
            schema_id: TableMetadataBuilder::LAST_ADDED,
        },
    ];
    updates.extend(mapping);
    updates
}

/// The table's name mapping with the fields that `schema` adds. Without them, files without field ids would read as
/// null in these columns. `None` if the table has no mapping, or one that cannot be read.
fn name_mapping(table: &LoadedTable, schema: &Schema) -> Option<String> {
    let metadata = &table.metadata;
    let mapping = metadata.properties().get(NAME_MAPPING)?;
    let extended = extended_mapping(mapping, schema, metadata.last_column_id());
    let unread = |cause: &serde_json::Error| {
        tracing::warn!(
            table = %table.ident,
            property = NAME_MAPPING,
            %cause,
            "the table's name mapping cannot be read, so the columns that we add are not in it"
        );
    };
    extended.inspect_err(unread).ok()
}

/// Adds the missing columns to the refusal: a role that may append need not be allowed to change schemas.
fn not_added(table: &LoadedTable, added: &[String], refusal: Error) -> Error {
    let message = format!(
        "the table lacks columns, and they could not be added: {}; if the catalog forbids it, allow this writer to change the schema, add \
         them yourself, or set tables.auto_evolve to false, which leaves their values out",
        added.join(", ")
    );
    Error::new(refusal.kind(), message)
        .with("table", table.ident.to_string())
        .class(refusal.retry_class())
        .because(refusal)
}
