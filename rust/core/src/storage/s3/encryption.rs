//! Server-side encryption that a catalog asks for, by the properties of Java's `S3FileIOProperties`. A bucket's
//! own default encryption needs no property.

use std::sync::Once;

use object_store::aws::AmazonS3Builder;

use crate::config::header_can_carry;
use crate::error::{Error, ErrorKind, Result};

const TYPE: &str = "s3.sse.type";
const KEY: &str = "s3.sse.key";

/// How S3 is asked to encrypt new files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Encryption {
    /// The value of `x-amz-server-side-encryption`.
    algorithm: &'static str,
    /// The id or ARN of the KMS key. `None` is the account's default key.
    key: Option<String>,
}

impl Encryption {
    /// Reads a catalog's properties. A type that we do not support is logged.
    ///
    /// # Errors
    /// `Config` when no header can carry the key.
    pub(super) fn new(property: &dyn Fn(&str) -> Option<String>) -> Result<Option<Self>> {
        let Some(kind) = property(TYPE) else {
            return Ok(None);
        };
        let algorithm = match kind.to_ascii_lowercase().as_str() {
            "none" => return Ok(None),
            "s3" => {
                return Ok(Some(Self {
                    algorithm: "AES256",
                    key: None,
                }));
            }
            "kms" => "aws:kms",
            "dsse-kms" => "aws:kms:dsse",
            _ => {
                warn_of(&kind);
                return Ok(None);
            }
        };
        let key = property(KEY);
        if key.as_deref().is_some_and(|key| !header_can_carry(key)) {
            return Err(Error::new(
                ErrorKind::Config,
                format!("the catalog's {KEY} holds characters that no header can carry; fix the catalog"),
            ));
        }
        Ok(Some(Self { algorithm, key }))
    }

    /// Makes uploads carry it.
    ///
    /// # Errors
    /// Those of `object_store`, for option names that it does not know.
    pub(super) fn apply(&self, builder: AmazonS3Builder) -> object_store::Result<AmazonS3Builder> {
        let builder = builder.with_config("aws_server_side_encryption".parse()?, self.algorithm);
        match &self.key {
            Some(key) => Ok(builder.with_config("aws_sse_kms_key_id".parse()?, key)),
            None => Ok(builder),
        }
    }
}

/// Logs a warning, once in this process: storage is set up for each table, and again with new credentials.
fn warn_of(kind: &str) {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        tracing::warn!(
            kind,
            "the catalog asks for a server-side encryption that is not supported ({TYPE}), so files are written without it; \
             supported are s3, kms and dsse-kms, or the bucket's default encryption"
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encryption(kind: &'static str, key: Option<&'static str>) -> Result<Option<Encryption>> {
        Encryption::new(&|name| match name {
            TYPE => Some(kind.to_owned()),
            KEY => key.map(str::to_owned),
            _ => None,
        })
    }

    #[test]
    fn types_are_those_of_java() {
        for (kind, key, expected) in [
            ("none", None, None),
            ("s3", Some("ignored"), Some(("AES256", None))),
            ("kms", None, Some(("aws:kms", None))),
            ("KMS", Some("arn:key"), Some(("aws:kms", Some("arn:key")))),
            ("dsse-kms", Some("id"), Some(("aws:kms:dsse", Some("id")))),
            ("custom", Some("secret"), None),
        ] {
            let found = encryption(kind, key).expect("valid");
            let found = found
                .as_ref()
                .map(|found| (found.algorithm, found.key.as_deref()));
            assert_eq!(found, expected, "{kind}");
        }
        assert_eq!(Encryption::new(&|_| None).expect("valid"), None);
        let error = encryption("kms", Some("a\nb")).expect_err("no header");
        assert!(error.to_string().contains("s3.sse.key"), "{error}");
    }
}
