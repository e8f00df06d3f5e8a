//! Commit attempts with an unknown outcome, and how far back the history must be searched because of them.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use iceberg::spec::TableMetadata;
use tokio::time::Instant;
use uuid::Uuid;

use super::history::Base;

/// Maximum number of separate bases. Beyond it, the two oldest become one.
const FLOORS_MAX: usize = 256;

/// Attempts with an unknown outcome, including those that were resolved recently.
#[derive(Debug, Default)]
pub(super) struct UnknownAttempts {
    /// The tables and bases of attempts that can still land. An attempt can land while the main branch is at
    /// its parent. Once the branch has moved, it never can.
    open: HashSet<(Uuid, Base)>,
    /// The bases of attempts that recently had an unknown outcome, oldest first.
    floors: VecDeque<Floor>,
}

/// A base after which an attempt may have added ids. The search must reach back to it, however long the
/// catalog was unavailable.
#[derive(Debug)]
struct Floor {
    base: Base,
    /// When the table was first loaded after the attempt.
    looked: Option<Instant>,
}

impl UnknownAttempts {
    /// Whether an attempt may still land.
    pub(super) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Records that an attempt on this table has an unknown outcome.
    pub(super) fn add(&mut self, metadata: &TableMetadata) {
        let base = Base::of(metadata);
        self.open.insert((metadata.uuid(), base));
        if let Some(last) = self.floors.back_mut().filter(|last| last.base == base) {
            last.looked = None;
            return;
        }
        if self.floors.len() == FLOORS_MAX
            && let Some(oldest) = self.floors.pop_front()
            && let Some(next) = self.floors.front_mut()
        {
            next.base = oldest.base;
        }
        self.floors.push_back(Floor { base, looked: None });
    }

    /// Records a load of the table. Callers with an unknown outcome retry soon after the catalog is available
    /// again. Once `window` has passed since the first load, the normal search depth is enough.
    pub(super) fn looked(&mut self, metadata: &TableMetadata, window: Duration, now: Instant) {
        let table_id = metadata.uuid();
        self.open
            .retain(|(table, base)| *table == table_id && base.may_be_current(metadata));
        for floor in &mut self.floors {
            floor.looked.get_or_insert(now);
        }
        let is_over = |floor: &mut Floor| floor.looked.is_some_and(|looked| now - looked > window);
        while !self.is_open() && self.floors.pop_front_if(is_over).is_some() {}
    }

    /// How far back the search for ids must reach, if further than normal.
    pub(super) fn floor(&self) -> Option<Base> {
        self.floors.front().map(|floor| floor.base)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use iceberg::spec::{FormatVersion, PartitionSpec, Schema, SortOrder, TableMetadataBuilder};

    use super::*;

    /// A table without snapshots whose last sequence number is `snapshots`.
    fn table(snapshots: i64) -> TableMetadata {
        let schema = Schema::builder().build().unwrap();
        let (spec, order) = (PartitionSpec::unpartition_spec(), SortOrder::unsorted_order());
        let (place, format) = ("file:///table".to_owned(), FormatVersion::V2);
        let builder = TableMetadataBuilder::new(schema, spec, order, place, format, HashMap::new());
        let built = builder.unwrap().build().unwrap();
        let mut json = serde_json::to_value(built.metadata).unwrap();
        json["last-sequence-number"] = snapshots.into();
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn each_doubt_ends_a_window_after_the_next_look_whatever_is_in_doubt_since() {
        let (window, mut now) = (Duration::from_secs(60), Instant::now());
        let mut unknown = UnknownAttempts::default();
        for number in 0..10 {
            let wanted = table(number);
            unknown.add(&wanted);
            unknown.looked(&wanted, window, now);
            assert!(unknown.is_open(), "the table is where the attempt wanted it");
            // Another table of the same name: no attempt for the first one can land in it.
            unknown.looked(&table(0), window, now);
            assert!(!unknown.is_open());
            let oldest = table((number - 2).max(0));
            assert_eq!(unknown.floor(), Some(Base::of(&oldest)), "{number}");
            now += Duration::from_secs(21);
        }
        unknown.looked(&table(0), window, now + window);
        assert_eq!(unknown.floor(), None);
    }

    #[test]
    fn an_older_copy_of_the_table_settles_nothing() {
        let at = |current: i64, last: i64| {
            let mut json = serde_json::to_value(table(last)).unwrap();
            json["table-uuid"] = "9c12d441-03fe-4693-9a96-a0705ddf69c1".into();
            json["current-snapshot-id"] = current.into();
            json["snapshots"] = serde_json::json!([{"snapshot-id": current, "sequence-number": current, "timestamp-ms": 1,
                "manifest-list": "file:///table/list.avro", "summary": {"operation": "append"}}]);
            json["refs"] = serde_json::json!({"main": {"snapshot-id": current, "type": "branch"}});
            serde_json::from_value::<TableMetadata>(json).unwrap()
        };
        let (window, now) = (Duration::ZERO, Instant::now());
        let mut unknown = UnknownAttempts::default();
        unknown.add(&at(5, 5));
        // An older copy, the same state, and a state with a snapshot of another branch.
        for (current, last) in [(4, 4), (5, 5), (4, 4), (5, 6)] {
            unknown.looked(&at(current, last), window, now);
            assert!(unknown.is_open(), "{current} {last}");
        }
        unknown.looked(&at(6, 6), window, now);
        assert!(!unknown.is_open());
        // After a rollback, an attempt on the former current snapshot has lost.
        unknown.add(&at(6, 6));
        unknown.looked(&at(4, 6), window, now);
        assert!(!unknown.is_open());
    }

    #[test]
    fn of_too_many_the_oldest_base_counts_until_the_next_one_ends() {
        let (window, begin) = (Duration::from_secs(1000), Instant::now());
        let mut unknown = UnknownAttempts::default();
        for number in 0..300_u32 {
            unknown.add(&table(number.into()));
            unknown.looked(&table(0), window, begin + Duration::from_secs(number.into()));
        }
        assert_eq!(unknown.floor(), Some(Base::of(&table(0))));
        assert_eq!(unknown.floors.len(), FLOORS_MAX);
        // The base of the first 45 expires together with the last of them.
        let last = Duration::from_secs(300 - FLOORS_MAX as u64);
        unknown.looked(&table(0), window, begin + window + last);
        assert_eq!(unknown.floor(), Some(Base::of(&table(0))));
        unknown.looked(&table(0), window, begin + window + last + Duration::from_secs(1));
        assert_eq!(unknown.floor(), Some(Base::of(&table(45))));
    }
}
