//! Loads the objects that messages name. A failure of one object does not affect the others.

use std::collections::HashMap;
use std::mem;

use bytes::Bytes;
use otlp2iceberg::storage::{Content, Objects};
use otlp2iceberg::{Error, ErrorKind, Outcome, ParquetFile, Part, Registration, Result, RetryClass, Signal};

use super::content::{self, Contents};
use super::{Message, Notified, parquet};
use crate::deadline::Deadline;
use crate::emf::Metrics;
use crate::store::{Batch, Store, content_id, retry_after};

/// The greatest total size of objects that are stored together, which bounds memory; a larger object is
/// stored alone.
const GROUP_BYTES_MAX: usize = 32 << 20;
/// Their greatest number. If each has rows of two partitions, such as two hours, they reach the number of
/// partitions that a call may open by default (`limits.partitions_max`).
const GROUP_OBJECTS_MAX: usize = 500;

/// Loads all objects; returns the first error of each message, in order.
pub async fn load(
    store: &Store,
    messages: &[Message],
    deadline: Deadline,
    metrics: &mut Metrics,
) -> Vec<Option<Error>> {
    let mut loading = Loading {
        store,
        deadline,
        metrics,
        group: Group::default(),
        results: HashMap::new(),
    };
    for notified in messages
        .iter()
        .flat_map(|message| message.objects.iter().flatten())
    {
        loading.add(notified).await;
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

struct Loading<'a> {
    store: &'a Store,
    deadline: Deadline,
    metrics: &'a mut Metrics,
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

/// Objects that are stored together.
#[derive(Debug, Default)]
struct Group {
    objects: Vec<Member>,
    /// Parquet files that are registered, with their names here.
    files: Vec<(String, ParquetFile)>,
    bytes: usize,
}

#[derive(Debug)]
struct Member {
    /// The name used here.
    known_as: String,
    /// The name that its id is derived from.
    name: String,
    created_unix_nano: u64,
    contents: Contents,
}

impl Loading<'_> {
    async fn add(&mut self, notified: &Notified) {
        let known_as = notified.name();
        if self.results.contains_key(&known_as) {
            return;
        }
        if self.is_own(notified).await {
            self.results.insert(known_as, None);
            return;
        }
        let read = match self.version(notified).await {
            Ok(version) => self.read(version, known_as.clone()).await,
            Err(error) => Err(error),
        };
        match read {
            Ok(read) => self.take(known_as, read).await,
            Err(error) => self.not_taken(&known_as, &error),
        }
    }

    async fn take(&mut self, known_as: String, read: Read) {
        if self.group.bytes + read.bytes() > GROUP_BYTES_MAX || self.group.objects.len() >= GROUP_OBJECTS_MAX
        {
            self.flush().await;
        }
        self.results.insert(known_as.clone(), None);
        self.group.bytes += read.bytes();
        match read {
            Read::Otlp(member) => self.group.objects.push(member),
            Read::Parquet(file) => self.group.files.push((known_as, *file)),
            Read::Nothing => {}
        }
        if self.store.is_without_catalog() {
            self.flush().await;
        }
    }

    /// Whether the object is a file of this program or of another writer of its tables. A bucket that holds
    /// both tables and raw objects notifies of those, too.
    async fn is_own(&self, notified: &Notified) -> bool {
        let object = &notified.object;
        let location = format!("s3://{}/{}", object.bucket, object.key);
        if let Some(table) = self.store.owner(&location, self.deadline).await {
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
        let look = objects.current(&object.bucket, &object.key);
        Ok(Notified {
            object: in_time(self.deadline, look).await?,
            created_unix_nano: notified.created_unix_nano,
        })
    }

    async fn read(&self, notified: Notified, known_as: String) -> Result<Read> {
        let objects = self.store.objects().await?;
        if parquet::is_parquet(&notified.object.key) {
            if !self.store.registers_parquet() {
                return Err(parquet::not_registered());
            }
            let read = in_time(self.deadline, parquet::read(objects, &notified)).await?;
            return Ok(read.map_or_else(
                || {
                    replaced(&notified);
                    Read::Nothing
                },
                |file| Read::Parquet(Box::new(file)),
            ));
        }
        let bytes_max = self.store.payload_bytes_max();
        let bytes = fetch(objects, &notified, bytes_max, self.deadline).await?;
        let contents = content::read(&notified.object.key, &bytes, bytes_max)
            .map_err(|problem| Error::new(ErrorKind::Decode, problem).class(RetryClass::Permanent))?;
        Ok(Read::Otlp(Member {
            known_as,
            name: notified.name(),
            created_unix_nano: notified.created_unix_nano,
            contents,
        }))
    }

    /// Stores the group. If part of it permanently fails, each object is stored alone to find out which one;
    /// objects that are already stored are then skipped.
    async fn flush(&mut self) {
        let group = mem::take(&mut self.group);
        let mut files = self.prepare(&group).await;
        for signal in Signal::ALL {
            let members: Vec<&Member> = group
                .objects
                .iter()
                .filter(|member| !member.contents.requests[signal as usize].is_empty())
                .collect();
            let stored = self.store(signal, &members, &mut files).await;
            self.metrics.registered(signal, files.of(signal.tables()));
            match (stored, members.as_slice()) {
                (Ok(_), []) => {}
                (Ok(outcome), [member]) => self.blame(member, &outcome),
                (Ok(outcome), _) if outcome.refused_requests == 0 => {}
                (Err(error), members) if members.len() == 1 || retry_after(&error).is_some() => {
                    for member in members {
                        self.failed(&member.known_as, &error);
                    }
                }
                (together, members) => {
                    let before = self.metrics.clone();
                    for member in members {
                        match self.store(signal, &[member], &mut Registration::default()).await {
                            Ok(outcome) => self.blame(member, &outcome),
                            Err(error) => self.failed(&member.known_as, &error),
                        }
                    }
                    self.metrics.stored_again(signal, &before, &together);
                }
            }
        }
        for ((known_as, file), result) in group.files.iter().zip(files.into_results()) {
            match result {
                Ok(registered) => tracing::info!(
                    object = file.location,
                    table = %registered.table,
                    rows = registered.rows,
                    already_there = registered.already_there,
                    in_receipt = registered.in_receipt,
                    "a Parquet file is registered"
                ),
                Err(error) => self.not_taken(known_as, &error),
            }
        }
    }

    /// Matches the group's files to their tables.
    async fn prepare(&mut self, group: &Group) -> Registration {
        let files: Vec<ParquetFile> = group.files.iter().map(|(_, file)| file.clone()).collect();
        match self.store.prepare_files(&files, self.deadline).await {
            Ok(files) => files,
            Err(error) => {
                for (known_as, _) in &group.files {
                    self.not_taken(known_as, &error);
                }
                Registration::default()
            }
        }
    }

    /// An object whose records were all rejected has failed, unless it is kept as a dead letter.
    fn blame(&mut self, member: &Member, outcome: &Outcome) {
        if outcome.refused_requests > 0 && outcome.dead_letter_objects == 0 {
            let refused = Error::new(ErrorKind::Decode, outcome.rejection.clone());
            self.failed(&member.known_as, &refused);
        }
    }

    async fn store(
        &mut self,
        signal: Signal,
        members: &[&Member],
        files: &mut Registration,
    ) -> Result<Outcome> {
        if members.is_empty() {
            self.store.commit_files(files, signal, self.deadline).await;
            return Ok(Outcome::default());
        }
        let requests = || {
            members
                .iter()
                .map(|member| &member.contents.requests[signal as usize])
        };
        let merged;
        let payload = if let [member] = members {
            &member.contents.requests[signal as usize]
        } else {
            merged = requests().map(Vec::as_slice).collect::<Vec<_>>().concat();
            &merged
        };
        let parts: Vec<Part> = members
            .iter()
            .zip(requests())
            .map(|(member, request)| Part {
                id: content_id(member.name.as_bytes()),
                len: request.len() as u64,
            })
            .collect();
        let created = members
            .iter()
            .map(|member| member.created_unix_nano)
            .filter(|time| *time > 0);
        let batch = Batch {
            signal,
            payload,
            parts: &parts,
            received_unix_nano: created.min().unwrap_or(0),
        };
        let outcome = self
            .store
            .export_with(&batch, files, self.deadline, self.metrics)
            .await?;
        if outcome.rejected > 0 {
            tracing::warn!(%signal, rejected = outcome.rejected, reasons = %outcome.rejection, "records are left out");
        }
        Ok(outcome)
    }

    /// Records an object that could not be read or registered. When storing rows fails, the store counts the
    /// failure.
    fn not_taken(&mut self, name: &str, error: &Error) {
        self.metrics.failed();
        self.failed(name, error);
    }

    fn failed(&mut self, name: &str, error: &Error) {
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
    /// The object was overwritten in the meantime.
    Nothing,
}

impl Read {
    fn bytes(&self) -> usize {
        match self {
            Read::Otlp(member) => member.contents.requests.iter().map(Vec::len).sum(),
            Read::Parquet(file) => file.footer.memory_bytes(),
            Read::Nothing => 0,
        }
    }
}

async fn fetch(
    objects: &Objects,
    notified: &Notified,
    bytes_max: usize,
    deadline: Deadline,
) -> Result<Bytes> {
    let read = objects.read(&notified.object, bytes_max as u64);
    match in_time(deadline, read).await? {
        Content::Whole(bytes) => Ok(bytes),
        Content::Replaced => {
            replaced(notified);
            Ok(Bytes::new())
        }
    }
}

async fn in_time<T>(deadline: Deadline, read: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(deadline.commit_by(), read).await.unwrap_or_else(|_| {
        Err(Error::new(
            ErrorKind::Cancelled,
            "the invocation's time ran out before the object was read; raise the function's timeout, or lower the batch size",
        ))
    })
}

/// The current object has a notification of its own.
fn replaced(notified: &Notified) {
    tracing::warn!(object = %notified.name(), "the object was overwritten before it was read; nothing of it is loaded");
}
