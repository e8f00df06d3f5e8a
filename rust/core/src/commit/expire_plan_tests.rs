//! Which snapshots of which histories are expired.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::expire_blocker::{Blocker, blocker, is_blocked};
use super::*;
use crate::config::CommitConfig;

/// A history of snapshots 1, 2, … on the main branch, one per second, each an append.
struct History {
    json: Value,
    newest: i64,
    cleaner: Cleaner,
}

impl History {
    fn of(newest: i64) -> Self {
        let snapshots: Vec<Value> = (1..=newest).map(|id| snapshot(id, id - 1)).collect();
        let json = json!({
            "format-version": 2,
            "table-uuid": "9c12d441-03fe-4693-9a96-a0705ddf69c1",
            "location": "file:///t",
            "last-sequence-number": newest,
            "last-updated-ms": newest * 1_000,
            "last-column-id": 1,
            "current-schema-id": 0,
            "schemas": [{"type": "struct", "schema-id": 0,
                "fields": [{"id": 1, "name": "a", "required": false, "type": "int"}]}],
            "default-spec-id": 0,
            "partition-specs": [{"spec-id": 0, "fields": []}],
            "last-partition-id": 999,
            "default-sort-order-id": 0,
            "sort-orders": [{"order-id": 0, "fields": []}],
            "properties": {MAX_SNAPSHOT_AGE_MS: "0"},
            "current-snapshot-id": newest,
            "snapshots": snapshots,
            "refs": {"main": {"snapshot-id": newest, "type": "branch"}},
        });
        Self {
            json,
            newest,
            cleaner: Cleaner::Us,
        }
    }

    /// In a service that deletes files, with the rules that apply where the table sets none.
    fn in_a_service(mut self, max_age_ms: i64, min_to_keep: usize) -> Self {
        self.cleaner = Cleaner::Service(Rules {
            max_age_ms,
            min_to_keep,
        });
        self
    }

    fn property(mut self, key: &str, value: &str) -> Self {
        self.json["properties"][key] = value.into();
        self
    }

    fn without(mut self, property: &str) -> Self {
        if let Some(properties) = self.json["properties"].as_object_mut() {
            properties.remove(property);
        }
        self
    }

    fn reference(mut self, name: &str, kind: &str, id: i64) -> Self {
        self.json["refs"][name] = json!({"snapshot-id": id, "type": kind});
        self
    }

    fn main(mut self, retention: &Value) -> Self {
        for (key, value) in retention.as_object().into_iter().flatten() {
            self.json["refs"]["main"][key] = value.clone();
        }
        self
    }

    fn summary(mut self, id: i64, key: &str, value: &str) -> Self {
        self.snapshot(id)["summary"][key] = value.into();
        self
    }

    /// Makes the snapshot a compaction of ours.
    fn compaction(self, id: i64) -> Self {
        self.summary(id, "operation", "replace")
            .summary(id, super::super::summary::COMPACTION, "1")
            .summary(id, "deleted-data-files", "16")
    }

    /// The compactions whose replaced files are deleted.
    fn compactions(self, window: usize) -> Vec<i64> {
        let (window, now_ms) = (window_of(window, Duration::ZERO), self.newest * 1_000);
        let expired = expirable(&self.metadata(), window, None, Cleaner::Us, now_ms);
        let compactions = expired.map(|expired| expired.compactions).unwrap_or_default();
        compactions
            .iter()
            .map(|compaction| compaction.snapshot_id())
            .collect()
    }

    /// Whether files of the table may be compacted.
    fn compacts(self, window: usize) -> bool {
        let (window, now_ms) = (window_of(window, Duration::ZERO), self.newest * 1_000);
        age_max(&self.metadata(), window, now_ms).is_some()
    }

    /// What holds expiry up.
    fn blocker(self, window: usize) -> Option<Blocker> {
        let (window, now_ms) = (window_of(window, Duration::ZERO), self.newest * 1_000);
        let cleaner = self.cleaner;
        let metadata = self.metadata();
        let is_blocked = is_blocked(&metadata, window, None, cleaner, now_ms);
        let found = blocker(&metadata, window, None, cleaner, now_ms);
        found.filter(|_| is_blocked)
    }

    fn without_list(mut self, id: i64) -> Self {
        self.snapshot(id)["manifest-list"] = "".into();
        self
    }

    fn timestamp(mut self, id: i64, ms: i64) -> Self {
        self.snapshot(id)["timestamp-ms"] = ms.into();
        self
    }

