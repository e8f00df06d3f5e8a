//! Joins several small Parquet files of one table and one partition value into one file.
//!
//! Large row groups are copied byte for byte ([`copied`]). Small ones are [`decode`]d, sorted and encoded
//! again; as many are combined as fit one row group of the usual size. Memory holds one row group.
//!
//! Modules, in the order of the work:
//!
//! - [`source`] reads the files' footers.
//! - [`fitting`] selects the files that can be joined.
//! - [`plan`] maps row groups to those of the new file.
//! - [`row_group`] reads one at a time.
//! - [`work`] builds the new file.
//! - [`output`] writes its bytes to storage while it grows.
//! - [`entries`] merges the manifest entries.

mod copied;
mod decode;
mod entries;
mod fitting;
mod leaves;
mod output;
mod plan;
mod row_group;
mod source;
mod texts;
mod work;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use iceberg::io::FileIO;
use iceberg::spec::{DataFile, Struct, TableMetadata};
use parquet::errors::ParquetError;

pub use self::fitting::Columns;
use self::fitting::{Alike, Fitting, alike};
use self::output::Output;
use self::plan::Part;
use self::work::Work;
use super::files::describe;
use super::metrics_config::MetricsConfig;
use super::{discard, internal, paths};
use crate::config::ParquetConfig;
use crate::error::{Error, ErrorKind, Result, panic_text};
use crate::table_properties::ENCRYPTION_KEY;

/// The name prefix of joined files.
const NAME: &str = "joined";

/// What joining needs from its caller.
#[derive(Clone, Copy)]
pub struct JoinOptions<'a> {
    /// How Parquet files are made.
    pub parquet: &'a ParquetConfig,
    /// Called before each row group; an error ends the work with that error.
    pub proceed: &'a (dyn Fn() -> Result<()> + Send + Sync),
}

/// The result of joining.
#[derive(Debug, Clone, Default)]
pub struct Join {
    /// The new file; `None` if fewer than two of the sources can be joined.
    pub joined: Option<Joined>,
    /// Sources of ours whose columns differ from the newest one's, by position. They may be joined with
    /// others that have the same columns.
    pub other_columns: Vec<(usize, Columns)>,
    /// Sources that cannot be joined with any other: not ours, or with a sort order of their own.
    pub unfit: Vec<usize>,
}

impl Join {
    /// The result while nothing is joined: `sources` with those that are ours grouped by their columns.
    fn without_any(by_columns: &[Alike], sources: &[DataFile]) -> Self {
        let other_columns = by_columns
            .iter()
            .filter_map(|alike| alike.others.map(|columns| (columns, &alike.sources)))
            .flat_map(|(columns, sources)| sources.iter().map(move |source| (source.place, columns)));
        let is_ours = |place: &usize| {
            let mut ours = by_columns.iter().flat_map(|alike| &alike.sources);
            ours.any(|source| source.place == *place)
        };
        Self {
            joined: None,
            other_columns: other_columns.collect(),
            unfit: (0..sources.len()).filter(|place| !is_ours(place)).collect(),
        }
    }
}

/// A file that was created by joining.
#[derive(Debug, Clone)]
pub struct Joined {
    /// Its manifest entry.
    pub data_file: DataFile,
    /// The positions of the sources that it contains, in order.
    pub taken: Vec<usize>,
    /// Its columns, if they differ from those of the newest source.
    pub other_columns: Option<Columns>,
}

