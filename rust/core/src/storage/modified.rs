//! The time at which a file was last written. Iceberg's `FileIO` has no such method either, so our storages
//! treat reading a location with the suffix [`MARK`] as this request, like [`super::listing`] for folders:
//! they return milliseconds since the Unix epoch as text, or an empty text if the file does not exist.

use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;
use std::{fs, io};

use bytes::Bytes;
use iceberg::io::FileIO;
use iceberg::{Error, ErrorKind, Result};
use object_store::ObjectStoreExt;
use object_store::aws::AmazonS3;
use object_store::path::Path as Key;

/// No location contains this suffix.
const MARK: &str = "\0modified";

/// When a file was last written, by the storage's clock. `None` if the file does not exist.
///
/// # Errors
/// When the request fails, or the answer has no time.
pub(crate) async fn modified_ms(file_io: &FileIO, location: &str) -> Result<Option<i64>> {
    let answer = file_io.new_input(format!("{location}{MARK}"))?.read().await?;
    if answer.is_empty() {
        return Ok(None);
    }
    let ms = std::str::from_utf8(&answer)
        .ok()
        .and_then(|text| text.parse().ok());
    ms.map(Some).ok_or_else(|| {
        Error::new(
            ErrorKind::Unexpected,
            "the storage does not tell when a file was written",
        )
    })
}

/// The location of the file, if reading `location` is such a request.
pub(crate) fn asked(location: &str) -> Option<&str> {
    location.strip_suffix(MARK)
}

/// The answer for a local file.
pub(crate) fn local(file: &Path) -> io::Result<Bytes> {
    let metadata = match fs::metadata(file) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Bytes::new()),
        metadata => metadata?,
    };
    let since = metadata
        .modified()?
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Ok(since.as_millis().to_string().into())
}

/// The answer for a file on S3.
pub(super) async fn s3(bucket: Arc<AmazonS3>, file: Key) -> object_store::Result<Bytes> {
    match bucket.head(&file).await {
        Ok(found) => Ok(found.last_modified.timestamp_millis().to_string().into()),
        Err(object_store::Error::NotFound { .. }) => Ok(Bytes::new()),
        Err(error) => Err(error),
    }
}