    fn snapshot(&mut self, id: i64) -> &mut Value {
        let index = usize::try_from(id - 1).expect("an index");
        &mut self.json["snapshots"][index]
    }

    /// Rolls the main branch back to a snapshot and adds a new one.
    fn rolled_back_to(mut self, id: i64) -> Self {
        let newest = self.newest + 1;
        let snapshots = self.json["snapshots"].as_array_mut().expect("snapshots");
        snapshots.push(snapshot_after(newest, id));
        self.json["current-snapshot-id"] = newest.into();
        self.json["refs"]["main"]["snapshot-id"] = newest.into();
        self.json["last-sequence-number"] = newest.into();
        self.json["last-updated-ms"] = (newest * 1_000).into();
        self.newest = newest;
        self
    }

    /// Another writer expired all snapshots before this one.
    fn begins_at(mut self, id: i64) -> Self {
        let snapshots = self.json["snapshots"].as_array_mut().expect("snapshots");
        snapshots.retain(|snapshot| snapshot["snapshot-id"].as_i64() >= Some(id));
        self
    }

    fn statistics(mut self, id: i64) -> Self {
        self.json["statistics"] = json!([{
            "snapshot-id": id, "statistics-path": "file:///t/metadata/s.puffin", "file-size-in-bytes": 1,
            "file-footer-size-in-bytes": 1, "blob-metadata": [],
        }]);
        self
    }

    fn partition_statistics(mut self, id: i64) -> Self {
        self.json["partition-statistics"] = json!([{
            "snapshot-id": id, "statistics-path": "file:///t/metadata/p.parquet", "file-size-in-bytes": 1,
        }]);
        self
    }

    /// The statistics files of what is expired.
    fn expired_statistics(self, window: usize) -> Vec<String> {
        let (window, now_ms) = (window_of(window, Duration::ZERO), self.newest * 1_000);
        let expired = expirable(&self.metadata(), window, None, Cleaner::Us, now_ms);
        expired.map(|expired| expired.statistics).unwrap_or_default()
    }

    fn metadata(self) -> TableMetadata {
        serde_json::from_value(self.json).expect("metadata")
    }

    /// What is expired when the window is this many snapshots, and the oldest one that is kept.
    fn expired(self, window: usize) -> (Vec<i64>, Option<i64>) {
        let now_ms = self.newest * 1_000;
        self.expired_at(window, Duration::ZERO, now_ms)
    }

    fn expired_at(self, snapshots: usize, age: Duration, now_ms: i64) -> (Vec<i64>, Option<i64>) {
        let cleaner = self.cleaner;
        match expirable(&self.metadata(), window_of(snapshots, age), None, cleaner, now_ms) {
            None => (Vec::new(), None),
            Some(expired) => (expired.ids(), Some(expired.oldest_kept.snapshot_id())),
        }
    }
}

fn window_of(snapshots: usize, age: Duration) -> Window {
    Window::new(&CommitConfig {
        dedup_snapshots: snapshots,
        dedup_window: age,
        ..CommitConfig::default()
    })
}

fn snapshot(id: i64, parent: i64) -> Value {
    let mut snapshot = snapshot_after(id, parent);
    if parent == 0
        && let Some(snapshot) = snapshot.as_object_mut()
    {
        snapshot.remove("parent-snapshot-id");
    }
    snapshot
}

fn snapshot_after(id: i64, parent: i64) -> Value {
    json!({
        "snapshot-id": id, "parent-snapshot-id": parent, "sequence-number": id, "timestamp-ms": id * 1_000,
        "manifest-list": format!("file:///t/metadata/snap-{id}.avro"),
        "summary": {"operation": "append"}, "schema-id": 0,
    })
}

fn up_to(newest: i64) -> Vec<i64> {
    (1..=newest).collect()
}

/// Expiring the snapshot before a compaction deletes the files that it replaced, on which queries may have
/// been planned until then.
#[test]
fn what_was_replaced_stays_as_long_as_a_snapshot_does() {
    let history = || History::of(9).property(MAX_SNAPSHOT_AGE_MS, "4500");
    assert_eq!(history().expired(3).0, up_to(4));
    assert_eq!(history().compaction(5).expired(3).0, up_to(3));
    assert_eq!(history().compaction(4).expired(3).0, up_to(4));
}

/// iceberg-rust reads no tags and branches in format v1, so it is unknown what they keep.
#[test]
fn nothing_is_expired_in_format_v1() {
    let mut history = History::of(9);
    history.json["format-version"] = 1.into();
    history.json["schema"] = history.json["schemas"][0].clone();
    history.json["partition-spec"] = json!([]);
    assert_eq!(history.expired(3), (vec![], None));
}

