//! The configuration from environment variables: `OTLP2ICEBERG_<KEY>` for every key of the library's
//! configuration, in upper case, with underscores for its dots.

mod aliases;
mod keys;
mod value;

use otlp2iceberg::config::{CatalogType, Config, OnFailure, Secret};
use otlp2iceberg::{Error, ErrorKind, Result};
use serde_json::{Map, Value, json};

use self::keys::{KEYS, Key, Kind};

/// The prefix of all our variables.
const PREFIX: &str = "OTLP2ICEBERG_";
/// Keys of this host only.
const AUTH_TOKEN: &str = "OTLP2ICEBERG_AUTH_TOKEN";
const REGISTER_PARQUET: &str = "OTLP2ICEBERG_REGISTER_PARQUET";

/// The configuration of this host.
#[derive(Debug, Clone)]
pub struct HostConfig {
    /// The library's configuration.
    pub library: Config,
    /// The token that clients must send, if any.
    pub auth_token: Option<Secret>,
    /// Whether Parquet files among the objects are registered in the tables.
    pub register_parquet: bool,
}

/// One variable.
type Variable = (String, String);

impl HostConfig {
    /// Reads the configuration. An unknown variable with our prefix is a problem; other variables are ignored.
    /// So are empty ones, except that an empty token is a problem.
    ///
    /// # Errors
    /// `Config`; the message lists every problem with its variable and what is accepted.
    pub fn from_variables(variables: impl IntoIterator<Item = Variable>) -> Result<Self> {
        let mut variables: Vec<Variable> = variables
            .into_iter()
            .filter(|(name, value)| !value.trim().is_empty() || name == AUTH_TOKEN)
            .collect();
        // Gives the problems a stable order.
        variables.sort();
        let mut read = Read::new();
        for (name, value) in variables {
            read.variable(name, value);
        }
        aliases::apply(&read.aliases, &mut read.given, &mut read.problems);
        if !is_given("catalog.type", &read.given) {
            read.problems.push(
                "OTLP2ICEBERG_CATALOG_TYPE: is needed; accepted are s3tables, glue, rest, sql for a file system \
                 that lasts, and none for Parquet files without a catalog"
                    .into(),
            );
        }
        match Config::from_json(&json_of(&read.given)) {
            Ok(mut library) if read.problems.is_empty() => {
                let no_receipts =
                    library.catalog.is_in_s3_tables() || library.catalog.r#type == CatalogType::None;
                if !is_given("commit.on_failure", &read.given) && !no_receipts {
                    library.commit.on_failure = OnFailure::Accept;
                }
                Ok(Self {
                    library,
                    auth_token: read.auth_token,
                    register_parquet: read.register_parquet,
                })
            }
            Ok(_) => Err(Error::new(ErrorKind::Config, read.problems.join("; "))),
            Err(error) => {
                read.problems.push(name_variables(error.message()));
                Err(Error::new(ErrorKind::Config, read.problems.join("; ")))
            }
        }
    }
}

/// What the variables read so far say.
struct Read {
    given: Vec<Given>,
    /// Variables of otlp2parquet.
    aliases: Vec<Variable>,
    auth_token: Option<Secret>,
    register_parquet: bool,
    problems: Vec<String>,
}

impl Read {
    fn new() -> Self {
        Self {
            given: Vec::new(),
            aliases: Vec::new(),
            auth_token: None,
            register_parquet: true,
            problems: Vec::new(),
        }
    }

    fn variable(&mut self, name: String, value: String) {
        if name == AUTH_TOKEN && value.trim().is_empty() {
            // Ignoring an empty token would silently allow everyone.
            self.problems.push(format!(
                "{AUTH_TOKEN}: is set and blank; give it the token that clients must send, or remove it to ask for none"
            ));
        } else if name == AUTH_TOKEN {
            self.auth_token = Some(Secret::new(value.trim()));
        } else if name == REGISTER_PARQUET {
            match value::read(Kind::Bool, &value) {
                Ok(told) => self.register_parquet = told == Value::Bool(true),
                Err(accepted) => self.problems.push(format!("{REGISTER_PARQUET}: {accepted}")),
            }
        } else if aliases::is_alias(&name) {
            self.aliases.push((name, value));
        } else if let Some(suffix) = name.strip_prefix(PREFIX) {
            match KEYS.iter().find(|key| key.variable_suffix() == suffix) {
                Some(key) => self
                    .given
                    .push(Given::new(key, &name, &value, &mut self.problems)),
                None => self.problems.push(format!(
                    "{name}: there is no such variable; docs/configuration.md lists the keys, \
                     OTLP2ICEBERG_CATALOG_TYPE is catalog.type"
                )),
            }
        }
    }
}

fn is_given(path: &str, given: &[Given]) -> bool {
    given.iter().any(|given| given.key.path == path)
}

/// A key with the value of its variable.
#[derive(Debug)]
struct Given {
    key: &'static Key,
    variable: String,
    value: Value,
}

impl Given {
    fn new(key: &'static Key, variable: &str, text: &str, problems: &mut Vec<String>) -> Self {
        let value = value::read(key.kind, text).unwrap_or_else(|accepted| {
            problems.push(format!("{variable}: {accepted}"));
            Value::Null
        });
        Self {
            key,
            variable: variable.to_owned(),
            value,
        }
    }
}

/// Defaults that fit a function of 512 MB; variables take precedence.
fn defaults() -> Value {
    json!({"limits": {"payload_bytes_max": 128 << 20, "batch_bytes_max": 8 << 20, "parallel_calls_max": 1}})
}

fn json_of(given: &[Given]) -> Vec<u8> {
    let mut config = defaults();
    for Given { key, value, .. } in given.iter().filter(|given| !given.value.is_null()) {
        let mut place = &mut config;
        for level in key.path.split('.') {
            if !place.is_object() {
                *place = Value::Object(Map::new());
            }
            place = &mut place[level];
        }
        // A section given as JSON precedes its single keys in the name order of `KEYS`. Objects are merged,
        // so other keys are kept.
        match (place, value) {
            (Value::Object(there), Value::Object(more)) => there.extend(more.clone()),
            (place, value) => *place = value.clone(),
        }
    }
    config.to_string().into_bytes()
}

/// Replaces each key by its variable's name, for the reader of the message.
#[must_use]
pub fn name_variables(message: &str) -> String {
    let is_key =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, '.' | '_');
    let mut named = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(begin) = rest.find(is_key) {
        let (before, word) = rest.split_at(begin);
        let end = word.find(|letter| !is_key(letter)).unwrap_or(word.len());
        let (word, after) = word.split_at(end);
        let key = word.trim_end_matches('.');
        named.push_str(before);
        match KEYS.iter().find(|known| known.path == key && key.contains('.')) {
            Some(known) => named.push_str(&known.variable()),
            None => named.push_str(key),
        }
        named.push_str(&word[key.len()..]);
        rest = after;
    }
    named.push_str(rest);
    named
}

#[cfg(test)]
mod tests;
