//! The files that the batches of one call are written to.
//!
//! Each batch adds a row group to the file of each of its partition values. Files therefore hold the whole
//! call, while memory holds one batch at a time. Rows are sorted within a row group; only a file with a
//! single row group is sorted as a whole and declares its sort order.

use std::sync::Arc;

use iceberg::spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat, Struct, TableMetadata};

use super::align::{self, Aligned};
use super::layout::Layout;
use super::long_texts::LongTexts;
use super::memory::Memory;
use super::metrics::Measured;
use super::metrics_config::MetricsConfig;
use super::parquet::{EncodedFile, FileWriter};
use super::partition::{self, Rows};
use super::paths::Paths;
use super::settings::Settings;
use super::sort::Sorter;
use super::{Appended, EncodeOptions, NewFile, internal};
use crate::convert::TableBatch;
use crate::error::Result;

/// Files of one table, open or finished.
#[derive(Debug, Default)]
pub struct Files {
    layout: Option<Arc<Layout>>,
    open: Vec<OpenFile>,
    done: Vec<NewFile>,
    /// Every partition value that already has a file.
    partitions: Vec<Struct>,
    long_texts: LongTexts,
}

/// A file that may still grow.
#[derive(Debug)]
struct OpenFile {
    partition: Struct,
    writer: FileWriter,
    /// The number of sorted runs that were added.
    runs: usize,
    sort_order_id: Option<i32>,
}

impl Files {
    /// Appends a batch for a table as it was loaded. Columns are matched by name and get the table's ids.
    /// Rows are split by the table's default partition spec, and each row group is sorted by its default sort
    /// order. The function only computes, using buffers from `memory`. All calls must get the same metadata
    /// and options.
    ///
    /// When the rows have more than `partitions_max` partition values, values that already have a file are
    /// kept first, then those with the most rows. Rows of the other values are left out: a client whose clock
    /// is wrong must not open thousands of files. So are rows with a long text in their partition value, and
    /// those for which long texts that rows share would be stored too often.
    ///
    /// # Errors
    /// `TableMismatch` (permanent) when the table cannot hold our rows; any error of `proceed`. After an
    /// error the files are unusable.
    pub fn append(
        &mut self,
        metadata: &TableMetadata,
        batch: &TableBatch,
        options: &EncodeOptions<'_>,
        memory: &mut Memory,
    ) -> Result<Appended> {
        let mut appended = Appended::default();
        if batch.batch.num_rows() == 0 {
            return Ok(appended);
        }
        let table = batch.table;
        let mut aligned = align::align(table, metadata, &batch.batch)?;
        appended.left_out = std::mem::take(&mut aligned.left_out);
        let sorter = Sorter::new(
            aligned.batch.columns(),
            |id| aligned.position(id),
            metadata.default_sort_order(),
        )?;
        let layout = self.layout(metadata, &aligned, &sorter, options)?;
        let config = MetricsConfig::new(metadata);
        let (groups, too_long) = partition::split(&aligned, metadata)?;
        let (mut groups, mut rejected) =
            partition::most_rows(groups, &aligned.batch, &self.partitions, options.partitions_max);
        let has_copies = !layout.settings.encoder_is_ours();
        let too_often =
            self.long_texts
                .take_out(&mut groups, &aligned.batch, options.request_bytes, has_copies);
        rejected.extend(too_long);
        rejected.extend(too_often);
        rejected.sort_unstable();
        appended.rejected = rejected;
        for group in groups {
            let rows = sorter.sort(group.rows);
            let file = Group {
                partition: group.partition,
                rows,
                aligned: &aligned,
                sort_order_id: sorter.sort_order_id(),
            };
            self.append_group(metadata, &file, &layout, &config, options, memory)?;
        }
        Ok(appended)
    }

    /// Ends all files.
    ///
    /// # Errors
    /// `Internal` when a footer cannot be written.
    pub fn finish(&mut self, metadata: &TableMetadata, options: &EncodeOptions<'_>) -> Result<Vec<NewFile>> {
        let config = MetricsConfig::new(metadata);
        for file in std::mem::take(&mut self.open) {
            self.close(metadata, file, &config, options)?;
        }
        self.layout = None;
        Ok(std::mem::take(&mut self.done))
    }