#[test]
fn the_oldest_of_a_plain_history_are_expired() {
    for (history, expired) in [
        (History::of(9), 6),
        (History::of(9).property(MIN_SNAPSHOTS_TO_KEEP, "5"), 4),
        (History::of(9).property(MIN_SNAPSHOTS_TO_KEEP, "1"), 6),
        (History::of(9).property(MAX_SNAPSHOT_AGE_MS, " 2500 "), 6),
        (History::of(9).property(MAX_SNAPSHOT_AGE_MS, "4500"), 4),
        (History::of(9).property(GC_ENABLED, "true"), 6),
        (History::of(9).property(GC_ENABLED, "TRUE"), 6),
        (History::of(9).main(&json!({"min-snapshots-to-keep": 7})), 2),
        (History::of(9).main(&json!({"max-snapshot-age-ms": 5_500})), 3),
        // The branch's setting takes precedence over the table's larger one.
        (
            History::of(9)
                .property(MIN_SNAPSHOTS_TO_KEEP, "8")
                .main(&json!({"min-snapshots-to-keep": 4})),
            5,
        ),
    ] {
        let text = history.json.to_string();
        assert_eq!(history.expired(3), (up_to(expired), Some(expired + 1)), "{text}");
    }
    // Neither the current snapshot nor those in the window are ever expired.
    assert_eq!(History::of(2).expired(1), (up_to(1), Some(2)));
    assert_eq!(History::of(1).expired(1), (vec![], None));
    assert_eq!(History::of(9).expired(9), (vec![], None));
    let age = Duration::from_millis(4_500);
    assert_eq!(History::of(9).expired_at(1, age, 9_000), (up_to(4), Some(5)));
}

#[test]
fn a_table_that_does_not_ask_is_left_alone() {
    for history in [
        History::of(9).without(MAX_SNAPSHOT_AGE_MS),
        History::of(9).property(MAX_SNAPSHOT_AGE_MS, "a day"),
        History::of(9).property(MAX_SNAPSHOT_AGE_MS, "-1"),
        History::of(9).property(MIN_SNAPSHOTS_TO_KEEP, "many"),
        History::of(9).property(GC_ENABLED, "False"),
        // As in Java, only true is true.
        History::of(9).property(GC_ENABLED, "no"),
        History::of(9).property(GC_ENABLED, "0"),
        History::of(9).property(GC_ENABLED, ""),
        History::of(9).property(MAX_SNAPSHOT_AGE_MS, "9000"),
        History::of(9).property(MIN_SNAPSHOTS_TO_KEEP, "9"),
    ] {
        let text = history.json["properties"].to_string();
        assert_eq!(history.expired(1), (vec![], None), "{text}");
    }
}

/// There, the table's writers manage snapshots. The service deletes files, including those that its
/// compaction replaced.
#[test]
fn a_service_that_deletes_files_leaves_snapshots_to_us() {
    let plain = || History::of(9).without(MAX_SNAPSHOT_AGE_MS);
    assert_eq!(plain().expired(1), (vec![], None));
    assert_eq!(plain().in_a_service(0, 3).expired(1), (up_to(6), Some(7)));
    assert_eq!(plain().in_a_service(4_500, 1).expired(1), (up_to(4), Some(5)));
    let compacted = || {
        plain()
            .summary(3, "operation", "replace")
            .summary(3, "deleted-data-files", "16")
    };
    assert_eq!(
        compacted().property(MAX_SNAPSHOT_AGE_MS, "0").expired(1),
        (vec![1], Some(2))
    );
    assert_eq!(compacted().in_a_service(0, 3).expired(1), (up_to(6), Some(7)));
    // The table's own settings apply there, too.
    for history in [
        plain().property(MAX_SNAPSHOT_AGE_MS, "9000"),
        plain().property(GC_ENABLED, "false"),
        plain().property(MIN_SNAPSHOTS_TO_KEEP, "many"),
        plain().reference("end-of-year", "tag", 5),
    ] {
        let text = history.json.to_string();
        assert_eq!(history.in_a_service(0, 1).expired(1), (vec![], None), "{text}");
    }
    let kept = plain().property(MIN_SNAPSHOTS_TO_KEEP, "7").in_a_service(0, 1);
    assert_eq!(kept.expired(1), (up_to(2), Some(3)));
}