/// Joins those `sources` that fit together into one file, and writes it to storage. The sources must be live
/// entries of the table's default partition spec, with one partition value and the metrics that a manifest
/// keeps, oldest first.
///
/// Files can be joined if they are ours and have the same columns; of several such sets the largest is taken.
/// Nothing remains in storage after an error or when no file is made. Only if the future is dropped while it
/// closes the file may a complete file remain that no table refers to.
///
/// # Errors
/// `Storage` or `Decode` with the path of a source that cannot be read; `Storage` when the file cannot be
/// written; `TableMismatch` when the table's files must be encrypted; any error of `proceed`.
pub async fn join(
    metadata: &TableMetadata,
    file_io: &FileIO,
    sources: &[DataFile],
    options: &JoinOptions<'_>,
) -> Result<Join> {
    if metadata.properties().contains_key(ENCRYPTION_KEY) {
        return Err(Error::new(
            ErrorKind::TableMismatch,
            "the table is encrypted, and files are only written in plain",
        ));
    }
    let by_columns = alike(source::read_all(file_io, sources, options).await?);
    let mut join = Join::without_any(&by_columns, sources);
    let largest = by_columns.into_iter().next();
    let Some(largest) = largest.filter(|alike| alike.sources.len() > 1) else {
        return Ok(join);
    };
    let most = largest.sources;
    let tried: Vec<usize> = most.iter().map(|source| source.place).collect();
    let newest = most.last().map_or_else(String::new, |source| source.path.clone());
    let fitting = caught(
        || Fitting::of(most, metadata, options.parquet),
        |cause| broken(newest, cause),
    );
    let Some(fitting) = fitting? else {
        join.unfit.extend(tried);
        return Ok(join);
    };
    let taken: Vec<usize> = fitting.sources.iter().map(|source| source.place).collect();
    join.unfit
        .extend(tried.into_iter().filter(|place| !taken.contains(place)));
    let entries: Vec<&DataFile> = taken.iter().filter_map(|place| sources.get(*place)).collect();
    let Some(partition) = entries.first().map(|entry| entry.partition().clone()) else {
        return Ok(join);
    };
    let path = paths::new_file(metadata, &partition, NAME)?;
    let made = make(metadata, file_io, fitting, &entries, (&path, partition), options).await;
    if made.is_err() {
        // Some storages do not delete an unfinished file themselves.
        discard(file_io, &[path]).await;
    }
    join.joined = Some(Joined {
        data_file: made?,
        taken,
        other_columns: largest.others,
    });
    Ok(join)
}

async fn make(
    metadata: &TableMetadata,
    file_io: &FileIO,
    fitting: Fitting,
    entries: &[&DataFile],
    (path, partition): (&str, Struct),
    options: &JoinOptions<'_>,
) -> Result<DataFile> {
    let config = Arc::new(MetricsConfig::new(metadata));
    let Fitting {
        layout,
        sources,
        parts,
    } = fitting;
    let mut output = Output::create(file_io, path).await?;
    let mut work = Work::new(
        layout,
        Arc::clone(metadata.default_sort_order()),
        Arc::clone(&config),
    )?;
    // A file with a single run of sorted rows is sorted as a whole.
    let is_one_run = matches!(parts.as_slice(), [Part::Encode(_)]);
    for part in parts {
        (options.proceed)()?;
        let bytes;
        (work, bytes) = match part {
            Part::Copy(group) => {
                let piece = row_group::read(file_io, &sources, &group).await?;
                blocking(move || work.copy(&piece)).await?
            }
            Part::Encode(groups) => {
                let pieces = row_group::read_all(file_io, &sources, &groups).await?;
                blocking(move || work.encode(pieces)).await?
            }
        };
        output.write(bytes).await?;
    }
    let sort_order_id = work.sort_order_id().filter(|_| is_one_run);
    let mut encoded = blocking(move || work.finish()).await?;
    entries::merge(entries, &config, &mut encoded)?;
    let (rest, data_file) = describe(path.to_owned(), encoded, partition, metadata, sort_order_id)?;
    output.write(rest).await?;
    output.close().await?;
    Ok(data_file)
}

/// Runs computation off the async threads; a panic in it becomes an error.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|cause| internal("joining files did not finish", cause))?
}

/// Reads part of a source; a panic becomes an error with the source's path.
fn guarded<T>(path: &str, read: impl FnOnce() -> Result<T>) -> Result<T> {
    caught(read, |cause| unreadable(path, cause))
}

/// The parquet crate panics on some files with inconsistent pages or footers. The panic becomes an error
/// here.
fn caught<T>(read: impl FnOnce() -> Result<T>, broken: impl FnOnce(String) -> Error) -> Result<T> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|panic| Err(broken(panic_text(panic.as_ref()).to_owned())))
}

/// The error for sources of which one, it is not known which, cannot be read.
fn broken(newest: String, cause: String) -> Error {
    Error::new(ErrorKind::Decode, "one of some data files cannot be read")
        .with("the newest", newest)
        .because(cause)
}

/// The error for a source that contradicts its manifest or its footer.
fn unreadable(path: &str, cause: impl Into<Box<dyn std::error::Error + Send + Sync + 'static>>) -> Error {
    Error::new(ErrorKind::Decode, "a data file cannot be read")
        .with("path", path)
        .because(cause)
}

fn failed(cause: ParquetError) -> Error {
    internal("row groups cannot be joined", cause)
}
