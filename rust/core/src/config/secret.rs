//! Text that must not be shown: keys, tokens, passwords.

use std::fmt;

use serde::de::{self, DeserializeOwned};
use serde::{Deserialize, Deserializer};

/// A secret from the configuration or from a catalog. It has no `Display`, its `Debug` output does not reveal
/// it, and a value of another type is rejected without being repeated in the error.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`, so that it is not printed.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the code that sends it or signs with it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the text is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Deserializes via a value: serde's own type errors quote the input.
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Ok(Self::new(without_end(&text))),
            _ => Err(de::Error::custom("a secret is not a string; put it in quotes")),
        }
    }
}

/// Removes the line break at the end: files with secrets mostly end with one that is not part of the secret.
fn without_end(text: &str) -> &str {
    text.trim_end_matches(['\r', '\n'])
}

/// A location that is safe to repeat in an error: without the part before an `@`, which may contain a
/// password, and without parameters.
pub(super) fn shown(place: &str) -> String {
    let (scheme, rest) = match place.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), place),
    };
    // The last `@`: a secret may also contain one, or a slash.
    let Some((_, rest)) = rest.rsplit_once('@') else {
        return place.to_owned();
    };
    let rest = rest.split('?').next().unwrap_or_default();
    format!("{scheme}…@{rest}")
}

/// Reads a value that comes from such a file but is not itself secret.
pub(super) fn without_line_break<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.map(|text| without_end(&text).to_owned()))
}

/// The same for a required value.
pub(super) fn text_of_file<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    String::deserialize(deserializer).map(|text| without_end(&text).to_owned())
}

/// Reads a section that holds secrets. serde's own error would repeat a value of the wrong type, such as
/// `oauth2: "id:secret"`.
pub(super) fn section<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let value = serde_json::Value::deserialize(deserializer)?;
    if !value.is_object() && !value.is_null() {
        return Err(de::Error::custom("keys and values are expected here"));
    }
    serde_json::from_value(value).map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let secret: Secret = serde_json::from_str("\"hunter2\"").expect("a string");
        assert_eq!(secret.expose(), "hunter2");
        assert!(!format!("{secret:?} {secret:#?}").contains("hunter2"));
        let of_file: Secret = serde_json::from_str(r#""hunter2\r\n""#).expect("a string");
        assert_eq!(of_file, secret);
        for (place, expected) in [
            ("s3://AKID:hush/@x@bucket/wh", "s3://…@bucket/wh"),
            ("https://u:hush@h/db?password=hush", "https://…@h/db"),
            ("u:hush@h", "…@h"),
            ("gs://bucket/wh", "gs://bucket/wh"),
        ] {
            assert_eq!(shown(place), expected);
        }
        let error = serde_json::from_str::<Secret>("4711").expect_err("a number");
        assert!(!error.to_string().contains("4711"), "{error}");
    }
}
