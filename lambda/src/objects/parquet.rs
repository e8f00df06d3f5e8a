//! Parquet files among the objects: recognised by their names, and registered in place.

use otlp2iceberg::storage::{End, Objects};
use otlp2iceberg::write::register::{FOOTER_GUESS_BYTES, Footer, Tail};
use otlp2iceberg::{Error, ErrorKind, ParquetFile, Result};

use super::Notified;
use crate::store::content_id;

/// Whether an object is registered instead of read.
pub(super) fn is_parquet(key: &str) -> bool {
    key.len() > EXTENSION.len()
        && key
            .get(key.len() - EXTENSION.len()..)
            .is_some_and(|end| end.eq_ignore_ascii_case(EXTENSION))
}

const EXTENSION: &str = ".parquet";

/// The error for an object that would be registered if that were not switched off.
pub(super) fn not_registered() -> Error {
    Error::new(
        ErrorKind::InvalidArgument,
        "Parquet files are not registered (OTLP2ICEBERG_REGISTER_PARQUET is false). If this one belongs into a table, put it where \
         nothing deletes it and set that variable to true; otherwise keep Parquet files out of the notifications",
    )
}

/// Reads an object's footer; `None` if the object was overwritten in the meantime.
///
/// # Errors
/// `Decode` when it is not a complete Parquet file; `Storage`.
pub(super) async fn read(objects: &Objects, notified: &Notified) -> Result<Option<ParquetFile>> {
    let object = &notified.object;
    let mut wanted = FOOTER_GUESS_BYTES;
    // First a guess, then the length that the footer declares.
    for _ in 0..2 {
        let End::Last { bytes, size } = objects.read_end(object, wanted).await? else {
            return Ok(None);
        };
        match Footer::read(&bytes, size)? {
            Tail::Whole(footer) => {
                let place = format!("{}/{}", object.bucket, object.key);
                return Ok(Some(ParquetFile {
                    location: format!("s3://{place}"),
                    footer: *footer,
                    content: content_id(notified.name().as_bytes()),
                    place: content_id(place.as_bytes()),
                }));
            }
            Tail::Needs(bytes) => wanted = bytes,
        }
    }
    Err(Error::new(
        ErrorKind::Storage,
        "the object changed while its footer was read",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells() {
        for (key, expected) in [
            ("a/b.parquet", true),
            ("b.PARQUET", true),
            (".parquet", false),
            ("a.parquet.gz", false),
            ("é日parquet", false),
            ("", false),
        ] {
            assert_eq!(is_parquet(key), expected, "{key}");
        }
    }
}
