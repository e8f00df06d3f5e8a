//! Writes dead letters to their storage, as durably as data files.

use std::collections::HashMap;
use std::path::Path;

use bytes::Bytes;
use futures::future::try_join_all;
use iceberg::io::FileIO;

use super::collect::Collector;
use super::object::Object;
use crate::cause::IcebergCause;
use crate::config::{Config, local_place, on_s3};
use crate::error::{Error, ErrorKind, Result, RetryClass};
use crate::pipeline::call::Call;
use crate::storage::{self, create_folders, hiding_file_io};

/// Number of objects written concurrently.
const WRITES_AT_ONCE: usize = 8;

/// The store for dead letters.
#[derive(Debug)]
pub(crate) struct Store {
    file_io: FileIO,
    /// Without a trailing slash.
    location: String,
    /// An object is closed before it exceeds this size.
    pub object_bytes_max: usize,
}

/// Counts of what was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    pub records: u64,
    pub objects: u64,
}

impl Store {
    /// Creates a local directory. A bucket is not contacted.
    pub(super) fn open(path: &str, config: &Config) -> Result<Self> {
        let failed = |message: &str| {
            let message = format!("dead_letter.path: {path:?} {message}");
            Error::new(ErrorKind::Config, message).class(RetryClass::Permanent)
        };
        let (location, file_io) = if on_s3(path).is_some() {
            let location = path.trim_end_matches('/').to_owned();
            let file_io = storage::file_io(&location, &HashMap::new(), &config.storage)?;
            (location, file_io)
        } else {
            let local = local_place(path).map_err(failed)?;
            let absolute = storage::absolute_path(Path::new(local))
                .map_err(|cause| failed("cannot be made absolute").because(cause))?;
            create_folders(&absolute).map_err(|cause| failed("cannot be made a directory").because(cause))?;
            let absolute = absolute.to_str().ok_or_else(|| failed("is not UTF-8"))?;
            (absolute.trim_end_matches('/').to_owned(), hiding_file_io())
        };
        Ok(Self {
            file_io,
            location,
            object_bytes_max: config.dead_letter.object_bytes_max,
        })
    }

    /// The location of dead letters, for messages.
    pub(crate) fn location(&self) -> &str {
        &self.location
    }

    /// Writes the collected objects. Each object exists before the JSON that describes it.
    ///
    /// # Errors
    /// `Storage` or `Cancelled`, retryable: nothing is acknowledged that is not kept.
    pub(crate) async fn write(&self, collector: Collector<'_>, call: &Call) -> Result<Kept> {
        let mut kept = Kept::default();
        let mut objects = collector.into_objects().into_iter().peekable();
        while objects.peek().is_some() {
            call.proceed()?;
            let some = objects.by_ref().take(WRITES_AT_ONCE);
            let written = try_join_all(some.map(|object| self.write_one(object)));
            let written = tokio::time::timeout_at(call.deadline(), written)
                .await
                .map_err(|_| self.failed("out of time"))??;
            kept.objects += written.len() as u64;
            kept.records += written.iter().sum::<u64>();
        }
        Ok(kept)
    }

    /// Writes one object. Returns its number of records.
    async fn write_one(&self, object: Object) -> Result<u64> {
        let records = object.records();
        let json = object.json()?;
        let Object { name, bytes, .. } = object;
        self.put(&format!("{name}.otlp.pb"), bytes).await?;
        self.put(&format!("{name}.json"), json).await?;
        Ok(records)
    }

    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        let path = format!("{}/{name}", self.location);
        let written = async {
            let output = self.file_io.new_output(&path)?;
            output.write(Bytes::from(bytes)).await
        };
        written.await.map_err(|cause| self.failed(IcebergCause(cause)))
    }

    /// Every failure is retryable, because only a retry prevents loss.
    fn failed(&self, cause: impl Into<Box<dyn std::error::Error + Send + Sync + 'static>>) -> Error {
        let message = "cannot write a dead letter; see to dead_letter.path, or leave it out to only count what is rejected";
        Error::new(ErrorKind::Storage, message)
            .with("dead_letter.path", self.location.clone())
            .class(RetryClass::Retry { after: None })
            .because(cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that sends letters again reads the folder. A killed process leaves incomplete files.
    #[tokio::test]
    async fn a_letter_that_is_not_whole_is_hidden() {
        let folder = tempfile::tempdir().expect("tempdir");
        let path = folder.path().to_str().expect("UTF-8");
        let store = Store::open(path, &Config::default()).expect("opens");
        let output = store.file_io.new_output(format!("{}/1.otlp.pb", store.location));
        let mut writer = output.expect("output").writer().await.expect("writer");
        writer.write(Bytes::from_static(b"half")).await.expect("written");
        let names: Vec<String> = std::fs::read_dir(folder.path())
            .expect("folder")
            .map(|entry| entry.expect("entry").file_name().into_string().expect("UTF-8"))
            .collect();
        assert!(names.len() == 1 && names[0].starts_with('.'), "{names:?}");
    }
}
