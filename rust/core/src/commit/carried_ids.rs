//! Ids that a snapshot carries over from earlier ones, for a catalog that exposes only the current snapshot.
//!
//! Requests are recognised by the ids in recent snapshots. Nessie exposes only the current snapshot. There,
//! each of our snapshots also lists the ids of earlier ones, newest first. The list is limited, but long
//! enough that the rest does not matter.

use iceberg::spec::TableMetadata;

use super::View;
use super::ids::{ancestry, ids_of, is_alone, is_forgotten};
use crate::request::IdRange;

/// The snapshot summary's property for carried ids: ranges as in [`super::COMMIT_IDS`], which has the
/// snapshot's own.
pub(super) const CARRIED_IDS: &str = "otlp2iceberg.carried-ids";

/// Maximum number of carried ranges, 48 bytes each in the summary. A writer has one range, unless its
/// requests end out of order.
const RANGES_MAX: usize = 1000;

/// The ids in the table's snapshots, newest first, plus those of an earlier view, if the catalog does not
/// expose the whole history.
///
/// Empty if it does. Unless `is_told` says so for sure, this only shows at the second snapshot. So the second
/// snapshot also carries the first one's ids.
pub(super) fn carried(metadata: &TableMetadata, is_told: bool, before: Option<&View>) -> Vec<IdRange> {
    if is_told && !is_forgotten(metadata) || !is_alone(metadata) {
        return Vec::new();
    }
    let before = before.filter(|before| before.table.metadata.uuid() == metadata.uuid());
    let known = before.into_iter().flat_map(|before| {
        let seen = ancestry(&before.table.metadata).flat_map(ids_of);
        seen.chain(before.carried.iter().copied())
    });
    newest_first(ancestry(metadata).flat_map(ids_of).chain(known))
}

/// The first ranges. Ranges that overlap or touch are merged at the position of the first.
fn newest_first(ranges: impl Iterator<Item = IdRange>) -> Vec<IdRange> {
    let mut all: Vec<IdRange> = Vec::new();
    for range in ranges {
        let joins = |other: &&mut IdRange| {
            other.writer == range.writer
                && range.from <= other.to.saturating_add(1)
                && other.from <= range.to.saturating_add(1)
        };
        let is_full = all.len() == RANGES_MAX;
        match all.iter_mut().find(joins) {
            Some(other) => {
                other.from = other.from.min(range.from);
                other.to = other.to.max(range.to);
            }
            None if is_full => {}
            None => all.push(range),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::ids::joined;
    use super::super::ids::tests::range;
    use super::*;

    #[test]
    fn the_newest_come_first_and_a_writer_in_order_has_one_range() {
        let ranges = [
            range(1, 7, 8),
            range(1, 5, 6),
            range(2, 5, 9),
            range(1, 1, 4),
            range(3, 1, 1),
        ];
        let all = newest_first(ranges.into_iter());
        assert_eq!(all, [range(1, 1, 8), range(2, 5, 9), range(3, 1, 1)]);
        let read: Vec<IdRange> = joined(&all).split(',').filter_map(IdRange::parse).collect();
        assert_eq!(read, all);
    }

    #[test]
    fn what_is_carried_is_bounded() {
        let many = (0..2000).map(|number| range(7, 2 * number, 2 * number));
        let all = newest_first([range(1, 1, 1)].into_iter().chain(many));
        assert_eq!(all.len(), RANGES_MAX);
        assert_eq!(all.first(), Some(&range(1, 1, 1)));
    }
}
