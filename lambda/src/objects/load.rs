//! Loads the objects that messages name: reads them one after the other, and stores them in groups. A failure of
//! one object does not affect the others.
//!
//! The time is divided into rounds, so that reading cannot use up the time that storing needs: objects are read
//! in one half of the time that is left, and stored in the other. What is left after that is the next round's.
//! Slow reading or one object that does not arrive then costs some of the objects, and the others are stored.

use std::collections::HashMap;
use std::mem;
use std::time::Duration;

use bytes::Bytes;
use otlp2iceberg::storage::{Content, Objects};
use otlp2iceberg::{Error, ErrorKind, ParquetFile, Result, RetryClass};

use super::group::{Group, Member};
use super::{Message, Notified, content, parquet};
use crate::deadline::Deadline;
use crate::emf::Metrics;
use crate::store::Store;

/// No round begins when less than this is left: it could store nothing.
const ROUND_MIN: Duration = Duration::from_secs(2);

/// Loads all objects; returns the first error of each message, in order. Objects that the time is not enough for
/// have failed, and can be loaded later.
pub async fn load(
    store: &Store,
    messages: &[Message],
    deadline: Deadline,
    metrics: &mut Metrics,
) -> Vec<Option<Error>> {
    let mut loading = Loading {
        store,
        deadline,
        read_by: deadline.share(2),
        metrics,
        group: Group::default(),
        results: HashMap::new(),
    };
    let mut objects = messages
        .iter()
        .flat_map(|message| message.objects.iter().flatten())
        .peekable();
    while let Some(notified) = objects.next() {
        loading.add(notified, objects.peek().is_none()).await;
    }
    loading.flush().await;
    let results = loading.results;
    messages
        .iter()
        .map(|message| match &message.objects {
            Err(problem) => {
                tracing::error!(message_id = %message.id, error = %problem, "a message cannot be read");
                Some(Error::new(ErrorKind::InvalidArgument, problem.clone()))
            }
            Ok(objects) => objects
                .iter()
                .find_map(|notified| results.get(&notified.name())?.as_ref())
                .map(|failure| failure.error(&message.id)),
        })
        .collect()
}

pub(super) struct Loading<'a> {
    pub(super) store: &'a Store,
    pub(super) deadline: Deadline,
    /// The end of the round's half for reading.
    read_by: Deadline,
    pub(super) metrics: &'a mut Metrics,
    group: Group,
    /// The result of each object, by its name. An object that several messages name is loaded once.
    results: HashMap<String, Option<Failure>>,
}

/// Why an object was not loaded; several messages may name it.
#[derive(Debug, Clone)]
struct Failure {
    kind: ErrorKind,
    class: RetryClass,
    object: String,
    text: String,
}

