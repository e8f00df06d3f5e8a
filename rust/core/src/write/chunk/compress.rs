//! Pages' compression: one context for all columns of a file, since making one costs more than a small page.

use parquet::basic::Compression;
use parquet::errors::{ParquetError, Result};
use zstd::bulk;

use super::hex_ids;

/// Compresses pages by the codec of a file.
pub(in crate::write) struct Compressor(Option<bulk::Compressor<'static>>);

impl Compressor {
    /// `None` when the codec is not one of ours.
    ///
    /// # Errors
    /// When zstd has no memory.
    pub fn new(codec: Compression) -> Result<Option<Self>> {
        match codec {
            Compression::UNCOMPRESSED => Ok(Some(Self(None))),
            Compression::ZSTD(level) => {
                let zstd = bulk::Compressor::new(level.compression_level()).map_err(external)?;
                Ok(Some(Self(Some(zstd))))
            }
            _ => Ok(None),
        }
    }

    /// A page's bytes as they are stored. `unlike_at` is where its values begin, if few of them are alike.
    ///
    /// # Errors
    /// When zstd fails.
    pub fn page(&mut self, bytes: Vec<u8>, unlike_at: Option<usize>) -> Result<Vec<u8>> {
        match &mut self.0 {
            Some(zstd) => match unlike_at.and_then(|values_at| hex_ids::frame(&bytes, values_at)) {
                Some(frame) => Ok(frame),
                None => zstd.compress(&bytes).map_err(external),
            },
            None => Ok(bytes),
        }
    }
}

fn external(cause: std::io::Error) -> ParquetError {
    ParquetError::External(Box::new(cause))
}
