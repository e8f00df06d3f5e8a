//! Counts the bytes of Parquet files that a reader must read to find the rows with one id, using only what
//! the files provide: statistics and bloom filters of row groups, then the page index.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_schema::DataType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::data_type::ByteArray;
use parquet::file::metadata::{ColumnChunkMetaData, PageIndexPolicy};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::page_index::offset_index::PageLocation;
use parquet::file::statistics::Statistics;

use crate::Failure;

/// The total size, and the sizes that must be read.
#[derive(Debug, Default)]
struct Cost {
    files: usize,
    row_groups: usize,
    row_groups_by_statistics: usize,
    row_groups_by_bloom_filter: usize,
    rows_found: usize,
    /// Pages of all columns of all files. A dictionary page counts if one of its data pages is read.
    all_bytes: u64,
    /// Pages of the id's column that may hold the id.
    id_bytes: u64,
    /// Pages of all other columns that hold the rows that were found.
    other_bytes: u64,
}

/// Looks for `id` in a column of all files below a folder and prints a line of JSON.
pub fn by_id(folder: &Path, column: &str, id: &[u8]) -> Result<(), Failure> {
    let mut files = Vec::new();
    find(folder, &mut files)?;
    let mut cost = Cost::default();
    for file in files {
        add(&mut cost, &File::open(file)?, column, id)?;
    }
    println!(
        r#"{{"files": {}, "row_groups": {}, "by_statistics": {}, "by_bloom_filter": {}, "rows": {}, "all_bytes": {}, "id_bytes": {}, "other_bytes": {}}}"#,
        cost.files,
        cost.row_groups,
        cost.row_groups_by_statistics,
        cost.row_groups_by_bloom_filter,
        cost.rows_found,
        cost.all_bytes,
        cost.id_bytes,
        cost.other_bytes,
    );
    Ok(())
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            files.push(path);
        }
    }
    Ok(())
}

fn add(cost: &mut Cost, file: &File, column: &str, id: &[u8]) -> Result<(), Failure> {
    // The columns' types in Parquet, not those of the writer's Arrow schema.
    let options = ArrowReaderOptions::new()
        .with_page_index_policy(PageIndexPolicy::Required)
        .with_skip_arrow_metadata(true);
    let metadata = ArrowReaderMetadata::load(file, options)?;
    let parquet = metadata.metadata().clone();
    let leaves = parquet.file_metadata().schema_descr().columns().iter();
    let leaf = leaves.clone().position(|leaf| leaf.path().string() == column);
    let leaf = leaf.ok_or_else(|| format!("no column {column}"))?;
    let offsets = parquet.offset_index().ok_or("no offset index")?;
    let columns = parquet.column_index().ok_or("no column index")?;
    cost.files += 1;
    for (group, locations) in offsets.iter().enumerate() {
        cost.row_groups += 1;
        let chunks = parquet.row_group(group).columns();
        for (column, chunk) in locations.iter().zip(chunks) {
            cost.all_bytes += column.page_locations().iter().map(bytes).sum::<u64>() + dictionary(chunk);
        }
        if !within(parquet.row_group(group).column(leaf).statistics(), id) {
            continue;
        }
        cost.row_groups_by_statistics += 1;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file.try_clone()?, metadata.clone());
        let filter = builder.get_row_group_column_bloom_filter(group, leaf)?;
        if filter.is_some_and(|filter| !filter.check(&ByteArray::from(id.to_vec()))) {
            continue;
        }
        cost.row_groups_by_bloom_filter += 1;
        let pages = locations[leaf].page_locations().iter().enumerate();
        let pages = pages.filter(|(page, _)| may_hold(&columns[group][leaf], *page, id));
        cost.id_bytes += pages.map(|(_, page)| bytes(page)).sum::<u64>() + dictionary(&chunks[leaf]);

        let found = rows(builder, group, leaf, id)?;
        cost.rows_found += found.len();
        let others = locations.iter().zip(chunks).enumerate();
        for (_, (other, chunk)) in others.filter(|(other, _)| *other != leaf && !found.is_empty()) {
            cost.other_bytes += holding(other.page_locations(), &found) + dictionary(chunk);
        }
    }
    Ok(())
}

fn bytes(page: &PageLocation) -> u64 {
    page.compressed_page_size as u64
}

/// The size of a chunk's dictionary page. Offset indexes do not list it; it precedes the data pages.
fn dictionary(chunk: &ColumnChunkMetaData) -> u64 {
    let page = chunk
        .dictionary_page_offset()
        .map(|start| chunk.data_page_offset() - start);
    page.map_or(0, |bytes| bytes as u64)
}

fn within(statistics: Option<&Statistics>, id: &[u8]) -> bool {
    let bounds = statistics.and_then(|of| Some((of.min_bytes_opt()?, of.max_bytes_opt()?)));
    bounds.is_none_or(|(min, max)| min <= id && id <= max)
}

fn may_hold(index: &ColumnIndexMetaData, page: usize, id: &[u8]) -> bool {
    let bounds = match index {
        ColumnIndexMetaData::BYTE_ARRAY(index) | ColumnIndexMetaData::FIXED_LEN_BYTE_ARRAY(index) => {
            index.min_value(page).zip(index.max_value(page))
        }
        _ => None,
    };
    bounds.is_none_or(|(min, max)| min <= id && id <= max)
}

/// The numbers of the rows of a row group that have the id.
fn rows(
    builder: ParquetRecordBatchReaderBuilder<File>,
    group: usize,
    leaf: usize,
    id: &[u8],
) -> Result<Vec<usize>, Failure> {
    let mask = ProjectionMask::leaves(builder.parquet_schema(), [leaf]);
    let mut found = Vec::new();
    let mut first = 0;
    for batch in builder
        .with_row_groups(vec![group])
        .with_projection(mask)
        .build()?
    {
        let batch = batch?;
        let ids = batch.column(0);
        let is_id = |row: usize| match ids.data_type() {
            DataType::Utf8 => ids.as_string::<i32>().value(row).as_bytes() == id,
            DataType::FixedSizeBinary(_) => ids.as_fixed_size_binary().value(row) == id,
            DataType::Binary => ids.as_binary::<i32>().value(row) == id,
            _ => false,
        };
        found.extend(
            (0..ids.len())
                .filter(|row| ids.is_valid(*row) && is_id(*row))
                .map(|row| first + row),
        );
        first += ids.len();
    }
    Ok(found)
}

/// The size of the pages that contain one of the rows.
fn holding(pages: &[PageLocation], rows: &[usize]) -> u64 {
    let ends = pages
        .iter()
        .skip(1)
        .map(|page| page.first_row_index)
        .chain([i64::MAX]);
    let ranges = pages.iter().zip(ends);
    let touched = ranges.filter(|(page, end)| {
        rows.iter()
            .any(|row| (page.first_row_index..*end).contains(&(*row as i64)))
    });
    touched.map(|(page, _)| bytes(page)).sum()
}
