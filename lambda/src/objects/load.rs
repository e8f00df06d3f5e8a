//! Loads the objects that messages name. What fails fails alone.

use std::collections::HashMap;
use std::mem;

use bytes::Bytes;
use otlp2iceberg::catalog::storage::{Content, Objects};
use otlp2iceberg::{Error, ErrorKind, Outcome, Part, Result, RetryClass, Signal};

use super::content::{self, Contents};
use super::{Message, Notified};
use crate::deadline::Deadline;
use crate::emf::Metrics;
use crate::store::{Batch, Store, content_id, retry_after};

/// Objects are stored together up to this many bytes, which bounds memory; what is larger goes alone.
const GROUP_BYTES_MAX: usize = 32 << 20;

/// Loads all of them; gives the first error of each message, in their order.
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
    /// What became of each object, by its name. One that several messages name is loaded once.
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
    bytes: usize,
}

#[derive(Debug)]
struct Member {
    name: String,
    created_unix_nano: u64,
    contents: Contents,
}

impl Loading<'_> {
    async fn add(&mut self, notified: &Notified) {
        let name = notified.name();
        if self.results.contains_key(&name) {
            return;
        }
        let contents = match self.read(notified).await {
            Ok(contents) => contents,
            Err(error) => return self.failed(&name, &error),
        };
        let bytes: usize = contents.requests.iter().map(Vec::len).sum();
        if self.group.bytes + bytes > GROUP_BYTES_MAX {
            self.flush().await;
        }
        self.results.insert(name.clone(), None);
        self.group.bytes += bytes;
        self.group.objects.push(Member {
            name,
            created_unix_nano: notified.created_unix_nano,
            contents,
        });
    }

    async fn read(&self, notified: &Notified) -> Result<Contents> {
        let bytes_max = self.store.payload_bytes_max();
        let bytes = fetch(self.store.objects().await?, notified, bytes_max, self.deadline).await?;
        content::read(&notified.object.key, &bytes, bytes_max)
            .map_err(|problem| Error::new(ErrorKind::Decode, problem).class(RetryClass::Permanent))
    }

    /// Stores the group. If something of it cannot be stored for good each object is stored alone, so that
    /// it is known which; what is stored already is left out then.
    async fn flush(&mut self) {
        let group = mem::take(&mut self.group);
        for signal in Signal::ALL {
            let members: Vec<&Member> = group
                .objects
                .iter()
                .filter(|member| !member.contents.requests[signal as usize].is_empty())
                .collect();
            match (self.store(signal, &members).await, members.as_slice()) {
                (Ok(outcome), [member]) => self.blame(member, &outcome),
                (Ok(outcome), _) if outcome.refused_requests == 0 => {}
                (Err(error), members) if members.len() == 1 || retry_after(&error).is_some() => {
                    for member in members {
                        self.failed(&member.name, &error);
                    }
                }
                (_, members) => {
                    for member in members {
                        match self.store(signal, &[member]).await {
                            Ok(outcome) => self.blame(member, &outcome),
                            Err(error) => self.failed(&member.name, &error),
                        }
                    }
                }
            }
        }
    }

    /// An object that was refused whole has failed, unless it is kept as a dead letter.
    fn blame(&mut self, member: &Member, outcome: &Outcome) {
        if outcome.refused_requests > 0 && outcome.dead_letter_objects == 0 {
            let refused = Error::new(ErrorKind::Decode, outcome.rejection.clone());
            self.failed(&member.name, &refused);
        }
    }

    async fn store(&mut self, signal: Signal, members: &[&Member]) -> Result<Outcome> {
        if members.is_empty() {
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
        let outcome = self.store.export(&batch, self.deadline, self.metrics).await?;
        if outcome.rejected > 0 {
            tracing::warn!(%signal, rejected = outcome.rejected, reasons = %outcome.rejection, "records are left out");
        }
        Ok(outcome)
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

async fn fetch(
    objects: &Objects,
    notified: &Notified,
    bytes_max: usize,
    deadline: Deadline,
) -> Result<Bytes> {
    let read = objects.read(&notified.object, bytes_max as u64);
    let Ok(read) = tokio::time::timeout(deadline.commit_by(), read).await else {
        return Err(Error::new(
            ErrorKind::Cancelled,
            "the invocation's time ran out before the object was read; raise the function's timeout, or lower the batch size",
        ));
    };
    match read? {
        Content::Whole(bytes) => Ok(bytes),
        Content::Replaced => {
            // What is there now has a notification of its own.
            tracing::warn!(object = %notified.name(), "the object was overwritten before it was read; nothing of it is loaded");
            Ok(Bytes::new())
        }
    }
}
