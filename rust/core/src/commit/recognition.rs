//! Whether a table already holds an append.

use super::history::History;
use super::ids::{Coverage, IdSet, ancestry, ids_of};
use super::queue::{Origin, Queued};
use super::receipt::unusable;
use super::{Committed, View};
use crate::error::{Error, ErrorKind, Result};
use crate::request::IdRange;

/// Error text for a call that shares only some of its requests with another.
pub(super) const PARTLY_STORED: &str = "another writer stored some of these requests meanwhile; nothing was added, and a retry adds only the others";
/// Error text for a call whose files belong to a table that no longer exists.
pub(super) const TABLE_RECREATED: &str = "the table was dropped or renamed meanwhile, and created again; nothing was added, and a retry adds it to the new table";
/// Error text for a receipt whose requests are only partly in the table.
pub(super) const RECEIPT_PARTLY_COMMITTED: &str = "some of its requests are in the table and some are not, and its files hold both; compare the \
     files with the table, add what is missing with an engine, and delete the receipt";
const FORGOTTEN: &str = "snapshots since it was made were expired, so it cannot be told whether its rows are in the table; \
     look for them there: if they are, delete the receipt, if not, rename it from .json to .approved.json";

/// Splits off the appends that share ids with an earlier one in the batch, so that a request sent twice at
/// once is added once.
pub(super) fn part_repeated(batch: Vec<Queued>) -> (Vec<Queued>, Vec<Queued>) {
    let mut taken = IdSet::default();
    batch.into_iter().partition(|queued| {
        let ids = &queued.append.ids;
        let is_new = taken.coverage(ids) == Coverage::None;
        taken.extend(ids.iter().copied());
        is_new
    })
}

pub(super) fn not_settled(view: &View) -> Error {
    let message =
        "the same request came twice at once, and the first was not committed; a retry adds it once";
    Error::new(ErrorKind::CommitUnknown, message).with("table", view.table.ident.to_string())
}

/// The history in which receipts are searched; created only if the batch contains receipts.
pub(super) fn history_for(batch: &[Queued], view: &View) -> Option<History> {
    batch
        .iter()
        .any(|queued| queued.origin != Origin::Call)
        .then(|| History::of(&view.table.metadata))
}

/// The answer to an append that needs no commit; `None` if it needs one.
pub(super) fn settled(queued: &Queued, view: &View, history: Option<&History>) -> Option<Result<Committed>> {
    let append = &queued.append;
    let there = |snapshot_id| Committed {
        snapshot_id,
        attempts: 0,
        folded: 0,
        already_there: true,
    };
    let table = &view.table;
    let again = |message: &str| {
        Some(Err(
            Error::new(ErrorKind::Catalog, message).with("table", table.ident.to_string())
        ))
    };
    let never = |message: &str| Some(Err(unusable(message)));
    let is_call = queued.origin == Origin::Call;
    let coverage = match history {
        Some(history) if !is_call => history.coverage(&append.ids),
        _ => view.ids.coverage(&append.ids),
    };
    match coverage {
        Coverage::Full if is_call => Some(Ok(there(holder(&append.ids, view)))),
        Coverage::Full => Some(Ok(there(table.metadata.current_snapshot_id().unwrap_or(0)))),
        Coverage::Partial if is_call => again(PARTLY_STORED),
        Coverage::Partial => never(RECEIPT_PARTLY_COMMITTED),
        // The table was recreated: its columns may have other ids, and its partitions other meanings.
        Coverage::None if queued.table_id != table.metadata.uuid() => again(TABLE_RECREATED),
        Coverage::None if forgotten(queued, history) => never(FORGOTTEN),
        Coverage::None if append.files.is_empty() => {
            Some(Ok(there(table.metadata.current_snapshot_id().unwrap_or(0))))
        }
        Coverage::None => None,
    }
}

/// Whether the history no longer reaches back to when a receipt was made, so that it is unknown whether the
/// receipt is in the table.
fn forgotten(queued: &Queued, history: Option<&History>) -> bool {
    match queued.origin {
        Origin::Call | Origin::ApprovedReceipt => false,
        Origin::Receipt(base) => history.is_none_or(|history| !history.covers(&base)),
    }
}

/// The snapshot that holds the first of these ids; the current one if none is found.
fn holder(ids: &[IdRange], view: &View) -> i64 {
    let metadata = &view.table.metadata;
    ancestry(metadata)
        .find(|snapshot| {
            let held = IdSet::from_ranges(ids_of(snapshot));
            held.coverage(ids.get(..1).unwrap_or_default()) != Coverage::None
        })
        .map(|snapshot| snapshot.snapshot_id())
        .or(metadata.current_snapshot_id())
        .unwrap_or(0)
}
