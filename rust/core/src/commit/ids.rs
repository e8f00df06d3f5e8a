//! Which requests a table holds: their ids in snapshot summaries, searched in the recent ancestry.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use iceberg::spec::{SnapshotRef, TableMetadata};
use uuid::Uuid;

use super::carried_ids::CARRIED_IDS;
use super::history::Base;
use super::summary::is_compaction;
use crate::config::CommitConfig;
use crate::request::{IdRange, RequestId};

/// The snapshot summary's property: [`IdRange`]s as text, separated by commas.
pub const COMMIT_IDS: &str = "otlp2iceberg.commit-ids";

/// How far back a table's ancestry is searched. The limit that reaches further applies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// Minimum number of newest snapshots, not counting our compactions.
    snapshots: usize,
    /// Maximum age relative to the newest snapshot, or to now if the clock of that snapshot's writer is
    /// ahead.
    age_ms: i64,
}

impl Window {
    pub(super) fn new(config: &CommitConfig) -> Self {
        Self {
            snapshots: config.dedup_snapshots,
            age_ms: i64::try_from(config.dedup_window.as_millis()).unwrap_or(i64::MAX),
        }
    }

    /// The newest snapshots of the main branch: those within the window, and those after `floor`.
    pub(super) fn recent<'a>(
        self,
        metadata: &'a TableMetadata,
        floor: Option<&'a Base>,
        now_ms: i64,
    ) -> impl Iterator<Item = &'a SnapshotRef> {
        let newest_ms = metadata
            .current_snapshot()
            .map_or(0, |snapshot| snapshot.timestamp_ms().min(now_ms));
        // A compaction holds no requests, so it does not count.
        let counted = ancestry(metadata).scan(0, |count, snapshot| {
            let before = *count;
            *count += usize::from(!is_compaction(snapshot));
            Some((before, snapshot))
        });
        counted
            .take_while(move |(before, snapshot)| {
                *before < self.snapshots
                    || newest_ms.saturating_sub(snapshot.timestamp_ms()) <= self.age_ms
                    || floor.is_some_and(|floor| floor.is_before(snapshot))
            })
            .map(|(_, snapshot)| snapshot)
    }
}

/// The ids as in the summary's property: sorted, in as few ranges as possible.
pub(super) fn to_text<'a>(ids: impl IntoIterator<Item = &'a IdRange>) -> String {
    joined(&IdRange::fold(ids.into_iter().copied()))
}

/// The ids as in the summary's properties, in the given order.
pub(super) fn joined(ranges: &[IdRange]) -> String {
    let texts: Vec<String> = ranges.iter().map(ToString::to_string).collect();
    texts.join(",")
}

/// The current snapshot and all its ancestors that are still in the metadata, newest first.
pub(super) fn ancestry(metadata: &TableMetadata) -> impl Iterator<Item = &SnapshotRef> {
    std::iter::successors(metadata.current_snapshot(), |snapshot| {
        metadata.snapshot_by_id(snapshot.parent_snapshot_id()?)
    })
    // Other writers' metadata may have any parents, including cycles.
    .take(metadata.snapshots().len())
}

/// Whether the catalog exposes only a table's current snapshot, as Nessie does: that snapshot has no parent
/// and is not the first. After expiry, by contrast, the child of an expired snapshot still has the parent's
/// id.
pub(super) fn is_forgotten(metadata: &TableMetadata) -> bool {
    let is_later = |snapshot: &SnapshotRef| snapshot.sequence_number() > 1;
    is_alone(metadata) && metadata.current_snapshot().is_some_and(is_later)
}

/// Whether that may be the case: the metadata has one snapshot, without a parent. It may also be the first
/// one.
pub(super) fn is_alone(metadata: &TableMetadata) -> bool {
    let has_no_parent = |snapshot: &SnapshotRef| snapshot.parent_snapshot_id().is_none();
    metadata.snapshots().len() == 1 && metadata.current_snapshot().is_some_and(has_no_parent)
}

/// The ids that a snapshot holds, and those that it carries over from others. Ids that this version cannot read
/// are skipped: later versions and other programs also write to the table. [`IdSet::of_table`] warns of them.
pub(super) fn ids_of(snapshot: &SnapshotRef) -> impl Iterator<Item = IdRange> {
    id_texts(snapshot).filter_map(IdRange::parse)
}

/// The texts of these ids.
fn id_texts(snapshot: &SnapshotRef) -> impl Iterator<Item = &str> {
    let properties = &snapshot.summary().additional_properties;
    [COMMIT_IDS, CARRIED_IDS]
        .into_iter()
        .filter_map(|key| properties.get(key))
        .flat_map(|text| text.split(','))
        .filter(|text| !text.is_empty())
}

