//! Encodes a row group's column chunks from Arrow arrays, with rows in any order.
//!
//! The parquet crate's Arrow writer is not used for all columns, for three reasons. It needs rows in their
//! final order, so sorting would copy each value. It hashes each value of an array that is already
//! dictionary-encoded. It creates a compression context per column. Here, rows are read in place, labels keep
//! their dictionary, and one context serves all files. The crate still writes the file around the chunks, and
//! columns of other types.
//!
//! The call hierarchy: [`Column`] → [`nested`] ([`lists`], maps, structs; [`shared`] for maps that rows refer to)
//! → [`leaf`] (one chunk) → [`values`] (the values of its pages: [`text`], [`number`], [`boolean`]) →
//! [`pages`] (the stored pages, each after its [`page_header`], and their statistics).
//!
//! A page is built in a [`buffer`], whose memory is [`reused`]. [`hybrid`] writes its [`levels`] and its
//! dictionary [`indices`]. [`distinct`] estimates the benefit of a dictionary, [`expansion`] whether it is
//! needed, [`search`] wraps zstd, [`hex_ids`] compresses ids, and [`view`] gives access to the arrays.
//! [`other`] hands columns to the parquet crate.

mod bloom;
mod boolean;
mod buffer;
mod chunk_bytes;
mod compress;
mod dictionary_memory;
mod distinct;
mod expansion;
mod hex_ids;
mod hybrid;
mod indices;
mod leaf;
mod levels;
mod lists;
mod nested;
mod number;
mod number_dictionary;
mod other;
mod page_header;
mod pages;
mod range;
mod reused;
mod search;
mod shared;
mod text;
mod text_dictionary;
mod text_range;
mod values;
mod view;

use arrow_array::ArrayRef;
use arrow_schema::{DataType, Field, SchemaRef, TimeUnit};
use parquet::arrow::arrow_writer::ArrowColumnWriter;
use parquet::basic::Type;
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedRowGroupWriter;
use parquet::schema::types::{ColumnDescPtr, SchemaDescriptor};

use self::bloom::Bloom;
pub(super) use self::compress::Compressor;
use self::dictionary_memory::DictionaryMemory;
use self::leaf::Leaf;
pub(super) use self::leaf::{PageRows, Summary};
use self::nested::Node;
use self::number::{NumberOptions, Numbers};
pub(super) use self::range::Range;
use self::shared::SharedMaps;
use self::text::{TextOptions, Texts};
use self::values::Values;
use self::view::View;

/// Encodes the row groups of one file.
pub(super) struct ChunkEncoder<'a> {
    schema: SchemaRef,
    columns: &'a [ColumnDescPtr],
    properties: &'a WriterProperties,
    page_rows: PageRows,
    /// `None` when the parquet crate handles the codec.
    compressor: Option<&'a mut Compressor>,
}

/// The growing column chunks of a row group, one entry per column of the batch.
pub(super) struct RowGroup(Vec<Column>);

enum Column {
    /// Values outside lists.
    Flat(Box<Leaf>),
    /// Lists, maps and structs.
    Nested(Node),
    /// Maps that rows refer to.
    Shared(Box<SharedMaps>),
    /// A type that only the parquet crate encodes.
    Other(Vec<ArrowColumnWriter>),
}

impl<'a> ChunkEncoder<'a> {
    /// Prepares for the columns of a schema.
    pub fn new(
        schema: SchemaRef,
        parquet_schema: &'a SchemaDescriptor,
        properties: &'a WriterProperties,
        page_rows: PageRows,
        compressor: Option<&'a mut Compressor>,
    ) -> Self {
        Self {
            schema,
            columns: parquet_schema.columns(),
            properties,
            page_rows,
            compressor,
        }
    }

