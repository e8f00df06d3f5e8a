//! An in-memory Iceberg REST catalog with optimistic concurrency as specified.
//!
//! It checks a commit's requirements, applies its updates with iceberg-rust's own builder, writes the table's
//! metadata to storage, and then points the table to it. A request is executed completely or not at all.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use iceberg::spec::{FormatVersion, TableMetadata, TableMetadataBuilder};
use iceberg::{TableRequirement, TableUpdate};
use serde_json::{Value, json};

use crate::http::{Request, Response, percent_decoded};
use crate::storage::{BUCKET, Storage};

/// The columns that a narrow catalog omits.
const LEFT_OUT: [&str; 4] = ["SeverityText", "SpanKind", "MetricUnit", "ScopeVersion"];

/// The server.
#[derive(Debug)]
pub struct Catalog {
    storage: Arc<Storage>,
    /// Tables are created without some of the requested columns, as if another program had created them.
    narrow: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Namespaces, levels joined by U+001F.
    namespaces: BTreeSet<String>,
    /// By namespace and name, joined in the same way.
    tables: BTreeMap<String, Table>,
    metadata_files: u64,
}

#[derive(Debug, Clone)]
struct Table {
    metadata: TableMetadata,
    location: String,
}

/// A response, or the error in a request of the library.
type Answer = Result<Response, Box<dyn Error + Send + Sync>>;

impl Catalog {
    /// A catalog without tables; files of its tables are in `storage`. A `narrow` one creates tables without
    /// [`LEFT_OUT`], as if an older version had created them.
    #[must_use]
    pub fn new(storage: Arc<Storage>, narrow: bool) -> Self {
        Self {
            storage,
            narrow,
            state: Mutex::default(),
        }
    }

    /// The tables by name, with the locations of their metadata.
    pub fn tables(&self) -> Vec<(String, TableMetadata, String)> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let tables = state.tables.iter();
        tables
            .map(|(key, table)| {
                let name = key.rsplit('\u{1f}').next().unwrap_or_default();
                (name.to_owned(), table.metadata.clone(), table.location.clone())
            })
            .collect()
    }

    /// Executes a request.
    #[must_use]
    pub fn answer(&self, request: &Request) -> Response {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state
            .answer(request, &self.storage, self.narrow)
            .unwrap_or_else(|cause| refusal(400, "BadRequestException", &cause.to_string()))
    }
}

impl State {
    fn answer(&mut self, request: &Request, storage: &Storage, narrow: bool) -> Answer {
        let head = &request.head;
        if head.path() == "/v1/config" {
            return Ok(success(&json!({"defaults": {}, "overrides": {}})));
        }
        let Some(path) = head.path().strip_prefix("/v1/namespaces") else {
            return Ok(refusal(404, "NotFoundException", "no such path"));
        };
        let parts: Vec<String> = path
            .split('/')
            .filter(|part| !part.is_empty())
            .map(percent_decoded)
            .collect::<Result<_, _>>()?;
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let body = || serde_json::from_slice::<Value>(&request.body);
        match (head.method.as_str(), parts.as_slice()) {
            ("POST", []) => self.create_namespace(&body()?),
            ("POST", [namespace, "tables"]) => {
                let mut body = body()?;
                if narrow {
                    leave_out(&mut body);
                }
                self.create_table(namespace, &body, storage)
            }
            ("GET", [namespace, "tables", name]) => Ok(self.load(&key(namespace, name))),
            ("POST", [namespace, "tables", name]) => self.commit(&key(namespace, name), &body()?, storage),
            _ => Ok(refusal(405, "MethodNotAllowed", "no such method")),
        }
    }

    fn create_namespace(&mut self, body: &Value) -> Answer {
        let levels: Vec<String> = from(body, "namespace")?;
        if self.namespaces.insert(levels.join("\u{1f}")) {
            Ok(success(&json!({"namespace": levels, "properties": {}})))
        } else {
            Ok(refusal(409, "AlreadyExistsException", "the namespace is there"))
        }
    }

