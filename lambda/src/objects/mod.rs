//! Objects on S3 that hold OTLP: loaded once each, as many as fit in one snapshot.

mod content;
mod load;
mod notification;
mod parquet;

use otlp2iceberg::catalog::storage::ObjectVersion;
use serde_json::Value;

pub use self::load::load;

/// A message of a queue, or a notification that came by itself.
#[derive(Debug)]
pub struct Message {
    /// The queue's id for it; empty without a queue.
    pub id: String,
    /// What it names, or why that cannot be told.
    pub objects: Result<Vec<Notified>, String>,
}

/// One object that was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notified {
    /// Which.
    pub object: ObjectVersion,
    /// When, in nanoseconds since the Unix epoch; 0 if it is not told.
    pub created_unix_nano: u64,
}

impl Message {
    /// A record of an SQS event.
    #[must_use]
    pub fn of_queue(record: &Value) -> Self {
        let text = record["body"].as_str().unwrap_or("");
        Self {
            id: record["messageId"].as_str().unwrap_or("").to_owned(),
            objects: notification::parse_text(text),
        }
    }

    /// Objects that somebody lists: `s3://bucket/key` each.
    #[must_use]
    pub fn of_list(objects: &Value) -> Self {
        Self {
            id: String::new(),
            objects: notification::parse_list(objects),
        }
    }

    /// An event of S3, SNS or `EventBridge`.
    #[must_use]
    pub fn of_notification(event: &Value) -> Self {
        Self {
            id: String::new(),
            objects: notification::parse(event),
        }
    }
}

impl Notified {
    /// What the object is known by: `bucket/key@version`, with the `ETag` where there are no versions.
    #[must_use]
    pub fn name(&self) -> String {
        let object = &self.object;
        let version = object.version.as_deref().or(object.etag.as_deref()).unwrap_or("");
        format!("{}/{}@{version}", object.bucket, object.key)
    }
}
