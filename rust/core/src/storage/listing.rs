//! Lists the files of a folder. Iceberg's `FileIO` has no such method, so our storages treat reading a
//! location that ends in a slash as a listing: they return the names in that folder, one per line. This works
//! through every wrapper of a `FileIO`, such as the one that renews credentials.

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

/// The names of the files in a folder, in no particular order. Empty if the folder does not exist. On S3 this
/// is one LIST request per 1,000 files.
///
/// # Errors
/// When the storage cannot list the folder, or does not allow it.
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

/// The listing of a local folder.
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

/// The listing of a folder on S3.
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

/// Names with line breaks are left out, since none of our files has one.
fn one_in_each_line(mut names: Vec<String>) -> Bytes {
    names.retain(|name| !name.contains(['\n', '\r']));
    names.join("\n").into()
}
