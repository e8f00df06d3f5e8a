//! Operations that Iceberg's `FileIO` lacks: listing a folder, and when a file was last written.
//!
//! Each is a read of a special location, so that it works through every wrapper of a `FileIO`, such as the one
//! that renews credentials. Our storages recognise these locations with [`ExtendedRead::parse`].

use iceberg::io::FileIO;
use iceberg::{Error, ErrorKind, Result};

/// Ends the location of [`ExtendedRead::Modified`]. No location of a file contains it.
const MODIFIED: &str = "\0modified";

/// What a read of a special location asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExtendedRead<'a> {
    /// The names of the files in this folder, one per line, in no particular order. Empty if it does not exist.
    /// The location ends in a slash.
    List(&'a str),
    /// When this file was last written: milliseconds since the Unix epoch, as text. Empty if it does not exist.
    Modified(&'a str),
}

impl<'a> ExtendedRead<'a> {
    /// What a read of `location` asks for; `None` for the content of a file.
    pub(super) fn parse(location: &'a str) -> Option<Self> {
        if let Some(file) = location.strip_suffix(MODIFIED) {
            return Some(Self::Modified(file));
        }
        location.ends_with('/').then_some(Self::List(location))
    }
}

/// The names of the files in a folder, in no particular order. Empty if the folder does not exist. On S3 this
/// is one LIST request per 1,000 files.
///
/// # Errors
/// When the storage cannot list the folder, or does not allow it.
pub(crate) async fn list(file_io: &FileIO, folder: &str) -> Result<Vec<String>> {
    let location = format!("{}/", folder.trim_end_matches('/'));
    let names = file_io.new_input(location)?.read().await?;
    let names = std::str::from_utf8(&names).map_err(|cause| {
        Error::new(ErrorKind::Unexpected, "a folder has names that are not UTF-8").with_source(cause)
    })?;
    Ok(names.lines().map(str::to_owned).collect())
}

/// When a file was last written, in milliseconds since the Unix epoch by the storage's clock; `None` if it does
/// not exist.
///
/// # Errors
/// When the storage cannot be reached, or does not report the time.
pub(crate) async fn modified_ms(file_io: &FileIO, location: &str) -> Result<Option<i64>> {
    let answer = file_io.new_input(format!("{location}{MODIFIED}"))?.read().await?;
    if answer.is_empty() {
        return Ok(None);
    }
    let ms = std::str::from_utf8(&answer)
        .ok()
        .and_then(|text| text.parse().ok());
    ms.map(Some).ok_or_else(|| {
        let message = "the storage does not report when a file was written";
        Error::new(ErrorKind::Unexpected, message)
    })
}

/// The answer to [`ExtendedRead::List`]. Names with line breaks are left out: none of our files has one.
pub(super) fn list_answer(mut names: Vec<String>) -> bytes::Bytes {
    names.retain(|name| !name.contains(['\n', '\r']));
    names.join("\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_locations_are_told_from_files() {
        for (location, expected) in [
            ("s3://b/t/data/", Some(ExtendedRead::List("s3://b/t/data/"))),
            (
                "/t/1.parquet\0modified",
                Some(ExtendedRead::Modified("/t/1.parquet")),
            ),
            ("/t/1.parquet", None),
            ("/t/modified", None),
        ] {
            assert_eq!(ExtendedRead::parse(location), expected, "{location:?}");
        }
    }
}
