//! A library in its own folder, requests, and the dead letters in storage.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use otlp2iceberg::config::Config;
use otlp2iceberg::{Error, Export, Outcome, Part, Pipeline, RequestId, Signal};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::decode::encode::{delimited, double, fixed64, nested};

/// 2025-06-15 15:06:40 UTC.
pub const RECEIVED: u64 = 1_750_000_000_000_000_000;
/// A day in nanoseconds.
pub const DAY: u64 = 86_400_000_000_000;

/// A folder with a warehouse and, beside it, dead letters.
pub struct Home(TempDir);

impl Home {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn dead(&self) -> PathBuf {
        self.0.path().join("dead")
    }

    /// The library with dead letters; `sections` are further ones of its configuration, in JSON.
    pub async fn opened(&self, sections: &str) -> Pipeline {
        Pipeline::open(self.config(sections)).await.unwrap()
    }

    /// The library with only these sections and the catalog.
    pub async fn opened_as(&self, sections: &str) -> Pipeline {
        Pipeline::open(self.config_of(sections)).await.unwrap()
    }

    /// The configuration of [`Home::opened`].
    pub fn config(&self, sections: &str) -> Config {
        let dead = self.dead();
        let dead = dead.to_str().unwrap();
        self.config_of(&format!(r#""dead_letter": {{"path": {dead:?}}}, {sections}"#))
    }

    fn config_of(&self, sections: &str) -> Config {
        let warehouse = self.0.path().join("warehouse");
        let warehouse = warehouse.to_str().unwrap();
        let sections = sections.trim_end_matches([',', ' ']);
        let comma = if sections.is_empty() { "" } else { "," };
        let json = format!(r#"{{"catalog": {{"warehouse": {warehouse:?}}}{comma} {sections}}}"#);
        Config::from_json(json.as_bytes()).unwrap()
    }

    /// The dead letters by their path below the folder, without suffix: the bytes and the JSON.
    pub fn letters(&self) -> BTreeMap<String, (Vec<u8>, Value)> {
        let mut letters = BTreeMap::new();
        let mut others = Vec::new();
        collect(&self.dead(), &mut |path| {
            let name = path
                .strip_prefix(self.dead())
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            match name.strip_suffix(".otlp.pb") {
                Some(name) => {
                    let json = fs::read(self.dead().join(format!("{name}.json"))).unwrap();
                    let json = serde_json::from_slice(&json).unwrap();
                    letters.insert(name.to_owned(), (fs::read(path).unwrap(), json));
                }
                None => others.push(name),
            }
        });
        assert_eq!(others.len(), letters.len(), "a JSON beside each: {others:?}");
        letters
    }

    /// The one dead letter: name, bytes and JSON.
    pub fn letter(&self) -> (String, Vec<u8>, Value) {
        let letters = self.letters();
        assert_eq!(letters.len(), 1, "{:?}", letters.keys());
        let (name, (bytes, json)) = letters.into_iter().next().unwrap();
        (name, bytes, json)
    }
}

fn collect(folder: &Path, found: &mut dyn FnMut(&Path)) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else {
            found(&path);
        }
    }
}

/// Exports requests, merged, each with its number.
pub async fn export(
    pipeline: &Pipeline,
    signal: Signal,
    requests: &[(u64, Vec<u8>)],
) -> Result<Outcome, Error> {
    let parts: Vec<Part> = requests
        .iter()
        .map(|(sequence, request)| Part {
            id: RequestId {
                writer: [7; 16],
                sequence: *sequence,
            },
            len: request.len() as u64,
        })
        .collect();
    let payload: Vec<u8> = requests.iter().flat_map(|(_, request)| request.clone()).collect();
    pipeline
        .export(Export {
            signal,
            payload: &payload,
            parts: &parts,
            received_unix_nano: RECEIVED,
            cancel: CancellationToken::new(),
            timeout: Duration::from_secs(60),
        })
        .await
}

/// A log record with this body, `days` after the day of arrival.
pub fn record(body: &str, days: u64) -> Vec<u8> {
    delimited(
        2,
        [fixed64(1, RECEIVED + days * DAY), nested(&[5, 1], body)].concat(),
    )
}

/// A logs request of these records, with a resource and a scope.
pub fn logs(service: &str, records: &[Vec<u8>]) -> Vec<u8> {
    let attribute = [delimited(1, "service.name"), nested(&[2, 1], service)].concat();
    let resource = nested(&[1, 1], attribute);
    let scope = nested(&[1, 1], "a scope");
    delimited(
        1,
        [resource, delimited(2, [scope, records.concat()].concat())].concat(),
    )
}

/// A gauge of one point.
pub fn gauge(name: &str, value: f64) -> Vec<u8> {
    let point = nested(&[5, 1], [fixed64(3, RECEIVED), double(4, value)].concat());
    delimited(2, [delimited(1, name), point].concat())
}

/// A histogram of two points: a valid one, and one with a bound but no counts.
pub fn half_bad_histogram(name: &str) -> Vec<u8> {
    let good = delimited(1, fixed64(3, RECEIVED));
    let bad = delimited(1, [fixed64(3, RECEIVED), double(7, 1.5)].concat());
    let data = delimited(9, [good, bad, vec![0x10, 2]].concat());
    delimited(2, [delimited(1, name), delimited(3, "ms"), data].concat())
}

/// A histogram of this many points, each with a bound but no counts.
pub fn bad_histogram(name: &str, points: usize) -> Vec<u8> {
    let bad = delimited(1, [fixed64(3, RECEIVED), double(7, 1.5)].concat());
    let data = delimited(9, [bad.repeat(points), vec![0x10, 2]].concat());
    delimited(2, [delimited(1, name), data].concat())
}

/// A metrics request with a resource.
pub fn metrics(service: &str, metrics: &[Vec<u8>]) -> Vec<u8> {
    let attribute = [delimited(1, "service.name"), nested(&[2, 1], service)].concat();
    let resource = nested(&[1, 1], attribute);
    delimited(1, [resource, delimited(2, metrics.concat())].concat())
}
