//! Maps that rows refer to: a map's encoding is computed once and repeated for each row.

use arrow_buffer::NullBuffer;
use parquet::errors::Result;

use super::compress::Compressor;
use super::expansion::Expansion;
use super::leaf::Leaf;
use super::lists::{are_all_null, span};
use super::nested::Node;
use super::view::{View, split_run};

/// A column of shared maps.
pub(super) struct SharedMaps {
    /// Definition level of an empty map; that of a null map is one less.
    empty: u8,
    /// Keys and values, each with its repetition level.
    leaves: Vec<(Leaf, u8)>,
}

impl SharedMaps {
    /// Builds the column from the node of the map type. `None` when the maps contain nested types.
    pub fn new(node: Node) -> Option<Self> {
        let Node::List { empty, element, .. } = node else {
            return None;
        };
        let Node::Struct { fields, .. } = *element else {
            return None;
        };
        let leaves = fields.into_iter().map(|field| match field {
            Node::Leaf { leaf, repetition } => Some((*leaf, repetition)),
            _ => None,
        });
        Some(Self {
            empty,
            leaves: leaves.collect::<Option<_>>()?,
        })
    }

    /// Inspects the rows that will be appended: texts that they repeat often get a dictionary of any size.
    pub fn look_ahead(&mut self, keys: &[i32], nulls: Option<&NullBuffer>, maps: &View<'_>, rows: &[u32]) {
        let View::List { offsets, element, .. } = maps else {
            return;
        };
        let View::Struct { fields, .. } = element.as_ref() else {
            return;
        };
        for ((leaf, _), view) in self.leaves.iter_mut().zip(fields) {
            if let View::Leaf(view) = view {
                let keys = rows.iter().filter_map(|row| key_of(*row, keys, nulls));
                leaf.expect(Expansion::of_lists(&view.values, offsets, rows.len(), keys));
            }
        }
    }

    /// Appends rows. Each refers by key to a map in one array that all rows of a chunk share.
    ///
    /// # Errors
    /// When a page cannot be compressed.
    pub fn append_rows(
        &mut self,
        keys: &[i32],
        nulls: Option<&NullBuffer>,
        maps: &View<'_>,
        rows: &[u32],
        compressor: &mut Compressor,
    ) -> Result<()> {
        let View::List {
            offsets,
            nulls: null_maps,
            element,
        } = maps
        else {
            return Ok(());
        };
        let View::Struct { fields, .. } = element.as_ref() else {
            return Ok(());
        };
        // Recording a map's encoding pays off only if the map occurs again.
        let come_again = 2 * offsets.len() <= keys.len();
        for ((leaf, repetition), view) in self.leaves.iter_mut().zip(fields) {
            let View::Leaf(view) = view else {
                return Ok(());
            };
            if nulls.is_some_and(are_all_null) {
                leaf.append_missing(self.empty.saturating_sub(1), rows.len(), compressor)?;
                continue;
            }
            let key_of = |row: u32| {
                let key = key_of(row, keys, nulls)?;
                let is_null = null_maps.is_some_and(|nulls| nulls.is_null(key));
                (!is_null).then_some(key)
            };
            let mut rest = rows;
            while let Some((row, later)) = rest.split_first() {
                let Some(key) = key_of(*row) else {
                    let (these, later) = split_run(rest, |row| key_of(row).is_none());
                    leaf.append_missing(self.empty.saturating_sub(1), these.len(), compressor)?;
                    rest = later;
                    continue;
                };
                if leaf.can_repeat(key) {
                    let taken = leaf.repeat_rows(rest, key_of, *repetition, compressor)?;
                    rest = rest.get(taken..).unwrap_or(later);
                    continue;
                }
                match span(offsets, key) {
                    span if span.is_empty() => leaf.push_missing(self.empty, 0),
                    span if come_again => leaf.push_to_repeat(key, view, span, *repetition),
                    span => leaf.push_elements(view, span, 0, *repetition),
                }
                leaf.end_row(compressor)?;
                rest = later;
            }
        }
        Ok(())
    }

    /// Bytes of the chunks so far; open pages count uncompressed.
    pub fn bytes(&self) -> usize {
        self.leaves.iter().map(|(leaf, _)| leaf.bytes()).sum()
    }

    /// Takes the leaves out, in order.
    pub fn into_leaves(self) -> Vec<Leaf> {
        self.leaves.into_iter().map(|(leaf, _)| leaf).collect()
    }
}

/// The key of a row's map, if it has one.
#[inline]
fn key_of(row: u32, keys: &[i32], nulls: Option<&NullBuffer>) -> Option<usize> {
    let row = row as usize;
    let is_null = nulls.is_some_and(|nulls| nulls.is_null(row));
    let key = keys.get(row).map_or(0, |key| key.cast_unsigned() as usize);
    (!is_null).then_some(key)
}
