//! Memory that outlives what is encoded in it.

use parquet::basic::Compression;
use parquet::errors::Result;

use super::chunk::Compressor;

/// Memory that encoding uses again, from row group to row group, from file to file, and from call to call. Fresh memory costs
/// more than what is written into it, and so does a compression context. No file depends on what it was used for: any table's
/// files may be made in it, and it may be used on after an error.
#[derive(Debug, Default)]
pub struct Memory {
    compressor: Box<Compressor>,
}

impl Memory {
    /// The compressor of a codec, with the memory of pages. `None` when the codec is not one of ours.
    ///
    /// # Errors
    /// When the codec has no memory.
    pub(super) fn compressor(&mut self, codec: Compression) -> Result<Option<&mut Compressor>> {
        let is_ours = self.compressor.use_codec(codec)?;
        Ok(is_ours.then_some(&mut self.compressor))
    }

    /// Gives back what was not needed since the last time, so that what is kept fits the load.
    pub fn trim(&mut self) {
        self.compressor.trim();
    }
}
