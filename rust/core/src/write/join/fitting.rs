//! Selects the files that can be joined.

use std::cmp::Reverse;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use arrow_array::RecordBatch;
use iceberg::spec::{SortOrder, TableMetadata};
use parquet::basic::Compression;
use parquet::file::metadata::RowGroupMetaData;
use parquet::schema::types::SchemaDescriptor;

use super::super::layout::Layout;
use super::super::settings::Settings;
use super::super::sort::Sorter;
use super::decode::arrow_schema;
use super::plan::{Group, Part, Size, plan};
use super::row_group::extent;
use super::source::Source;
use super::unreadable;
use crate::config::ParquetConfig;
use crate::error::Result;

/// Identifies a set of columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Columns(u64);

impl Columns {
    #[cfg(test)]
    pub(crate) fn of_test(number: u64) -> Self {
        Self(number)
    }

    fn of(schema: &SchemaDescriptor) -> Self {
        // Names, types and field ids. If two hashes collide, [`alike`] still separates them.
        let mut hasher = DefaultHasher::new();
        format!("{:?}", schema.root_schema()).hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// Files with the same columns, in their original order.
pub(super) struct Alike {
    /// The files, at least one.
    pub sources: Vec<Source>,
    /// Their columns, unless equal to those of the newest of all files.
    pub others: Option<Columns>,
}

/// Groups files by their columns; the largest group comes first.
pub(super) fn alike(read: Vec<Source>) -> Vec<Alike> {
    let schema = |source: &Source| source.footer.file_metadata().schema_descr_ptr();
    let Some(newest) = read.last().map(schema) else {
        return Vec::new();
    };
    let mut by_columns: Vec<Alike> = Vec::new();
    for source in read {
        let columns = schema(&source);
        let same = |alike: &&mut Alike| alike.sources.first().map(schema).as_ref() == Some(&columns);
        match by_columns.iter_mut().find(same) {
            Some(alike) => alike.sources.push(source),
            None => by_columns.push(Alike {
                others: (columns != newest).then(|| Columns::of(&columns)),
                sources: vec![source],
            }),
        }
    }
    by_columns.sort_by_key(|alike| Reverse((alike.sources.len(), alike.others.is_none())));
    by_columns
}

/// Files that can be joined, with the plan for joining them.
pub(super) struct Fitting {
    /// The layout of the new file.
    pub layout: Arc<Layout>,
    /// The files.
    pub sources: Vec<Source>,
    /// The sources of each of its row groups.
    pub parts: Vec<Part>,
}

impl Fitting {
    /// The files among those with equal columns that can be joined. `None` if there are fewer than two.
    ///
    /// # Errors
    /// `Decode` with the path of a file whose footer contradicts itself.
    pub fn of(alike: Vec<Source>, metadata: &TableMetadata, config: &ParquetConfig) -> Result<Option<Self>> {
        let Some(newest) = alike.last().map(|newest| Arc::clone(&newest.footer)) else {
            return Ok(None);
        };
        let schema = newest.file_metadata().schema_descr();
        let Ok(arrow) = arrow_schema(schema) else {
            return Ok(None);
        };
        let empty = RecordBatch::new_empty(Arc::new(arrow));
        let sorter = sorter(&empty, schema, metadata.default_sort_order())?;
        let settings = Settings {
            // The caller decides how large the file becomes.
            target_file_bytes: u64::MAX,
            ..Settings::of(config, metadata)?
        };
        let max = Size::max(&settings);
        let layout = Layout::of(empty.schema(), schema.clone(), sorter.sorting_columns(), settings);
        let mut sources = Vec::with_capacity(alike.len());
        let mut groups = Vec::new();
        for source in alike {
            if let Some(of_source) = groups_of(&source, sources.len(), &layout, &max)? {
                groups.extend(of_source);
                sources.push(source);
            }
        }
        Ok((sources.len() >= 2).then(|| Self {
            layout: Arc::new(layout),
            parts: plan(groups, &max),
            sources,
        }))
    }
}

/// The sorter for rows with a file's columns.
///
/// # Errors
/// `Internal` when a column cannot be compared.
pub(super) fn sorter(batch: &RecordBatch, schema: &SchemaDescriptor, order: &SortOrder) -> Result<Sorter> {
    let position_of = |field_id: i32| {
        let mut columns = schema.root_schema().get_fields().iter();
        columns.position(|column| {
            let info = column.get_basic_info();
            info.has_id() && info.id() == field_id
        })
    };
    Sorter::new(batch.columns(), position_of, order)
}

/// The file's row groups. `None` if one of them can neither be copied nor be encoded again.
fn groups_of(source: &Source, number: usize, layout: &Layout, max: &Size) -> Result<Option<Vec<Group>>> {
    let mut groups = Vec::with_capacity(source.footer.num_row_groups());
    for (number_in_file, row_group) in source.row_groups().filter(|(_, group)| group.num_rows() > 0) {
        let extent = extent(row_group, source.bytes).map_err(|problem| unreadable(&source.path, problem))?;
        let Some(extent) = extent.filter(|_| is_readable(row_group)) else {
            return Ok(None);
        };
        let group = Group {
            source: number,
            number: number_in_file,
            extent,
            size: Size::of(row_group),
            is_in_order: row_group.sorting_columns() == layout.sorting_columns(),
        };
        // A large row group is copied, and a file declares one sort order for all its row groups.
        if group.size.is_large(max) && !group.is_in_order {
            return Ok(None);
        }
        groups.push(group);
    }
    Ok(Some(groups))
}

fn is_readable(row_group: &RowGroupMetaData) -> bool {
    let mut columns = row_group.columns().iter();
    columns.all(|chunk| !matches!(chunk.compression(), Compression::LZO))
}
