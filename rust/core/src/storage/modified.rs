//! When a file was last written. Iceberg's `FileIO` has no word for that either, so our storages take the reading of
//! a location with [`MARK`] at its end for it, as [`super::listing`] has it for folders: they answer with milliseconds
//! since the Unix epoch, as text, and with none where there is no file.

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

/// No location has one.
const MARK: &str = "\0modified";

/// When a file was last written, by the storage's clock; `None` if it is not there.
///
/// # Errors
/// When the storage cannot be asked, or does not tell.
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

/// The location whose file is asked about, if that is what a reading of `location` means.
pub(crate) fn asked(location: &str) -> Option<&str> {
    location.strip_suffix(MARK)
}

/// Answers for a local file.
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

/// Answers for a file on S3.
pub(super) async fn s3(bucket: Arc<AmazonS3>, file: Key) -> object_store::Result<Bytes> {
    match bucket.head(&file).await {
        Ok(found) => Ok(found.last_modified.timestamp_millis().to_string().into()),
        Err(object_store::Error::NotFound { .. }) => Ok(Bytes::new()),
        Err(error) => Err(error),
    }
}
