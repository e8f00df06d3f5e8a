//! Reads a Parquet file's footer from the last bytes of the file.
//!
//! Source: <https://parquet.apache.org/docs/file-format/>

use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader};

use super::thrift;
use crate::error::{Error, ErrorKind, Result};

/// The footer's length and the magic number after it.
const TAIL_BYTES: usize = 8;
/// The last bytes of a file, and the last bytes of a file whose footer is encrypted.
const MAGIC: &[u8] = b"PAR1";
const MAGIC_ENCRYPTED: &[u8] = b"PARE";

/// Bytes of a file that are read first: most files have shorter footers.
pub const FOOTER_GUESS_BYTES: u64 = 64 << 10;
/// The greatest accepted footer of a file from other writers. Ours have some 4 KB per row group.
pub const FOOTER_BYTES_MAX: u64 = 8 << 20;

/// The metadata of a Parquet file.
#[derive(Debug, Clone)]
pub struct Footer {
    pub(in crate::write) metadata: ParquetMetaData,
    pub(crate) file_bytes: u64,
}

/// The result of reading a file's last bytes.
#[derive(Debug)]
pub enum Tail {
    /// The bytes contained the whole footer.
    Whole(Box<Footer>),
    /// This many of the file's last bytes are needed.
    Needs(u64),
}

impl Footer {
    /// Reads the footer from the last bytes of a file of `file_bytes` bytes.
    ///
    /// # Errors
    /// `Decode` when the file is not a complete Parquet file, or its footer cannot be read.
    pub fn read(tail: &[u8], file_bytes: u64) -> Result<Tail> {
        Self::read_with(tail, file_bytes, FOOTER_BYTES_MAX, None)
    }

    /// The same for a footer of at most `bytes_max`; the options say which parts of it are kept.
    pub(in crate::write) fn read_with(
        tail: &[u8],
        file_bytes: u64,
        bytes_max: u64,
        options: Option<&ParquetMetaDataOptions>,
    ) -> Result<Tail> {
        let Some((before, end)) = tail.split_last_chunk::<TAIL_BYTES>() else {
            return Err(refused("it is no Parquet file: it is too short"));
        };
        let (length, magic) = end.split_at(4);
        if magic == MAGIC_ENCRYPTED {
            return Err(refused("its footer is encrypted"));
        }
        if magic != MAGIC {
            return Err(refused("it is no whole Parquet file: it does not end with PAR1"));
        }
        let length = length
            .iter()
            .rev()
            .fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte));
        let needed = length + TAIL_BYTES as u64;
        // The file also begins with a magic number.
        if needed + MAGIC.len() as u64 > file_bytes {
            return Err(refused(
                "it is no whole Parquet file: its footer would be larger than the file",
            ));
        }
        if length > bytes_max {
            return Err(refused(format!(
                "its footer has {length} bytes, and {bytes_max} are read at most"
            )));
        }
        let Some(begin) = usize::try_from(length)
            .ok()
            .and_then(|length| before.len().checked_sub(length))
        else {
            return Ok(Tail::Needs(needed));
        };
        let footer = before.get(begin..).unwrap_or_default();
        thrift::check(footer)
            .map_err(|problem| refused(format!("its Parquet footer cannot be read: {problem}")))?;
        let metadata = ParquetMetaDataReader::decode_metadata_with_options(footer, options)
            .map_err(|cause| refused("its Parquet footer cannot be read").because(cause))?;
        Ok(Tail::Whole(Box::new(Self { metadata, file_bytes })))
    }

    /// Its approximate memory size.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.metadata.memory_size()
    }

    /// The number of rows of the file, as the footer declares it.
    pub(crate) fn rows(&self) -> u64 {
        u64::try_from(self.metadata.file_metadata().num_rows()).unwrap_or(0)
    }

    /// The names of the file's columns.
    pub(super) fn column_names(&self) -> impl Iterator<Item = &str> {
        let root = self.metadata.file_metadata().schema_descr().root_schema();
        root.get_fields().iter().map(|column| column.name())
    }
}

fn refused(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Decode, why)
}
