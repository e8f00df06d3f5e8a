//! The messages of the protocol, as far as they are used here. They have the names of the schemas in
//! Iceberg's `rest-catalog-open-api.yaml`.

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
    /// The requests that the server offers, such as `POST /v1/{prefix}/namespaces`. Absent in older servers.
    pub(super) endpoints: Option<Vec<String>>,
    /// Set by servers that honour `Idempotency-Key`.
    pub(super) idempotency_key_lifetime: Option<String>,
}

/// `CreateNamespaceRequest`.
#[derive(Debug, Serialize)]
pub(super) struct CreateNamespaceRequest<'a> {
    pub(super) namespace: &'a [String],
    pub(super) properties: HashMap<String, String>,
}

/// `GetNamespaceResponse`, reduced to the property that we need.
#[derive(Debug, Deserialize)]
pub(super) struct GetNamespaceResponse {
    #[serde(default)]
    properties: Option<NamespaceProperties>,
}

#[derive(Debug, Deserialize)]
struct NamespaceProperties {
    location: Option<String>,
}

impl GetNamespaceResponse {
    /// The location below which the namespace's tables are. An empty one counts as none.
    pub(super) fn location(self) -> Option<String> {
        self.properties?.location.filter(|location| !location.is_empty())
    }
}

/// `CreateTableRequest`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct CreateTableRequest<'a> {
    pub(super) name: &'a str,
    /// `None` if the catalog chooses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) location: Option<&'a str>,
    pub(super) schema: &'a Schema,
    /// With an id, which Java's reader requires.
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
    /// Properties of this table. Older servers put storage credentials here.
    #[serde(default)]
    pub(super) config: Option<HashMap<String, String>>,
    #[serde(default)]
    pub(super) storage_credentials: Option<Vec<StorageCredential>>,
}

/// `StorageCredential`.
#[derive(Deserialize)]
pub(super) struct StorageCredential {
    /// The credentials apply to locations with this prefix.
    pub(super) prefix: String,
    /// Contains secrets.
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