    /// Starts a row group of at most these rows of a batch. `others` returns the parquet crate's writers of
    /// all leaves. It is called only if some columns are not encoded here, since each writer allocates a
    /// compression context.
    ///
    /// # Errors
    /// When a bloom filter cannot be made; any error of `others`.
    pub fn begin(
        &mut self,
        arrays: &[ArrayRef],
        rows: &[u32],
        others: impl FnOnce() -> Result<Vec<ArrowColumnWriter>>,
    ) -> Result<RowGroup> {
        let schema = SchemaRef::clone(&self.schema);
        let mut columns = self.columns.iter();
        let mut row_group = Vec::with_capacity(schema.fields().len());
        for (field, array) in schema.fields().iter().zip(arrays) {
            let own: Vec<&ColumnDescPtr> = columns.by_ref().take(leaves(field.data_type())).collect();
            let mut column = self.own_column(field, &own, rows.len())?;
            match (&mut column, View::of(array)) {
                (Some(Column::Flat(leaf)), Some(View::Leaf(view))) => leaf.look_ahead(&view, rows),
                (Some(Column::Shared(shared)), Some(View::Shared { keys, nulls, maps })) => {
                    shared.look_ahead(keys, nulls, &maps, rows);
                }
                (Some(Column::Nested(node)), Some(view)) => node.look_ahead(&view, rows),
                _ => {}
            }
            row_group.push(column);
        }
        if row_group.iter().all(Option::is_some) {
            return Ok(RowGroup(row_group.into_iter().flatten().collect()));
        }
        let mut others = others()?.into_iter();
        let fields = schema.fields().iter();
        let row_group = fields.zip(row_group).map(|(field, column)| {
            let writers: Vec<ArrowColumnWriter> = others.by_ref().take(leaves(field.data_type())).collect();
            column.unwrap_or(Column::Other(writers))
        });
        Ok(RowGroup(row_group.collect()))
    }

    fn own_column(
        &mut self,
        field: &Field,
        columns: &[&ColumnDescPtr],
        rows_max: usize,
    ) -> Result<Option<Column>> {
        if self.compressor.is_none() {
            return Ok(None);
        }
        let mut columns = columns.iter();
        let mut failed = None;
        let mut leaf = |data_type: &DataType| {
            let column = columns.next()?;
            match self.leaf(data_type, column, rows_max) {
                Ok(leaf) => leaf,
                Err(cause) => {
                    failed = Some(cause);
                    None
                }
            }
        };
        let column = match field.data_type() {
            DataType::Dictionary(_, shared) if shared.is_nested() => {
                let field = field.clone().with_data_type(shared.as_ref().clone());
                let node = Node::build(&field, 0, 0, &mut leaf);
                node.and_then(SharedMaps::new)
                    .map(|maps| Column::Shared(Box::new(maps)))
            }
            _ => Node::build(field, 0, 0, &mut leaf).map(|node| match node {
                Node::Leaf { leaf, .. } => Column::Flat(leaf),
                node => Column::Nested(node),
            }),
        };
        match failed {
            Some(cause) => Err(cause),
            None => Ok(column),
        }
    }

    /// An empty chunk; `None` for a type that is not encoded here.
    fn leaf(
        &mut self,
        data_type: &DataType,
        column: &ColumnDescPtr,
        rows_max: usize,
    ) -> Result<Option<Leaf>> {
        let path = column.path();
        let bloom = || Bloom::of(self.properties, path, rows_max);
        let compressor = self.compressor.as_deref_mut();
        let mut memory = compressor
            .map(|compressor| compressor.take_spare(path))
            .unwrap_or_default();
        let dictionary = std::mem::take(&mut memory.dictionary);
        let options = NumberOptions {
            with_dictionary: self.properties.dictionary_enabled(path),
            dictionary_bytes_max: self.properties.column_dictionary_page_size_limit(path),
            with_range: column.max_rep_level() == 0,
        };
        let values = match (data_type, column.physical_type()) {
            (DataType::Utf8, Type::BYTE_ARRAY) => self.texts(column, rows_max, dictionary)?,
            (DataType::Dictionary(key, value), Type::BYTE_ARRAY)
                if **key == DataType::Int32 && **value == DataType::Utf8 =>
            {
                self.texts(column, rows_max, dictionary)?
            }
            (DataType::Int32, Type::INT32) => Values::Int(Numbers::new(options, bloom()?, dictionary)),
            (
                DataType::Int64 | DataType::Timestamp(TimeUnit::Microsecond | TimeUnit::Nanosecond, _),
                Type::INT64,
            ) => Values::Long(Numbers::new(options, bloom()?, dictionary)),
            (DataType::Float64, Type::DOUBLE) => Values::Double(Numbers::new(options, bloom()?, dictionary)),
            (DataType::Boolean, Type::BOOLEAN) => Values::Bool(boolean::Booleans::default()),
            _ => return Ok(None),
        };
        let page_bytes_max = self.properties.column_data_page_size_limit(path);
        Ok(Leaf::new(
            column.clone(),
            values,
            memory,
            self.page_rows,
            page_bytes_max,
        ))
    }

