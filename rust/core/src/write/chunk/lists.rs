//! The lists of a column's rows.

use std::ops::Range;

use arrow_buffer::NullBuffer;
use parquet::errors::Result;

/// The lists or maps of a column, by row.
#[derive(Clone, Copy)]
pub(super) struct Lists<'a> {
    /// Where each list's elements begin; one more than there are lists.
    pub offsets: &'a [i32],
    /// `None` when no list is null.
    pub nulls: Option<&'a NullBuffer>,
    /// Definition level of an empty list; that of a null list is one less.
    pub empty: u8,
}

/// Consecutive rows whose lists have one length: a single entry of their levels.
pub(super) enum Run<'a> {
    /// This many rows without elements.
    Missing { definition: u8, rows: usize },
    /// Rows with `len` elements each, at least one.
    Elements { rows: &'a [u32], len: usize },
}

/// Stands for the number of elements of a null list, which is less than 2^31 for all others.
const NULL: u32 = u32::MAX;

impl Lists<'_> {
    /// Visits the lists of these rows, run by run. In some columns (events, links, exemplars) most rows have
    /// no elements, in others (attributes) as many as the row before.
    ///
    /// # Errors
    /// Any error of `visit`.
    #[inline]
    pub fn runs<'r>(self, rows: &'r [u32], mut visit: impl FnMut(Run<'r>) -> Result<()>) -> Result<()> {
        if self.nulls.is_some_and(are_all_null) && !rows.is_empty() {
            return visit(Run::Missing {
                definition: self.empty.saturating_sub(1),
                rows: rows.len(),
            });
        }
        let mut rest = rows;
        while let Some((first, later)) = rest.split_first() {
            let len = self.len(*first);
            let more = later.iter().take_while(|row| self.len(**row) == len).count();
            let (these, later) = rest.split_at(more + 1);
            visit(match len {
                NULL => Run::Missing {
                    definition: self.empty.saturating_sub(1),
                    rows: these.len(),
                },
                0 => Run::Missing {
                    definition: self.empty,
                    rows: these.len(),
                },
                len => Run::Elements {
                    rows: these,
                    len: len as usize,
                },
            })?;
            rest = later;
        }
        Ok(())
    }

    /// The elements of a row.
    #[inline]
    pub fn span(&self, row: u32) -> Range<usize> {
        span(self.offsets, row as usize)
    }

    /// The number of elements of a row, or [`NULL`].
    #[inline]
    fn len(&self, row: u32) -> u32 {
        if self.nulls.is_some_and(|nulls| nulls.is_null(row as usize)) {
            return NULL;
        }
        self.span(row).len() as u32
    }
}

/// Visits rows up to the one after which the page is full; returns how many they are.
#[inline]
pub(super) fn until_full(rows: &[u32], mut is_full_after: impl FnMut(u32) -> bool) -> usize {
    let last = rows.iter().position(|row| is_full_after(*row));
    last.map_or(rows.len(), |last| last + 1)
}

/// Whether everything is null, as the attributes of scopes mostly are.
#[inline]
pub(super) fn are_all_null(nulls: &NullBuffer) -> bool {
    nulls.null_count() == nulls.len()
}

/// The elements of a list or the entries of a map.
#[inline]
pub(super) fn span(offsets: &[i32], index: usize) -> Range<usize> {
    let at = |index: usize| {
        offsets
            .get(index)
            .map_or(0, |offset| offset.cast_unsigned() as usize)
    };
    at(index)..at(index + 1)
}
