//! Parses JSON into the configuration section by section, so that an error in one does not hide those in
//! others.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Config;

/// Reads every section. An unreadable one is named in `problems` and left at its defaults.
pub(super) fn sections(json: &[u8], problems: &mut Vec<String>) -> Config {
    let mut keys = match serde_json::from_slice(json) {
        Ok(Value::Object(keys)) => keys,
        Ok(_) => {
            problems.push("the configuration must be a JSON object".into());
            Map::new()
        }
        Err(cause) => {
            problems.push(format!("the configuration is no JSON: {cause}"));
            Map::new()
        }
    };
    let config = Config {
        catalog: section(&mut keys, "catalog", problems),
        storage: section(&mut keys, "storage", problems),
        tables: section(&mut keys, "tables", problems),
        parquet: section(&mut keys, "parquet", problems),
        commit: section(&mut keys, "commit", problems),
        compaction: section(&mut keys, "compaction", problems),
        limits: section(&mut keys, "limits", problems),
        dead_letter: section(&mut keys, "dead_letter", problems),
    };
    for key in keys.keys() {
        problems.push(format!(
            "{key}: there is no such key; known are catalog, storage, tables, parquet, commit, compaction, limits, dead_letter"
        ));
    }
    config
}

/// Takes one section out of the keys. If it is missing or null, its defaults apply.
fn section<T: DeserializeOwned + Default>(
    keys: &mut Map<String, Value>,
    name: &str,
    problems: &mut Vec<String>,
) -> T {
    let value = match keys.remove(name) {
        None | Some(Value::Null) => return T::default(),
        Some(value @ Value::Object(_)) => value,
        Some(_) => {
            problems.push(format!("{name}: must be a section with keys of its own"));
            return T::default();
        }
    };
    serde_path_to_error::deserialize(value).unwrap_or_else(|cause| {
        let path = cause.path().to_string();
        let key = if path == "." {
            name.to_owned()
        } else {
            format!("{name}.{path}")
        };
        problems.push(format!("{key}: {}", cause.into_inner()));
        T::default()
    })
}
