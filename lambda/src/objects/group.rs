//! Stores the objects that were read, together.

use otlp2iceberg::{Error, ErrorKind, Outcome, ParquetFile, Part, Registration, Result, Signal};

use super::content::Contents;
use super::load::Loading;
use crate::store::{Batch, content_id, retry_after};

/// The greatest total size of objects that are stored together, which bounds memory; a larger object is
/// stored alone.
const GROUP_BYTES_MAX: usize = 32 << 20;
/// Their greatest number. If each has rows of two partitions, such as two hours, they reach the number of
/// partitions that a call may open by default (`limits.partitions_max`).
const GROUP_OBJECTS_MAX: usize = 500;

/// Objects that are stored together.
#[derive(Debug, Default)]
pub(super) struct Group {
    objects: Vec<Member>,
    /// Parquet files that are registered, with their names here.
    files: Vec<(String, ParquetFile)>,
    bytes: usize,
}

#[derive(Debug)]
pub(super) struct Member {
    /// The name used here.
    pub known_as: String,
    /// The name that its id is derived from.
    pub name: String,
    pub created_unix_nano: u64,
    pub contents: Contents,
}

impl Group {
    pub(super) fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.files.is_empty()
    }

    /// Whether an object of this many bytes belongs into this group.
    pub(super) fn has_room_for(&self, bytes: usize) -> bool {
        self.bytes + bytes <= GROUP_BYTES_MAX && self.objects.len() < GROUP_OBJECTS_MAX
    }

    /// Whether the group must be stored before anything else is read: memory would hold both.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= GROUP_BYTES_MAX
    }

    pub(super) fn add_object(&mut self, member: Member) {
        self.bytes += member.bytes();
        self.objects.push(member);
    }

    pub(super) fn add_file(&mut self, known_as: String, file: ParquetFile) {
        self.bytes += file.footer.memory_bytes();
        self.files.push((known_as, file));
    }
}

impl Member {
    pub(super) fn bytes(&self) -> usize {
        self.contents.requests.iter().map(Vec::len).sum()
    }
}

impl Loading<'_> {
    /// Stores the group. If part of it permanently fails, each object is stored alone to find out which one;
    /// objects that are already stored are then skipped.
    pub(super) async fn store_group(&mut self, group: &Group) {
        let mut files = self.prepare(group).await;
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
}