/// Warns of ids that cannot be read, once for each table: its metadata is read with every load.
fn warn_of_unreadable_ids(metadata: &TableMetadata) {
    static WARNED: Mutex<BTreeSet<Uuid>> = Mutex::new(BTreeSet::new());
    let mut warned = WARNED.lock().unwrap_or_else(PoisonError::into_inner);
    if warned.insert(metadata.uuid()) {
        tracing::warn!(
            table = metadata.location(),
            "a snapshot names request ids that this version cannot read; redelivered requests of newer writers may be \
             stored twice"
        );
    }
}

/// How much of an append a table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coverage {
    /// None of its ids.
    None,
    /// Some of its ids, so that it can neither be added nor skipped.
    Partial,
    /// All of its ids.
    Full,
}

/// A set of ids with fast lookup. For each writer, it has sorted runs that neither overlap nor touch.
#[derive(Debug, Default)]
pub(super) struct IdSet {
    runs: HashMap<[u8; 16], Vec<(u64, u64)>>,
}

impl IdSet {
    /// The ids in the recent ancestry of the table's current snapshot, and in all of it after `floor`. Warns if some
    /// cannot be read.
    pub(super) fn of_table(
        metadata: &TableMetadata,
        window: Window,
        floor: Option<&Base>,
        now_ms: i64,
    ) -> Self {
        let mut is_any_unreadable = false;
        let texts = window.recent(metadata, floor, now_ms).flat_map(id_texts);
        let set = Self::from_ranges(texts.filter_map(|text| {
            let range = IdRange::parse(text);
            is_any_unreadable |= range.is_none();
            range
        }));
        if is_any_unreadable {
            warn_of_unreadable_ids(metadata);
        }
        set
    }

    pub(super) fn from_ranges(ranges: impl IntoIterator<Item = IdRange>) -> Self {
        let mut set = Self::default();
        set.extend(ranges);
        set
    }

    /// Adds ids.
    pub(super) fn extend(&mut self, ranges: impl IntoIterator<Item = IdRange>) {
        // Folding merges hundreds of ranges of a writer into one, so its runs are looked up only once.
        for of_writer in IdRange::fold(ranges).chunk_by(|left, right| left.writer == right.writer) {
            let Some(writer) = of_writer.first().map(|range| range.writer) else {
                continue;
            };
            let runs = self.runs.entry(writer).or_default();
            runs.extend(of_writer.iter().map(|range| (range.from, range.to)));
            fold(runs);
        }
    }

    pub(super) fn contains(&self, id: &RequestId) -> bool {
        self.run_at(&id.writer, id.sequence).is_some()
    }

    /// How many of these ids are in the set. An empty list is never found.
    pub(super) fn coverage(&self, ids: &[IdRange]) -> Coverage {
        let mut full = 0;
        for range in ids {
            match self.run_at(&range.writer, range.from) {
                Some((_, to)) if to >= range.to => full += 1,
                Some(_) => return Coverage::Partial,
                None if self.starts_within(range) => return Coverage::Partial,
                None => {}
            }
        }
        match full {
            0 => Coverage::None,
            full if full == ids.len() => Coverage::Full,
            _ => Coverage::Partial,
        }
    }

    /// The run that contains this number.
    fn run_at(&self, writer: &[u8; 16], sequence: u64) -> Option<(u64, u64)> {
        let runs = self.runs.get(writer)?;
        let after = runs.partition_point(|(from, _)| *from <= sequence);
        let run = *runs.get(after.checked_sub(1)?)?;
        (sequence <= run.1).then_some(run)
    }

    /// Whether a run begins inside the range, after its first number.
    fn starts_within(&self, range: &IdRange) -> bool {
        self.runs.get(&range.writer).is_some_and(|runs| {
            let after = runs.partition_point(|(from, _)| *from <= range.from);
            runs.get(after).is_some_and(|(from, _)| *from <= range.to)
        })
    }
}