    fn texts(&self, column: &ColumnDescPtr, rows_max: usize, dictionary: DictionaryMemory) -> Result<Values> {
        let path = column.path();
        let options = TextOptions {
            with_dictionary: self.properties.dictionary_enabled(path),
            dictionary_bytes_max: self.properties.column_dictionary_page_size_limit(path),
            with_range: column.max_rep_level() == 0,
        };
        let bloom = Bloom::of(self.properties, path, rows_max)?;
        Ok(Values::Text(Box::new(Texts::new(options, bloom, dictionary))))
    }

    /// Appends rows of a batch, in this order. All rows of a row group come from one batch, because its
    /// chunks reuse the batch's dictionaries. Returns the rows of the columns that the parquet crate encodes,
    /// by position.
    ///
    /// # Errors
    /// When a page cannot be encoded.
    pub fn append(
        &mut self,
        row_group: &mut RowGroup,
        arrays: &[ArrayRef],
        rows: &[u32],
    ) -> Result<Vec<(usize, ArrayRef)>> {
        let mut others = Vec::new();
        let fields = self.schema.fields().iter();
        for (position, ((column, array), field)) in row_group.0.iter_mut().zip(arrays).zip(fields).enumerate()
        {
            match (column, self.compressor.as_deref_mut()) {
                (Column::Other(writers), _) => {
                    others.push((position, other::append(writers, field, array, rows)?));
                }
                (Column::Flat(leaf), Some(compressor)) => match View::of(array) {
                    Some(View::Leaf(view)) => leaf.append_rows(&view, rows, compressor)?,
                    _ => return Err(unexpected(field)),
                },
                (Column::Nested(node), Some(compressor)) => match View::of(array) {
                    Some(view) => node.append_rows(&view, rows, compressor)?,
                    None => return Err(unexpected(field)),
                },
                (Column::Shared(maps), Some(compressor)) => match View::of(array) {
                    Some(View::Shared {
                        keys,
                        nulls,
                        maps: view,
                    }) => {
                        maps.append_rows(keys, nulls, &view, rows, compressor)?;
                    }
                    _ => return Err(unexpected(field)),
                },
                (Column::Flat(_) | Column::Nested(_) | Column::Shared(_), None) => {
                    return Err(unexpected(field));
                }
            }
        }
        Ok(others)
    }

    /// Ends a row group and writes its chunks to the file. Returns a summary for each column that is encoded
    /// here and outside lists, `None` for the others.
    ///
    /// # Errors
    /// When the file rejects them.
    pub fn finish<W: std::io::Write + Send>(
        &mut self,
        row_group: RowGroup,
        writer: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<Vec<Option<Summary>>> {
        let mut summaries = Vec::with_capacity(row_group.0.len());
        for column in row_group.0 {
            let (leaves, flat) = match column {
                Column::Other(writers) => {
                    for other in writers {
                        other.close()?.append_to_row_group(writer)?;
                    }
                    summaries.push(None);
                    continue;
                }
                Column::Flat(leaf) => (vec![*leaf], true),
                Column::Nested(node) => (node.into_leaves(), false),
                Column::Shared(maps) => (maps.into_leaves(), false),
            };
            let Some(compressor) = self.compressor.as_deref_mut() else {
                return Err(ParquetError::General("no codec of ours".to_owned()));
            };
            let mut last = None;
            for leaf in leaves {
                last = Some(leaf.finish(self.properties, compressor, writer)?);
            }
            summaries.push(last.filter(|_| flat));
        }
        Ok(summaries)
    }
}

impl RowGroup {
    /// Bytes so far; open pages count uncompressed.
    pub fn bytes(&self) -> usize {
        let mut bytes = 0;
        for column in &self.0 {
            match column {
                Column::Flat(leaf) => bytes += leaf.bytes(),
                Column::Nested(node) => bytes += node.bytes(),
                Column::Shared(maps) => bytes += maps.bytes(),
                Column::Other(writers) => {
                    bytes += writers
                        .iter()
                        .map(ArrowColumnWriter::get_estimated_total_bytes)
                        .sum::<usize>();
                }
            }
        }
        bytes
    }
}

/// The number of chunks of a type.
fn leaves(data_type: &DataType) -> usize {
    match data_type {
        DataType::List(field) | DataType::Map(field, _) => leaves(field.data_type()),
        DataType::Dictionary(_, shared) => leaves(shared),
        DataType::Struct(fields) => fields.iter().map(|field| leaves(field.data_type())).sum(),
        _ => 1,
    }
}

fn unexpected(field: &Field) -> ParquetError {
    ParquetError::General(format!("column {} is not of the file's type", field.name()))
}