impl Loading<'_> {
    async fn add(&mut self, notified: &Notified, is_last: bool) {
        let known_as = notified.name();
        if self.results.contains_key(&known_as) {
            return;
        }
        if self.read_by.left().is_zero() {
            self.flush().await;
        }
        let mut read = self.read_in_time(notified, &known_as, is_last).await;
        // The objects before it have used its time. Once they are stored, it gets a share of what is left.
        if read.is_none() && !self.group.is_empty() {
            self.flush().await;
            read = self.read_in_time(notified, &known_as, is_last).await;
        }
        match read.unwrap_or_else(|| Err(out_of_time())) {
            Ok(read) => self.take(known_as, read).await,
            Err(error) => self.not_taken(&known_as, &error),
        }
    }

    /// Reads an object; `None` when the time for that is over.
    async fn read_in_time(&self, notified: &Notified, known_as: &str, is_last: bool) -> Option<Result<Read>> {
        let time = self.time_to_read(is_last);
        if time.is_zero() {
            return None;
        }
        tokio::time::timeout(time, self.read(notified, known_as))
            .await
            .ok()
    }

    /// The greatest time for reading one object. Nothing waits for the time of the last one if it is alone.
    fn time_to_read(&self, is_last: bool) -> Duration {
        if is_last && self.group.is_empty() {
            self.deadline.commit_by()
        } else {
            self.read_by.left()
        }
    }

    async fn take(&mut self, known_as: String, read: Read) {
        if !self.group.has_room_for(read.bytes()) {
            self.flush().await;
        }
        self.results.insert(known_as.clone(), None);
        match read {
            Read::Otlp(member) => self.group.add_object(member),
            Read::Parquet(file) => self.group.add_file(known_as, *file),
            Read::Nothing => {}
        }
        if self.group.is_full() || self.store.is_without_catalog() {
            self.flush().await;
        }
    }

    /// Stores what was read, and begins the next round.
    async fn flush(&mut self) {
        let group = mem::take(&mut self.group);
        if !group.is_empty() {
            self.store_group(&group).await;
        }
        if self.deadline.answer_by() >= ROUND_MIN {
            self.read_by = self.deadline.share(2);
        }
    }

    async fn read(&self, notified: &Notified, known_as: &str) -> Result<Read> {
        if self.is_own(notified).await {
            return Ok(Read::Nothing);
        }
        let notified = self.version(notified).await?;
        let objects = self.store.objects().await?;
        if parquet::is_parquet(&notified.object.key) {
            if !self.store.registers_parquet() {
                return Err(parquet::not_registered());
            }
            let read = parquet::read(objects, &notified).await?;
            return Ok(read.map_or_else(
                || {
                    replaced(&notified);
                    Read::Nothing
                },
                |file| Read::Parquet(Box::new(file)),
            ));
        }
        let bytes_max = self.store.payload_bytes_max();
        let bytes = fetch(objects, &notified, bytes_max).await?;
        let contents = content::read(&notified.object.key, Vec::<u8>::from(bytes), bytes_max)
            .map_err(|problem| Error::new(ErrorKind::Decode, problem).class(RetryClass::Permanent))?;
        Ok(Read::Otlp(Member {
            known_as: known_as.to_owned(),
            name: notified.name(),
            created_unix_nano: notified.created_unix_nano,
            contents,
        }))
    }

    /// Whether the object is a file of this program or of another writer of its tables. A bucket that holds
    /// both tables and raw objects notifies of those, too.
    async fn is_own(&self, notified: &Notified) -> bool {
        let object = &notified.object;
        let location = format!("s3://{}/{}", object.bucket, object.key);
        if let Some(table) = self.store.owner(&location).await {
            tracing::warn!(
                object = location,
                %table,
                "the object lies among the table's own files and is passed over; give objects that are to be loaded a bucket \
                 or prefix of their own"
            );
            return true;
        }
        // If loaded, its records would be rejected again, endlessly. A user who lists the object explicitly
        // wants it loaded.
        let is_told = object.etag.is_some() || object.version.is_some();
        let is_dead_letter = is_told && self.store.keeps_dead_letters_at(&location);
        if is_dead_letter {
            tracing::warn!(
                object = location,
                "the object is a dead letter and is passed over; give dead letters a bucket of their own"
            );
        }
        is_dead_letter
    }

    /// Determines the version to read: an object that is only named is read in its current version.
    async fn version(&self, notified: &Notified) -> Result<Notified> {
        let object = &notified.object;
        if object.etag.is_some() || object.version.is_some() {
            return Ok(notified.clone());
        }
        let objects = self.store.objects().await?;
        Ok(Notified {
            object: objects.current(&object.bucket, &object.key).await?,
            created_unix_nano: notified.created_unix_nano,
        })
    }

    /// Records an object that could not be read or registered. When storing rows fails, the store counts the
    /// failure.
    pub(super) fn not_taken(&mut self, name: &str, error: &Error) {
        self.metrics.failed();
        self.failed(name, error);
    }

    pub(super) fn failed(&mut self, name: &str, error: &Error) {
        tracing::error!(object = name, kind = error.kind().as_str(), %error, "an object is not loaded");
        let failure = Failure {
            kind: error.kind(),
            class: error.retry_class(),
            object: name.to_owned(),
            text: error.to_string(),
        };
        self.results.insert(name.to_owned(), Some(failure));
    }
}

impl Failure {
    fn error(&self, message_id: &str) -> Error {
        let error = Error::new(self.kind, self.text.clone())
            .with("object", self.object.clone())
            .class(self.class);
        if message_id.is_empty() {
            error
        } else {
            error.with("message", message_id)
        }
    }
}

/// The content of an object.
enum Read {
    Otlp(Member),
    Parquet(Box<ParquetFile>),
    /// The object is not to be loaded: it is the program's own, or was overwritten in the meantime.
    Nothing,
}

impl Read {
    fn bytes(&self) -> usize {
        match self {
            Read::Otlp(member) => member.bytes(),
            Read::Parquet(file) => file.footer.memory_bytes(),
            Read::Nothing => 0,
        }
    }
}

async fn fetch(objects: &Objects, notified: &Notified, bytes_max: usize) -> Result<Bytes> {
    match objects.read(&notified.object, bytes_max as u64).await? {
        Content::Whole(bytes) => Ok(bytes),
        Content::Replaced => {
            replaced(notified);
            Ok(Bytes::new())
        }
    }
}

fn out_of_time() -> Error {
    Error::new(
        ErrorKind::Cancelled,
        "the invocation's time ran out before the object was read; raise the function's timeout, or lower the batch size",
    )
}

/// The current object has a notification of its own.
fn replaced(notified: &Notified) {
    tracing::warn!(object = %notified.name(), "the object was overwritten before it was read; nothing of it is loaded");
}
