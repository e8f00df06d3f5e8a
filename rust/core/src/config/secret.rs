//! Values that must not be seen: tokens, passwords, keys.

use std::fmt;

use serde::de::{self, DeserializeOwned};
use serde::{Deserialize, Deserializer};

/// A secret. Its `Debug` prints `[redacted]`, it has no `Display`, and an error that comes of reading
/// it does not repeat it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself. Give it to nothing that prints.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(secret) => Ok(Self(secret)),
            _ => Err(de::Error::custom("a secret must be a string; put it in quotes")),
        }
    }
}

/// Reads an optional section that holds secrets. serde's own error would print a value that is of the
/// wrong type, such as `oauth2: "id:secret"`.
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
    fn a_secret_is_in_no_text_made_of_it() {
        let secret: Secret = serde_json::from_str("\"hunter2\"").expect("a string");
        assert_eq!(secret.expose(), "hunter2");
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "[redacted] Some([redacted])");
        let error = serde_json::from_str::<Secret>("4711").expect_err("a number");
        assert!(!error.to_string().contains("4711"), "{error}");
    }
}