    fn create_table(&mut self, namespace: &str, body: &Value, storage: &Storage) -> Answer {
        if !self.namespaces.contains(namespace) {
            return Ok(refusal(404, "NoSuchNamespaceException", "no such namespace"));
        }
        let name: String = from(body, "name")?;
        let key = key(namespace, &name);
        if self.tables.contains_key(&key) {
            return Ok(refusal(409, "AlreadyExistsException", "the table is there"));
        }
        let location = format!("s3://{BUCKET}/{}/{name}", namespace.replace('\u{1f}', "/"));
        let built = TableMetadataBuilder::new(
            from(body, "schema")?,
            from::<iceberg::spec::UnboundPartitionSpec>(body, "partition-spec")?,
            from(body, "write-order")?,
            location,
            FormatVersion::V2,
            from::<HashMap<String, String>>(body, "properties")?,
        )?
        .build()?;
        self.store(&key, built.metadata, storage)?;
        Ok(self.load(&key))
    }

    fn load(&self, key: &str) -> Response {
        match self.tables.get(key) {
            None => refusal(404, "NoSuchTableException", "no such table"),
            Some(table) => success(&json!({
                "metadata-location": table.location,
                "metadata": table.metadata,
                "config": {},
            })),
        }
    }

    fn commit(&mut self, key: &str, body: &Value, storage: &Storage) -> Answer {
        let Some(table) = self.tables.get(key) else {
            return Ok(refusal(404, "NoSuchTableException", "no such table"));
        };
        let requirements: Vec<TableRequirement> = from(body, "requirements")?;
        for requirement in &requirements {
            if requirement.check(Some(&table.metadata)).is_err() {
                return Ok(refusal(409, "CommitFailedException", "the table has changed"));
            }
        }
        let updates: Vec<TableUpdate> = from(body, "updates")?;
        let builder = table.metadata.clone().into_builder(Some(table.location.clone()));
        let built = updates
            .into_iter()
            .try_fold(builder, |builder, update| update.apply(builder))?
            .build()?;
        self.store(key, built.metadata, storage)?;
        Ok(self.load(key))
    }

    /// Writes the metadata file, then swaps the pointer.
    fn store(
        &mut self,
        key: &str,
        metadata: TableMetadata,
        storage: &Storage,
    ) -> Result<(), serde_json::Error> {
        self.metadata_files += 1;
        let number = self.metadata_files;
        let location = format!(
            "{}/metadata/{number:05}-catalog.metadata.json",
            metadata.location()
        );
        let content = serde_json::to_vec(&metadata)?;
        storage.state().put(key_of(&location), content.into());
        self.tables.insert(key.to_owned(), Table { metadata, location });
        Ok(())
    }
}

/// Removes columns from a request for a table.
fn leave_out(body: &mut Value) {
    if let Some(fields) = body["schema"]["fields"].as_array_mut() {
        fields.retain(|field| !LEFT_OUT.iter().any(|name| field["name"] == *name));
    }
}

/// The key of a file of the bucket.
#[must_use]
pub fn key_of(location: &str) -> &str {
    location
        .strip_prefix("s3://")
        .and_then(|rest| rest.strip_prefix(BUCKET)?.strip_prefix('/'))
        .unwrap_or(location)
}

fn key(namespace: &str, name: &str) -> String {
    format!("{namespace}\u{1f}{name}")
}

fn from<T: serde::de::DeserializeOwned>(body: &Value, name: &str) -> Result<T, serde_json::Error> {
    serde_json::from_value(body[name].clone())
}

fn success(body: &Value) -> Response {
    Response::new(200, body.to_string()).with("content-type", "application/json")
}

fn refusal(status: u16, kind: &str, message: &str) -> Response {
    let body = json!({"error": {"message": message, "type": kind, "code": status}});
    Response::new(status, body.to_string()).with("content-type", "application/json")
}
