//! The S3 side of [`super::super::extended_reads`].

use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::aws::AmazonS3;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt};

use super::super::extended_reads::list_answer;

/// The listing of a folder.
pub(super) async fn list(bucket: Arc<AmazonS3>, folder: Key) -> object_store::Result<Bytes> {
    let files: Vec<_> = bucket.list(Some(&folder)).try_collect().await?;
    let names = files
        .iter()
        .filter_map(|file| {
            let mut below = file.location.prefix_match(&folder)?;
            let name = below.next()?.as_ref().to_owned();
            below.next().is_none().then_some(name)
        })
        .collect();
    Ok(list_answer(names))
}

/// When a file was last written.
pub(super) async fn modified(bucket: Arc<AmazonS3>, file: Key) -> object_store::Result<Bytes> {
    match bucket.head(&file).await {
        Ok(found) => Ok(found.last_modified.timestamp_millis().to_string().into()),
        Err(object_store::Error::NotFound { .. }) => Ok(Bytes::new()),
        Err(error) => Err(error),
    }
}
