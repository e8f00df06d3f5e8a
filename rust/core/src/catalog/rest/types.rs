//! What goes over the wire, as far as it is used here: the schemas of Iceberg's
//! `rest-catalog-open-api.yaml` that have these names.

use std::collections::HashMap;

use iceberg::spec::{Schema, SortOrder, TableMetadata, UnboundPartitionSpec};
use iceberg::{TableIdent, TableRequirement, TableUpdate};
use serde::{Deserialize, Serialize};

/// `CatalogConfig`: the answer to `GET /v1/config`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ConfigResponse {
    /// Properties that the client may override.
    #[serde(default)]
    pub(super) defaults: HashMap<String, Option<String>>,
    /// Properties that override the client's.
    #[serde(default)]
    pub(super) overrides: HashMap<String, Option<String>>,
    /// What the server offers, such as `POST /v1/{prefix}/namespaces`. Absent in older servers.
    pub(super) endpoints: Option<Vec<String>>,
    /// Given by servers that honour `Idempotency-Key`.
    pub(super) idempotency_key_lifetime: Option<String>,
}

/// `CreateNamespaceRequest`.
#[derive(Debug, Serialize)]
pub(super) struct CreateNamespaceRequest<'a> {
    pub(super) namespace: &'a [String],
    pub(super) properties: HashMap<String, String>,
}

/// `CreateTableRequest`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct CreateTableRequest<'a> {
    pub(super) name: &'a str,
    pub(super) schema: &'a Schema,
    /// With an id: Java's reader wants one.
    pub(super) partition_spec: UnboundPartitionSpec,
    pub(super) write_order: &'a SortOrder,
    pub(super) stage_create: bool,
    pub(super) properties: &'a HashMap<String, String>,
}

/// `LoadTableResult`: the answer when a table is loaded or created.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct LoadTableResult {
    pub(super) metadata_location: Option<String>,
    pub(super) metadata: TableMetadata,
    /// Properties for this table, storage credentials of older servers among them.
    #[serde(default)]
    pub(super) config: Option<HashMap<String, String>>,
    #[serde(default)]
    pub(super) storage_credentials: Option<Vec<StorageCredential>>,
}

/// `StorageCredential`.
#[derive(Deserialize)]
pub(super) struct StorageCredential {
    /// The locations that it is for begin with this.
    pub(super) prefix: String,
    /// Secrets among them.
    pub(super) config: HashMap<String, String>,
}

/// Without the values, which are secrets.
impl std::fmt::Debug for StorageCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StorageCredential")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// `CommitTableRequest`.
#[derive(Debug, Serialize)]
pub(super) struct CommitTableRequest<'a> {
    pub(super) identifier: &'a TableIdent,
    pub(super) requirements: &'a [TableRequirement],
    pub(super) updates: &'a [TableUpdate],
}

/// `CommitTableResponse`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct CommitTableResponse {
    pub(super) metadata_location: String,
    pub(super) metadata: TableMetadata,
}
