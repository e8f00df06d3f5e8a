//! The table as its committer and the committer's callers see it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::carried_ids::carried;
use super::history::Base;
use super::ids::{IdSet, Window};
use super::odd_manifests::OddManifests;
use crate::catalog::LoadedTable;
use crate::clock::now_ms;
use crate::request::IdRange;

/// State shared by the committer's task and its callers.
#[derive(Debug)]
pub(super) struct Shared {
    view: RwLock<Arc<View>>,
    /// How far back views reach.
    pub(super) window: Window,
    /// The table's manifests that are not merged.
    pub(super) odd_manifests: OddManifests,
    /// See [`Catalog::tells_history`].
    tells_history: bool,
    /// Whether the table must be reloaded before the next attempt, and before any statement about its
    /// content.
    stale: AtomicBool,
}

/// The table as last loaded, and the requests in its recent ancestry.
#[derive(Debug)]
pub(super) struct View {
    pub(super) table: Arc<LoadedTable>,
    pub(super) ids: IdSet,
    /// See [`carried`].
    pub(super) carried: Vec<IdRange>,
}

impl Shared {
    pub(super) fn new(table: LoadedTable, window: Window, tells_history: bool) -> Self {
        let carried = carried(&table.metadata, tells_history, None);
        Self {
            view: RwLock::new(Arc::new(View::new(table, window, None, carried))),
            window,
            odd_manifests: OddManifests::default(),
            tells_history,
            stale: AtomicBool::new(false),
        }
    }

    pub(super) fn is_stale(&self) -> bool {
        self.stale.load(Ordering::Acquire)
    }

    pub(super) fn set_stale(&self, stale: bool) {
        self.stale.store(stale, Ordering::Release);
    }

    pub(super) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set(&self, table: LoadedTable, floor: Option<Base>) {
        let carried = carried(&table.metadata, self.tells_history, Some(&self.view()));
        let view = Arc::new(View::new(table, self.window, floor, carried));
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = view;
    }
}

impl View {
    fn new(table: LoadedTable, window: Window, floor: Option<Base>, carried: Vec<IdRange>) -> Self {
        let mut ids = IdSet::of_table(&table.metadata, window, floor.as_ref(), now_ms());
        ids.extend(carried.iter().copied());
        Self {
            table: Arc::new(table),
            ids,
            carried,
        }
    }
}
