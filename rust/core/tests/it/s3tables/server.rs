//! S3 Tables in memory, with its tables' files in a temporary folder.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use otlp2iceberg::catalog::{self, Catalog};
use otlp2iceberg::config::Config;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::catalog_rest::stub::{Asked, Reply, Stub};

pub const BUCKET: &str = "arn:aws:s3tables:eu-west-1:123456789012:bucket/lake";
/// As encoded in a path.
pub const BUCKET_ENCODED: &str = "arn%3Aaws%3As3tables%3Aeu-west-1%3A123456789012%3Abucket%2Flake";

/// How the next update of a metadata location is answered.
#[derive(Debug, Clone)]
pub enum Turn {
    /// Like the service.
    Real,
    /// This reply, without an update.
    Instead(Reply),
    /// This reply, after the update.
    After(Reply),
}

#[derive(Debug, Clone, Default)]
pub struct Table {
    pub version: u64,
    pub metadata_location: Option<String>,
}

/// The state that a test sets up and checks.
#[derive(Default)]
pub struct State {
    pub namespaces: BTreeSet<String>,
    /// By namespace and name, with a slash between.
    pub tables: HashMap<String, Table>,
    /// The next updates, in turn.
    pub turns: VecDeque<Turn>,
    /// Answers to the next creations of tables, in turn, after they were carried out.
    pub creation_answers: VecDeque<Reply>,
    /// The next answers to requests of any kind.
    pub gate: VecDeque<Reply>,
    pub no_bucket: bool,
}

pub struct Server {
    pub stub: Stub,
    pub folder: TempDir,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let state = Arc::<Mutex<State>>::default();
        let (shared, root) = (Arc::clone(&state), folder.path().to_path_buf());
        let stub = Stub::new(move |asked| {
            let mut state = shared.lock().expect("lock");
            let gated = state.gate.pop_front();
            gated.unwrap_or_else(|| state.answer(asked, root.to_str().expect("UTF-8")))
        });
        Self { stub, folder, state }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("lock")
    }

    /// A configuration for this server; `catalog` are further keys of that section.
    pub fn config(&self, catalog: &str) -> Config {
        let comma = if catalog.is_empty() { "" } else { "," };
        let json = format!(
            r#"{{"catalog": {{"type": "s3tables", "s3tables_api": "native", "warehouse": "{BUCKET}",
                "uri": "{}"{comma}{catalog}}}}}"#,
            self.stub.uri()
        );
        Config::from_json(json.as_bytes()).expect("valid configuration")
    }

    pub async fn catalog(&self, catalog: &str) -> Arc<dyn Catalog> {
        catalog::open(&self.config(catalog)).await.expect("catalog opens")
    }

    /// Where the table's newest metadata file is.
    pub fn location(&self) -> Option<String> {
        self.state().tables["otel/logs"].metadata_location.clone()
    }

    /// The metadata files of the table in its folder.
    pub fn metadata_files(&self) -> Vec<String> {
        let folder = self.folder.path().join("logs/metadata");
        crate::commit_support::file_names(&folder, ".metadata.json")
    }

    /// How many updates were sent.
    pub fn updates(&self) -> usize {
        self.stub.asked_for("PUT", "/metadata-location").len()
    }
}

impl State {
    fn answer(&mut self, asked: &Asked, root: &str) -> Reply {
        if self.no_bucket {
            return refusal(404, "NotFoundException");
        }
        let parts: Vec<&str> = asked.target.trim_start_matches('/').split('/').collect();
        match (asked.method.as_str(), parts.as_slice()) {
            ("PUT", ["namespaces", BUCKET_ENCODED]) => {
                let namespace = asked.json()["namespace"][0].as_str().expect("a name").to_owned();
                if self.namespaces.insert(namespace) {
                    Reply::json(200, &json!({"tableBucketARN": BUCKET}))
                } else {
                    refusal(409, "ConflictException")
                }
            }
            ("PUT", ["tables", BUCKET_ENCODED, namespace]) => self.create(namespace, &asked.json()),
            ("GET", ["tables", BUCKET_ENCODED, namespace, name, "metadata-location"]) => {
                match self.tables.get(&format!("{namespace}/{name}")) {
                    None => refusal(404, "NotFoundException"),
                    Some(table) => Reply::json(
                        200,
                        &json!({
                            "versionToken": table.token(),
                            "metadataLocation": table.metadata_location,
                            "warehouseLocation": format!("file://{root}/{name}"),
                        }),
                    ),
                }
            }
            ("PUT", ["tables", BUCKET_ENCODED, namespace, name, "metadata-location"]) => {
                self.update(&format!("{namespace}/{name}"), &asked.json())
            }
            _ => refusal(400, "BadRequestException"),
        }
    }

    fn create(&mut self, namespace: &str, body: &Value) -> Reply {
        assert_eq!(body["format"], "ICEBERG");
        if !self.namespaces.contains(namespace) {
            return refusal(404, "NotFoundException");
        }
        let key = format!("{namespace}/{}", body["name"].as_str().expect("a name"));
        if self.tables.contains_key(&key) {
            return refusal(409, "ConflictException");
        }
        let table = Table::default();
        let answer = json!({"tableARN": format!("{BUCKET}/table/1"), "versionToken": table.token()});
        self.tables.insert(key, table);
        self.creation_answers
            .pop_front()
            .unwrap_or_else(|| Reply::json(200, &answer))
    }

    fn update(&mut self, key: &str, body: &Value) -> Reply {
        match self.turns.pop_front().unwrap_or(Turn::Real) {
            Turn::Real => self.swap(key, body),
            Turn::Instead(reply) => reply,
            Turn::After(reply) => {
                let real = self.swap(key, body);
                assert!(matches!(real, Reply::Answer(200, ..)), "{real:?}");
                reply
            }
        }
    }

    fn swap(&mut self, key: &str, body: &Value) -> Reply {
        let Some(table) = self.tables.get_mut(key) else {
            return refusal(404, "NotFoundException");
        };
        if body["versionToken"] != table.token() {
            return refusal(409, "ConflictException");
        }
        let location = body["metadataLocation"].as_str().expect("a location").to_owned();
        table.version += 1;
        table.metadata_location = Some(location.clone());
        Reply::json(
            200,
            &json!({"versionToken": table.token(), "metadataLocation": location}),
        )
    }
}

impl Table {
    fn token(&self) -> String {
        format!("token-{}", self.version)
    }
}

/// A refusal like those of AWS's services.
pub fn refusal(status: u16, kind: &str) -> Reply {
    let body = json!({"message": "The service says so."}).to_string();
    let headers = vec![
        ("content-type", "application/json".to_owned()),
        ("x-amzn-errortype", kind.to_owned()),
    ];
    Reply::Answer(status, headers, body)
}
