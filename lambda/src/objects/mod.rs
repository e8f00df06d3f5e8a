//! S3 objects that contain OTLP: each is loaded once, with as many as fit in one snapshot.

mod content;
mod group;
mod load;
mod notification;
mod parquet;

use otlp2iceberg::storage::ObjectVersion;
use serde_json::Value;

pub use self::load::load;

/// A queue message, or a notification without a queue.
#[derive(Debug)]
pub struct Message {
    /// The queue's message id; empty without a queue.
    pub id: String,
    /// The objects that it names, or why they are unknown.
    pub objects: Result<Vec<Notified>, String>,
}

/// One created object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notified {
    /// The object and its version.
    pub object: ObjectVersion,
    /// Creation time, nanoseconds since the Unix epoch; 0 if unknown.
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

    /// Objects listed explicitly: `s3://bucket/key` each.
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
    /// The object's name in messages: `bucket/key@version`, with the `ETag` where there are no versions.
    #[must_use]
    pub fn name(&self) -> String {
        let object = &self.object;
        let version = object.version.as_deref().or(object.etag.as_deref()).unwrap_or("");
        format!("{}/{}@{version}", object.bucket, object.key)
    }
}