    fn layout(
        &mut self,
        metadata: &TableMetadata,
        aligned: &Aligned,
        sorter: &Sorter,
        options: &EncodeOptions<'_>,
    ) -> Result<Arc<Layout>> {
        if let Some(layout) = self.layout.as_ref().filter(|layout| layout.takes(aligned)) {
            return Ok(Arc::clone(layout));
        }
        // All batches of a call have one schema; if they did not, the files would still be correct.
        let config = MetricsConfig::new(metadata);
        for file in std::mem::take(&mut self.open) {
            self.close(metadata, file, &config, options)?;
        }
        let settings = Settings::of(options.parquet, metadata)?;
        let layout = Arc::new(Layout::new(aligned, sorter.sorting_columns(), settings)?);
        Ok(Arc::clone(self.layout.insert(layout)))
    }

    fn append_group(
        &mut self,
        metadata: &TableMetadata,
        group: &Group<'_>,
        layout: &Arc<Layout>,
        config: &MetricsConfig,
        options: &EncodeOptions<'_>,
        memory: &mut Memory,
    ) -> Result<()> {
        let schema = group.aligned.batch.schema();
        let measured = Measured {
            fields: &group.aligned.fields,
            schema: &schema,
            config,
        };
        let numbers = group.rows.numbers(&group.aligned.batch);
        let mut rest = numbers.as_slice();
        while !rest.is_empty() {
            (options.proceed)()?;
            let mut file = self.take(group, layout)?;
            let taken = file.writer.append(&group.aligned.batch, rest, measured, memory)?;
            file.runs += 1;
            rest = rest.get(taken..).unwrap_or_default();
            if file.writer.is_full() {
                self.close(metadata, file, config, options)?;
            } else {
                self.open.push(file);
            }
        }
        Ok(())
    }

    /// Takes the open file of a partition value, or starts one.
    fn take(&mut self, group: &Group<'_>, layout: &Arc<Layout>) -> Result<OpenFile> {
        let of_group = |file: &OpenFile| file.partition == group.partition;
        if let Some(at) = self.open.iter().position(of_group) {
            return Ok(self.open.swap_remove(at));
        }
        if !self.partitions.contains(&group.partition) {
            self.partitions.push(group.partition.clone());
        }
        Ok(OpenFile {
            partition: group.partition.clone(),
            writer: FileWriter::new(Arc::clone(layout))?,
            runs: 0,
            sort_order_id: group.sort_order_id,
        })
    }

    fn close(
        &mut self,
        metadata: &TableMetadata,
        file: OpenFile,
        config: &MetricsConfig,
        options: &EncodeOptions<'_>,
    ) -> Result<()> {
        let paths = Paths::new(metadata, options.ids, file.writer.settings());
        let encoded = file.writer.finish(config)?;
        let directory = Paths::partition(metadata, &file.partition)?;
        let path = paths.file(&directory, self.done.len(), &encoded.bytes)?;
        let sort_order_id = file.sort_order_id.filter(|_| file.runs == 1);
        let (bytes, data_file) = describe(path, encoded, file.partition, metadata, sort_order_id)?;
        self.done.push(NewFile {
            bytes: bytes.into(),
            data_file,
        });
        Ok(())
    }
}

/// Rows of a batch for one partition value, in the order in which they are stored.
struct Group<'a> {
    partition: Struct,
    rows: Rows,
    aligned: &'a Aligned,
    sort_order_id: Option<i32>,
}

/// The file's bytes with its manifest entry.
///
/// # Errors
/// `Internal` when the entry is incomplete.
pub(super) fn describe(
    path: String,
    file: EncodedFile,
    partition: Struct,
    metadata: &TableMetadata,
    sort_order_id: Option<i32>,
) -> Result<(Vec<u8>, DataFile)> {
    let mut builder = DataFileBuilder::default();
    let split_offsets = file.split_offsets();
    let metrics = file.metrics;
    builder
        .content(DataContentType::Data)
        .file_path(path)
        .file_format(DataFileFormat::Parquet)
        .partition(partition)
        .partition_spec_id(metadata.default_partition_spec_id())
        .record_count(file.rows as u64)
        .file_size_in_bytes(file.size)
        .split_offsets(Some(split_offsets))
        .column_sizes(metrics.column_sizes)
        .value_counts(metrics.value_counts)
        .null_value_counts(metrics.null_value_counts)
        .nan_value_counts(metrics.nan_value_counts)
        .lower_bounds(metrics.lower_bounds)
        .upper_bounds(metrics.upper_bounds);
    if let Some(sort_order_id) = sort_order_id {
        builder.sort_order_id(sort_order_id);
    }
    let data_file = builder
        .build()
        .map_err(|cause| internal("a data file's description is incomplete", cause))?;
    Ok((file.bytes, data_file))
}