/// Sorts runs and joins those that overlap or touch.
fn fold(runs: &mut Vec<(u64, u64)>) {
    runs.sort_unstable();
    runs.dedup_by(|next, kept| {
        let joins = next.0 <= kept.1.saturating_add(1);
        if joins {
            kept.1 = kept.1.max(next.1);
        }
        joins
    });
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;
    use tracing::Level;

    use super::super::receipts::tests::Logged;
    use super::*;

    pub(in crate::commit) fn range(writer: u8, from: u64, to: u64) -> IdRange {
        IdRange {
            writer: [writer; 16],
            from,
            to,
        }
    }

    #[test]
    fn coverage_tells_none_partial_and_full_apart() {
        let set = IdSet::from_ranges([range(1, 5, 9), range(1, 1, 4), range(1, 20, 30), range(2, 0, 0)]);
        for (ids, expected) in [
            (vec![range(1, 1, 9)], Coverage::Full),
            (vec![range(1, 3, 6), range(2, 0, 0)], Coverage::Full),
            (vec![range(1, 10, 19)], Coverage::None),
            (vec![range(3, 1, 9)], Coverage::None),
            (vec![range(1, 9, 10)], Coverage::Partial),
            (vec![range(1, 19, 20)], Coverage::Partial),
            (vec![range(1, 10, 40)], Coverage::Partial),
            (vec![range(1, 1, 1), range(3, 1, 1)], Coverage::Partial),
            (vec![], Coverage::None),
        ] {
            assert_eq!(set.coverage(&ids), expected, "{ids:?}");
        }
        assert!(set.contains(&RequestId {
            writer: [1; 16],
            sequence: 20
        }));
        assert!(!set.contains(&RequestId {
            writer: [1; 16],
            sequence: 31
        }));
    }

    /// An object from S3 or a request to the Lambda in the summary, as stated in `docs/delivery.md` and
    /// `docs/aws.md`: their ids are hashes with the sequence number 0, so no two make one range.
    const HASHED_ID_BYTES: usize = 35;

    /// The summary's size as stated in `docs/delivery.md`.
    #[test]
    fn ranges_keep_the_summary_small() {
        // 1,000 requests per second, flushed every 10 s, in eight calls that end in any order.
        let flush = |writer, call: u64| range(writer, 9_990_000 + 1_250 * call, 9_991_249 + 1_250 * call);
        let one: Vec<IdRange> = [3, 0, 7, 1, 2, 6, 5, 4].map(|call| flush(0xab, call)).into();
        assert_eq!(to_text(&one).len(), 48);
        let eight: Vec<IdRange> = (0..8)
            .flat_map(|call| (1..=8).map(move |writer| flush(writer, call)))
            .collect();
        assert_eq!(to_text(&eight).len(), 8 * 48 + 7);
        let objects: Vec<IdRange> = (1..=100).map(|hash| range(hash, 0, 0)).collect();
        assert_eq!(to_text(&objects).len(), 100 * HASHED_ID_BYTES - 1);
    }

    #[test]
    fn text_reads_back() {
        let ids = [range(1, 1, 4), range(2, 7, 7)];
        let read: Vec<IdRange> = to_text(&ids).split(',').filter_map(IdRange::parse).collect();
        assert_eq!(read, ids);
    }

    /// A table of one snapshot with these properties in its summary. No two are the same table.
    fn table_with(summary: &[(&str, &str)]) -> TableMetadata {
        let mut metadata = json!({
            "format-version": 2, "table-uuid": Uuid::new_v4().to_string(), "location": "file:///warehouse/otel/logs",
            "last-sequence-number": 1, "last-updated-ms": 1_000, "last-column-id": 1,
            "current-schema-id": 0,
            "schemas": [{"type": "struct", "schema-id": 0,
                "fields": [{"id": 1, "name": "a", "required": false, "type": "int"}]}],
            "default-spec-id": 0, "partition-specs": [{"spec-id": 0, "fields": []}], "last-partition-id": 999,
            "default-sort-order-id": 0, "sort-orders": [{"order-id": 0, "fields": []}],
            "properties": {},
            "current-snapshot-id": 1,
            "snapshots": [{
                "snapshot-id": 1, "sequence-number": 1, "timestamp-ms": 1_000, "schema-id": 0,
                "manifest-list": "file:///warehouse/otel/logs/metadata/snap-1.avro",
                "summary": {"operation": "append"},
            }],
            "refs": {"main": {"snapshot-id": 1, "type": "branch"}},
        });
        for (key, value) in summary {
            metadata["snapshots"][0]["summary"][*key] = json!(value);
        }
        serde_json::from_value(metadata).unwrap()
    }

    #[test]
    fn ids_that_cannot_be_read_are_skipped_with_one_warning_for_each_table() {
        const NEWER: &str = "v2:01010101010101010101010101010101/7";
        let ours = range(1, 5, 9).to_string();
        let mixed = format!("{ours},{NEWER}");
        let config = CommitConfig::default();
        let logged = Logged::at(Level::WARN);
        let _guard = tracing::subscriber::set_default(logged.clone());
        let warned = || {
            let lines = logged.take("names request ids that this version cannot read");
            let of_table = |line: &String| line.contains("file:///warehouse/otel/logs");
            assert!(lines.iter().all(of_table), "{lines:?}");
            lines.len()
        };
        for (summary, warnings) in [
            (vec![], 0),
            (vec![(COMMIT_IDS, "")], 0),
            (vec![(COMMIT_IDS, ours.as_str())], 0),
            (vec![(COMMIT_IDS, mixed.as_str())], 1),
            (vec![(COMMIT_IDS, ours.as_str()), (CARRIED_IDS, NEWER)], 1),
        ] {
            let table = table_with(&summary);
            let is_ours = summary.iter().any(|(_, value)| value.contains(&ours));
            for times in [warnings, 0] {
                let set = IdSet::of_table(&table, Window::new(&config), None, 2_000);
                let id = RequestId {
                    writer: [1; 16],
                    sequence: 7,
                };
                assert_eq!(set.contains(&id), is_ours, "{summary:?}");
                assert_eq!(warned(), times, "{summary:?}");
            }
        }
    }
}