#[test]
fn what_another_reference_may_need_is_left_alone() {
    for history in [
        History::of(9).reference("audit", "branch", 1),
        History::of(9).reference("audit", "branch", 9),
        History::of(9).reference("end-of-year", "tag", 1),
        History::of(9).reference("end-of-year", "tag", 5),
        History::of(9).reference("now", "tag", 9),
        History::of(9).rolled_back_to(7),
        History::of(9).rolled_back_to(1),
    ] {
        let text = history.json["refs"].to_string();
        assert_eq!(history.expired(1), (vec![], None), "{text}");
    }
}

#[test]
fn what_is_no_append_ends_it() {
    for operation in ["overwrite", "replace", "delete"] {
        // Snapshot 4 removed files that 3 has.
        let history = || History::of(9).summary(4, "operation", operation);
        assert_eq!(history().expired(1), (up_to(2), Some(3)), "{operation}");
        // With 3 and older gone, the rest only adds files.
        assert_eq!(
            history().begins_at(4).expired(1),
            ((4..=8).collect(), Some(9)),
            "{operation}"
        );
        assert_eq!(
            History::of(9).summary(1, "operation", operation).expired(1).0,
            up_to(8)
        );
    }
    for key in TAKEN_OUT {
        assert_eq!(
            History::of(9).summary(4, key, "1").expired(1),
            (up_to(2), Some(3)),
            "{key}"
        );
        assert_eq!(
            History::of(9).summary(4, key, "0").expired(1),
            (up_to(8), Some(9)),
            "{key}"
        );
    }
}

/// Spark's `rewrite_manifests` and Trino's `optimize_manifests` list the same files in new manifests.
#[test]
fn manifests_that_were_written_again_do_not_hold_expiry_up() {
    let rewrite = || {
        History::of(9)
            .summary(4, "operation", "replace")
            .summary(4, "manifests-created", "1")
            .summary(4, "manifests-replaced", "3")
            .summary(4, ENTRIES_PROCESSED, "0")
    };
    for (key, value, expired) in [
        ("manifests-kept", "2", 8),
        (ENTRIES_PROCESSED, "7", 8),
        ("added-data-files", "0", 8),
        ("deleted-data-files", "0", 8),
        ("added-data-files", "1", 2),
        ("deleted-data-files", "1", 2),
        ("removed-delete-files", "1", 2),
        ("operation", "overwrite", 2),
        ("operation", "delete", 2),
    ] {
        let history = rewrite().summary(4, key, value);
        assert_eq!(history.expired(1).0, up_to(expired), "{key} {value}");
    }
    assert_eq!(
        rewrite().compactions(1),
        [] as [i64; 0],
        "no file is deleted for it"
    );
}

/// Engines and services write statistics on a schedule. Without expiry, the table would soon not be compacted
/// either.
#[test]
fn statistics_do_not_hold_expiry_up_and_go_with_their_snapshots() {
    let history = || History::of(9).statistics(1).partition_statistics(3);
    assert_eq!(history().expired(3), (up_to(6), Some(7)));
    assert_eq!(history().in_a_service(0, 3).expired(3), (up_to(6), Some(7)));
    let (table, partitions) = ("file:///t/metadata/s.puffin", "file:///t/metadata/p.parquet");
    assert_eq!(history().expired_statistics(3), [table, partitions]);
    assert_eq!(history().expired_statistics(7), [table]);
    let both = History::of(9).statistics(2).partition_statistics(2);
    assert_eq!(both.expired_statistics(3), [table, partitions]);
    let of_kept = History::of(9).statistics(7).partition_statistics(9);
    assert_eq!(of_kept.expired_statistics(3), [] as [&str; 0]);
}

#[test]
fn a_list_that_is_missing_ends_it() {
    assert_eq!(History::of(9).without_list(3).expired(1), (up_to(2), Some(3)));
}

#[test]
fn one_that_is_not_old_enough_ends_it() {
    // The clock of its writer was ahead.
    let history = History::of(9).timestamp(3, 9_000);
    assert_eq!(history.expired(1), (up_to(2), Some(3)));
}

#[test]
fn a_clock_that_is_ahead_forgets_no_more() {
    let history = || History::of(9).property(MAX_SNAPSHOT_AGE_MS, "4500");
    let far = 9_000 + 86_400_000;
    assert_eq!(history().expired_at(1, Duration::ZERO, far), (up_to(4), Some(5)));
    // A clock that is behind keeps more.
    assert_eq!(
        history().expired_at(1, Duration::ZERO, 7_000),
        (up_to(2), Some(3))
    );
}

