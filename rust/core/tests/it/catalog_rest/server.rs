//! A REST catalog in memory, with its tables' files in a temporary folder.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use iceberg::spec::{
    FormatVersion, Schema, SortOrder, TableMetadata, TableMetadataBuilder, UnboundPartitionSpec,
};
use iceberg::{TableRequirement, TableUpdate};
use otlp2iceberg::catalog::{self, Catalog};
use otlp2iceberg::config::Config;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::stub::{Asked, Reply, Stub};

/// How the next commit is answered.
#[derive(Debug, Clone)]
pub enum Turn {
    /// Like the catalog.
    Real,
    /// This reply, without carrying out the commit.
    Instead(Reply),
    /// This reply, after carrying out the commit.
    After(Reply),
}

/// The state that a test sets up and checks.
#[derive(Default)]
pub struct State {
    /// The answer to `GET /v1/config`.
    pub config: Value,
    /// The prefix of other requests after `/v1/`, with a trailing slash.
    pub prefix: &'static str,
    /// Namespaces, levels joined by U+001F.
    pub namespaces: BTreeSet<String>,
    /// The locations of namespaces that have one, by their names.
    pub locations: HashMap<String, String>,
    /// Whether the catalog assigns no location to a table, as Glue.
    pub assigns_no_location: bool,
    /// Tables by namespace and name, joined likewise.
    pub tables: HashMap<String, TableMetadata>,
    /// Fields of a loaded table's answer besides its metadata.
    pub extra: Value,
    /// The next commits, in turn.
    pub turns: VecDeque<Turn>,
    /// The next answers to requests of any kind. `None` lets a request through.
    pub gate: VecDeque<Option<Reply>>,
    /// Answers to the next creations of tables, in turn, after they were carried out.
    pub creation_answers: VecDeque<Reply>,
    /// Where new tables' files are, instead of in the temporary folder.
    pub files: Option<&'static str>,
    commits: u64,
}

/// The server and its state.
pub struct Server {
    pub stub: Stub,
    pub state: Arc<Mutex<State>>,
    pub folder: TempDir,
}

impl Server {
    pub fn new() -> Self {
        Self::with_prefix("")
    }

    pub fn with_prefix(prefix: &'static str) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let state = Arc::new(Mutex::new(State {
            config: json!({"defaults": {}, "overrides": {}}),
            extra: json!({}),
            prefix,
            ..State::default()
        }));
        let (shared, root) = (Arc::clone(&state), folder.path().to_path_buf());
        let stub = Stub::new(move |asked| {
            let mut state = shared.lock().expect("lock");
            if let Some(Some(reply)) = state.gate.pop_front() {
                return reply;
            }
            state.answer(asked, root.to_str().expect("UTF-8"))
        });
        Self { stub, state, folder }
    }

    pub fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("lock")
    }

    /// A configuration for this server; `catalog` are further keys of that section.
    pub fn config(&self, catalog: &str) -> Config {
        self.config_with(catalog, "")
    }

    /// The same with further sections.
    pub fn config_with(&self, catalog: &str, sections: &str) -> Config {
        let also = |keys: &str| {
            if keys.is_empty() {
                String::new()
            } else {
                format!(", {keys}")
            }
        };
        let json = format!(
            r#"{{"catalog": {{"type": "rest", "uri": "{}"{}}}{}}}"#,
            self.stub.uri(),
            also(catalog),
            also(sections)
        );
        Config::from_json(json.as_bytes()).expect("valid configuration")
    }

    pub async fn catalog(&self, catalog: &str) -> Arc<dyn Catalog> {
        catalog::open(&self.config(catalog)).await.expect("catalog opens")
    }
}

impl State {
    fn answer(&mut self, asked: &Asked, root: &str) -> Reply {
        let target = asked.target.split('?').next().unwrap_or_default();
        if (asked.method.as_str(), target) == ("GET", "/v1/config") {
            return Reply::json(200, &self.config);
        }
        let Some(path) = target.strip_prefix(&format!("/v1/{}namespaces", self.prefix)) else {
            return Reply::error(404, "NotFoundException", "no such path");
        };
        let parts: Vec<String> = path
            .split('/')
            .filter(|part| !part.is_empty())
            .map(decode)
            .collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        match (asked.method.as_str(), parts.as_slice()) {
            ("GET", [namespace]) => self.load_namespace(namespace),
            ("POST", []) => self.create_namespace(&asked.json()),
            ("POST", [namespace, "tables"]) => self.create_table(namespace, &asked.json(), root),
            ("GET", [namespace, "tables", table]) => self.load(&format!("{namespace}\u{1f}{table}")),
            ("POST", [namespace, "tables", table]) => {
                self.commit(&format!("{namespace}\u{1f}{table}"), &asked.json())
            }
            _ => Reply::error(405, "MethodNotAllowed", "no such method"),
        }
    }

    fn load_namespace(&self, namespace: &str) -> Reply {
        if !self.namespaces.contains(namespace) {
            return Reply::error(404, "NoSuchNamespaceException", "no such namespace");
        }
        let levels: Vec<&str> = namespace.split('\u{1f}').collect();
        let mut properties = json!({"owner": "somebody"});
        if let Some(location) = self.locations.get(namespace) {
            properties["location"] = location.as_str().into();
        }
        Reply::json(200, &json!({"namespace": levels, "properties": properties}))
    }

