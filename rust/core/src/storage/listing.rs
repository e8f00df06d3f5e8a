//! Which files a folder holds. Iceberg's `FileIO` has no word for that, so our storages take the reading
//! of a location that ends in a slash for it: they answer with the names in that folder, one in each line.
//! So it goes through every wrapper that a `FileIO` may have, such as the one that renews credentials.

use std::path::Path;
use std::sync::Arc;
use std::{fs, io};

use bytes::Bytes;
use futures::TryStreamExt;
use iceberg::io::FileIO;
use iceberg::{Error, ErrorKind, Result};
use object_store::ObjectStore;
use object_store::aws::AmazonS3;
use object_store::path::Path as Key;

/// The names of the files in a folder, in no order; none if there is no such folder. On S3 that is one
/// LIST request for each 1,000 files.
///
/// # Errors
/// When the storage cannot or must not list.
pub(crate) async fn list(file_io: &FileIO, folder: &str) -> Result<Vec<String>> {
    let names = file_io
        .new_input(format!("{}/", folder.trim_end_matches('/')))?
        .read()
        .await?;
    let names = std::str::from_utf8(&names).map_err(|cause| {
        Error::new(ErrorKind::Unexpected, "a folder has names that are not UTF-8").with_source(cause)
    })?;
    Ok(names.lines().map(str::to_owned).collect())
}

/// Answers for a local folder.
pub(crate) fn local(folder: &Path) -> io::Result<Bytes> {
    let entries = match fs::read_dir(folder) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Bytes::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(one_in_each_line(names))
}

/// Answers for a folder on S3.
pub(super) async fn s3(bucket: Arc<AmazonS3>, folder: Key) -> object_store::Result<Bytes> {
    let files: Vec<_> = bucket.list(Some(&folder)).try_collect().await?;
    let names = files
        .iter()
        .filter_map(|file| {
            let mut below = file.location.prefix_match(&folder)?;
            let name = below.next()?.as_ref().to_owned();
            below.next().is_none().then_some(name)
        })
        .collect();
    Ok(one_in_each_line(names))
}

/// None of ours has a line break in its name.
fn one_in_each_line(mut names: Vec<String>) -> Bytes {
    names.retain(|name| !name.contains(['\n', '\r']));
    names.join("\n").into()
}
