//! Converts a variable's text to the value of its key.

use serde_json::{Map, Value};

use super::keys::Kind;

/// Reads a value.
///
/// # Errors
/// The accepted format. The text is not repeated: it may be a secret.
pub(super) fn read(kind: Kind, text: &str) -> Result<Value, &'static str> {
    let text = text.trim();
    match kind {
        Kind::Bool => match text.to_ascii_lowercase().as_str() {
            "true" => Ok(true.into()),
            "false" => Ok(false.into()),
            _ => Err("must be true or false"),
        },
        Kind::Integer => text
            .parse::<u64>()
            .map(Value::from)
            .map_err(|_| "must be a whole number, without a unit"),
        // A single object would otherwise be parsed as a list of odd names.
        Kind::Items if text.starts_with(['[', '{']) => items(text),
        Kind::List | Kind::Items => list(text),
        Kind::Map => map(text),
        Kind::WordOrList if text.starts_with('[') => list(text),
        Kind::Text | Kind::WordOrList => Ok(text.into()),
    }
}

fn list(text: &str) -> Result<Value, &'static str> {
    const ACCEPTED: &str = "must be a list: a,b or as JSON [\"a\",\"b\"]";
    if text.starts_with('[') {
        let items: Vec<String> = serde_json::from_str(text).map_err(|_| ACCEPTED)?;
        return Ok(items.into());
    }
    let items: Vec<&str> = text.split(',').map(str::trim).collect();
    if items.contains(&"") {
        return Err(ACCEPTED);
    }
    Ok(items.into())
}

fn items(text: &str) -> Result<Value, &'static str> {
    let items: Vec<Value> = serde_json::from_str(text)
        .map_err(|_| "must be a list: a,b or as JSON [\"a\",{\"attribute\":\"b\",\"type\":\"long\"}]")?;
    Ok(items.into())
}

fn map(text: &str) -> Result<Value, &'static str> {
    const ACCEPTED: &str = "must be keys and values: a=1,b=2 or as JSON {\"a\":\"1\",\"b\":\"2\"}";
    if text.starts_with('{') {
        let pairs: std::collections::BTreeMap<String, String> =
            serde_json::from_str(text).map_err(|_| ACCEPTED)?;
        return Ok(Value::Object(
            pairs
                .into_iter()
                .map(|(key, value)| (key, value.into()))
                .collect(),
        ));
    }
    let pairs = text.split(',').map(|pair| {
        let (key, value) = pair.split_once('=')?;
        Some((key.trim().to_owned(), Value::from(value.trim())))
    });
    pairs
        .collect::<Option<Map<_, _>>>()
        .map(Value::Object)
        .ok_or(ACCEPTED)
}
