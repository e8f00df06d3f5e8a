//! A receipt: what a later commit needs to add stored data files that are in no table yet.
//!
//! It is a JSON file beside the table's data. It lists the requests that the files hold, and a state of the
//! table that surely did not hold them. So any process that finds it, at any time, can check whether it was
//! committed since.

use iceberg::spec::{
    DataFile, PartitionSpec, TableMetadata, deserialize_data_file_from_json, serialize_data_file_to_json,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Append;
use super::history::Base;
use super::ids::to_text;
use crate::catalog::LoadedTable;
use crate::cause::IcebergCause;
use crate::clock::now_ms;
use crate::error::{Error, ErrorKind, Result, RetryClass};
use crate::request::IdRange;

/// The only version so far.
const VERSION: u32 = 1;

/// A receipt as stored. The JSON keys are the field names in kebab-case.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Receipt {
    version: u32,
    /// Namespace and name, for people.
    table: String,
    table_uuid: String,
    /// A state of the table whose recent snapshots held none of the requests.
    pub(super) base: Base,
    schema_id: i32,
    partition_spec_id: i32,
    /// The requests, in the format of a snapshot's summary.
    ids: String,
    pub(super) rows: u64,
    /// Milliseconds since 1970.
    created_ms: u64,
    created_by: String,
    /// Each file in iceberg's own JSON format for data files.
    files: Vec<Value>,
}

/// Only the version, which decides how the rest is read.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

impl Receipt {
    /// Creates a receipt for files that were written for this state of the table, which holds none of their
    /// requests.
    ///
    /// # Errors
    /// `Internal` when the files do not fit the table.
    pub(super) fn new(append: &Append, table: &LoadedTable) -> Result<Self> {
        let metadata = &table.metadata;
        let spec = partition_spec(metadata, append.partition_spec_id)?;
        let partition_type = spec
            .partition_type(metadata.current_schema())
            .map_err(not_writable)?;
        let files = append.files.iter().map(|file| {
            let json = serialize_data_file_to_json(file.clone(), &partition_type, metadata.format_version())
                .map_err(not_writable)?;
            serde_json::from_str(&json).map_err(|cause| {
                Error::new(ErrorKind::Internal, "a data file cannot be described").because(cause)
            })
        });
        Ok(Self {
            version: VERSION,
            table: table.ident.to_string(),
            table_uuid: metadata.uuid().to_string(),
            base: Base::of(metadata),
            schema_id: metadata.current_schema_id(),
            partition_spec_id: append.partition_spec_id,
            ids: to_text(&append.ids),
            rows: append.files.iter().map(DataFile::record_count).sum(),
            created_ms: now_ms().unsigned_abs(),
            created_by: format!("otlp2iceberg {}", env!("CARGO_PKG_VERSION")),
            files: files.collect::<Result<_>>()?,
        })
    }

    pub(super) fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|cause| {
            Error::new(ErrorKind::Internal, "a receipt cannot be written as JSON").because(cause)
        })
    }

    /// # Errors
    /// `Storage`, permanent, when this is not a receipt, or one of a later version.
    pub(super) fn parse(json: &[u8]) -> Result<Self> {
        let unreadable = |cause| {
            unusable("it cannot be read; restore it, or delete it and its data is lost").because(cause)
        };
        let Versioned { version } = serde_json::from_slice(json).map_err(unreadable)?;
        if version != VERSION {
            return Err(unusable(format!(
                "its version is {version}, and this program reads {VERSION}; run a newer one"
            )));
        }
        let receipt: Self = serde_json::from_slice(json).map_err(unreadable)?;
        if receipt.ids().is_empty() {
            return Err(unusable(
                "it names no requests; restore it, or delete it and its data is lost",
            ));
        }
        Ok(receipt)
    }

    /// Whether a later version of this program wrote this receipt, which can commit it.
    pub(super) fn is_of_later_version(json: &[u8]) -> bool {
        serde_json::from_slice(json).is_ok_and(|Versioned { version }| version > VERSION)
    }

    /// The requests, folded.
    pub(super) fn ids(&self) -> Vec<IdRange> {
        self.ids.split(',').filter_map(IdRange::parse).collect()
    }

    /// # Errors
    /// `Storage`, permanent, when the receipt belongs to another table.
    pub(super) fn check_table(&self, metadata: &TableMetadata) -> Result<()> {
        if self.table_uuid == metadata.uuid().to_string() {
            return Ok(());
        }
        Err(unusable(format!(
            "it belongs to table {} ({}), which was dropped; delete it with its files, or add the files to this table \
             with an engine",
            self.table, self.table_uuid
        )))
    }

    /// The append that adds the receipt's files to the table.
    ///
    /// # Errors
    /// `Storage`, permanent, when the files belong to another table or no longer fit this one.
    pub(super) fn append(&self, metadata: &TableMetadata) -> Result<Append> {
        self.check_table(metadata)?;
        let changed = |cause| {
            unusable("its files do not fit the table any more; add them with an engine").because(cause)
        };
        let spec = partition_spec(metadata, self.partition_spec_id).map_err(changed)?;
        let schema = metadata
            .schema_by_id(self.schema_id)
            .unwrap_or_else(|| metadata.current_schema());
        let partition_type = spec
            .partition_type(metadata.current_schema())
            .map_err(|cause| changed(not_writable(cause)))?;
        let files = self.files.iter().map(|file| {
            let json = file.to_string();
            deserialize_data_file_from_json(&json, self.partition_spec_id, &partition_type, schema)
                .map_err(|cause| changed(not_writable(cause)))
        });
        Ok(Append {
            files: files.collect::<Result<_>>()?,
            partition_spec_id: self.partition_spec_id,
            ids: self.ids(),
            table_id: Some(metadata.uuid()),
            request_bytes: 0,
        })
    }
}

/// The reason why a receipt is set aside. A retry does not help.
pub(super) fn unusable(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Storage, why).class(RetryClass::Permanent)
}

fn partition_spec(metadata: &TableMetadata, id: i32) -> Result<&PartitionSpec> {
    metadata
        .partition_spec_by_id(id)
        .map(AsRef::as_ref)
        .ok_or_else(|| {
            Error::new(
                ErrorKind::TableMismatch,
                "the table no longer has the partition spec that files were written with",
            )
            .with("partition spec", id.to_string())
        })
}

fn not_writable(cause: iceberg::Error) -> Error {
    Error::new(
        ErrorKind::Internal,
        "a data file's description does not fit the table",
    )
    .because(IcebergCause(cause))
}

#[cfg(test)]
#[path = "receipt_tests.rs"]
mod tests;