#[test]
fn few_wait_until_they_are_worth_it_and_many_go_in_parts() {
    // 20 are kept: one is too few to expire.
    assert_eq!(History::of(21).expired(20), (vec![], None));
    assert_eq!(History::of(22).expired(20), (up_to(2), Some(3)));
    let most = i64::try_from(AT_ONCE_MAX).expect("a number");
    assert_eq!(History::of(5_000).expired(1), (up_to(most), Some(most + 1)));
}

#[test]
fn parents_in_a_circle_are_no_history() {
    let mut history = History::of(4);
    history.snapshot(3)["parent-snapshot-id"] = 4.into();
    assert_eq!(history.expired(1), (vec![], None));
}

#[test]
fn a_compaction_of_ours_does_not_hold_expiry_up_and_says_what_goes() {
    // Compactions do not count in the window: 9, 8 and 6 are the newest three that count.
    let history = || History::of(9).compaction(4).compaction(7);
    assert_eq!(history().expired(3), (up_to(5), Some(6)));
    assert_eq!(history().compactions(3), [4]);
    // The first kept snapshot is a compaction: no kept snapshot has the files that it replaced.
    assert_eq!(history().expired(2), (up_to(7), Some(8)));
    assert_eq!(history().compactions(2), [7, 4]);
    assert_eq!(History::of(9).compaction(6).expired(4), (up_to(4), Some(5)));
    assert_eq!(History::of(9).compaction(6).compactions(4), [] as [i64; 0]);
    assert_eq!(History::of(9).compaction(6).compactions(3), [6]);
    // Another writer's compaction blocks expiry, whatever its operation.
    let of_others = History::of(9).compaction(4).summary(6, "operation", "replace");
    assert_eq!(of_others.expired(2), (up_to(4), Some(5)));
}

#[test]
fn a_table_is_compacted_only_while_its_snapshots_can_be_expired() {
    let overdue = i64::try_from(OVERDUE_MAX).expect("a number");
    for (history, is_compacted) in [
        (History::of(9), true),
        (History::of(9).without(MAX_SNAPSHOT_AGE_MS), false),
        (History::of(9).property(GC_ENABLED, "false"), false),
        (History::of(9).reference("kept", "tag", 2), false),
        (History::of(9).rolled_back_to(4), false),
        (History::of(overdue + 3), true),
        (History::of(overdue + 4), false),
    ] {
        let text = history.json["refs"].to_string();
        assert_eq!(history.compacts(3), is_compacted, "{text}");
    }
}

#[test]
fn what_holds_expiry_up_for_long_is_named() {
    let overdue = i64::try_from(OVERDUE_MAX).expect("a number");
    // The newest three are kept.
    let history = || History::of(overdue + 4);
    let deleted = |history: History| history.summary(5, "operation", "delete");
    let removal = Blocker::Removal {
        id: 5,
        operation: Operation::Delete,
    };
    for (history, expected) in [
        (history(), None),
        (history().compaction(5), None),
        (deleted(history()), Some(removal)),
        (deleted(History::of(overdue + 3)), None),
        (deleted(history()).without(MAX_SNAPSHOT_AGE_MS), None),
        (deleted(history()).in_a_service(0, 3), None),
        // The branch keeps more than the table.
        (
            deleted(history()).main(&json!({"min-snapshots-to-keep": 300})),
            None,
        ),
        (history().without_list(5), Some(Blocker::NoList(5))),
        (
            history().reference("end-of-year", "tag", 5),
            Some(Blocker::Tag("end-of-year".to_owned())),
        ),
        (
            history()
                .in_a_service(0, 3)
                .reference("b", "tag", 5)
                .reference("a", "branch", 9),
            Some(Blocker::Branch("a".to_owned())),
        ),
        (
            history().rolled_back_to(overdue + 3),
            Some(Blocker::OffMain(overdue + 4)),
        ),
    ] {
        let text = history.json["refs"].to_string();
        assert_eq!(history.blocker(3), expected, "{text}");
    }
}

#[test]
fn what_to_do_after_another_program_names_its_own_means() {
    let removal = Blocker::Removal {
        id: 5,
        operation: Operation::Replace,
    };
    for part in [
        "Spark: expire_snapshots",
        "retain_last 500",
        "Athena: VACUUM with vacuum_min_snapshots_to_keep 500",
        "Glue's snapshot retention",
    ] {
        assert!(removal.remedy().contains(part), "{part}");
    }
}