    fn create_namespace(&mut self, body: &Value) -> Reply {
        let levels: Vec<String> = serde_json::from_value(body["namespace"].clone()).expect("levels");
        if levels.len() > 1
            && !self
                .namespaces
                .contains(&levels[..levels.len() - 1].join("\u{1f}"))
        {
            return Reply::error(404, "NoSuchNamespaceException", "the one above is missing");
        }
        let name = levels.join("\u{1f}");
        if let Some(location) = body["properties"]["location"].as_str() {
            self.locations.insert(name.clone(), location.to_owned());
        }
        if self.namespaces.insert(name) {
            Reply::json(200, &json!({"namespace": levels, "properties": {}}))
        } else {
            Reply::error(409, "AlreadyExistsException", "it is there")
        }
    }

    fn create_table(&mut self, namespace: &str, body: &Value, root: &str) -> Reply {
        if !self.namespaces.contains(namespace) {
            return Reply::error(404, "NoSuchNamespaceException", "no such namespace");
        }
        let name = body["name"].as_str().expect("name");
        let key = format!("{namespace}\u{1f}{name}");
        if self.tables.contains_key(&key) {
            return Reply::error(409, "AlreadyExistsException", "it is there");
        }
        // Java's reader refuses a spec without an id, and Nessie's a field without one.
        assert!(body["partition-spec"]["spec-id"].is_i64(), "{body}");
        let fields = body["partition-spec"]["fields"].as_array().expect("fields");
        for (id, field) in (1000..).zip(fields) {
            assert_eq!(field["field-id"], id, "{body}");
        }
        let schema: Schema = serde_json::from_value(body["schema"].clone()).expect("schema");
        let partitions: UnboundPartitionSpec =
            serde_json::from_value(body["partition-spec"].clone()).expect("spec");
        let order: SortOrder = serde_json::from_value(body["write-order"].clone()).expect("order");
        let properties: HashMap<String, String> =
            serde_json::from_value(body["properties"].clone()).expect("properties");
        let files = self.files.map_or_else(|| format!("file://{root}"), str::to_owned);
        let location = match body.get("location") {
            Some(location) => location.as_str().expect("a location").to_owned(),
            None if self.assigns_no_location => {
                let message = "Location information cannot be null while creating an iceberg table";
                return Reply::error(400, "InvalidInputException", message);
            }
            None => format!("{files}/{}/{name}", namespace.replace('\u{1f}', "/")),
        };
        let built =
            TableMetadataBuilder::new(schema, partitions, order, location, FormatVersion::V2, properties)
                .and_then(TableMetadataBuilder::build)
                .expect("metadata");
        self.tables.insert(key.clone(), built.metadata);
        self.creation_answers
            .pop_front()
            .unwrap_or_else(|| self.load(&key))
    }

    fn load(&self, key: &str) -> Reply {
        match self.tables.get(key) {
            None => Reply::error(404, "NoSuchTableException", "no such table"),
            Some(metadata) => {
                let mut answer = self.extra.clone();
                answer["metadata-location"] = self.metadata_location(metadata).into();
                answer["metadata"] = serde_json::to_value(metadata).expect("JSON");
                Reply::json(200, &answer)
            }
        }
    }

    fn commit(&mut self, key: &str, body: &Value) -> Reply {
        match self.turns.pop_front().unwrap_or(Turn::Real) {
            Turn::Real => self.apply(key, body),
            Turn::Instead(reply) => reply,
            Turn::After(reply) => {
                let real = self.apply(key, body);
                assert!(matches!(real, Reply::Answer(200, ..)), "{real:?}");
                reply
            }
        }
    }

    fn apply(&mut self, key: &str, body: &Value) -> Reply {
        let Some(metadata) = self.tables.get(key) else {
            return Reply::error(404, "NoSuchTableException", "no such table");
        };
        let requirements: Vec<TableRequirement> =
            serde_json::from_value(body["requirements"].clone()).expect("requirements");
        let updates: Vec<TableUpdate> = serde_json::from_value(body["updates"].clone()).expect("updates");
        // As Java before 1.9.
        let removes_several = |update: &TableUpdate| match update {
            TableUpdate::RemoveSnapshots { snapshot_ids } => snapshot_ids.len() > 1,
            _ => false,
        };
        if updates.iter().any(removes_several) {
            let message = "Invalid set of snapshot ids to remove. Expected one value";
            return Reply::error(400, "IllegalArgumentException", message);
        }
        for requirement in &requirements {
            if requirement.check(Some(metadata)).is_err() {
                return Reply::error(409, "CommitFailedException", "the table has changed");
            }
        }
        let builder = metadata
            .clone()
            .into_builder(Some(self.metadata_location(metadata)));
        let built = updates
            .into_iter()
            .try_fold(builder, |builder, update| update.apply(builder))
            .and_then(TableMetadataBuilder::build)
            .expect("updates apply");
        self.tables.insert(key.to_owned(), built.metadata.clone());
        self.commits += 1;
        let location = self.metadata_location(&built.metadata);
        Reply::json(
            200,
            &json!({"metadata-location": location, "metadata": built.metadata}),
        )
    }

    fn metadata_location(&self, metadata: &TableMetadata) -> String {
        format!(
            "{}/metadata/{:05}-of-the-server.metadata.json",
            metadata.location(),
            self.commits
        )
    }
}

fn decode(part: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = part.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first == b'%' {
            let digits = std::str::from_utf8(&tail[..2]).expect("digits");
            bytes.push(u8::from_str_radix(digits, 16).expect("digits"));
            rest = &tail[2..];
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}
