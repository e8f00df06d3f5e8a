//! Buffers that are reused between encodings.

use parquet::basic::Compression;
use parquet::errors::Result;

use super::chunk::Compressor;

/// Memory that encoding reuses across row groups, files and calls. Allocating fresh memory costs more than
/// writing the data into it; so does creating a compression context. No file depends on earlier uses: the
/// memory can serve any table, and remains usable after an error.
#[derive(Debug, Default)]
pub struct Memory {
    compressor: Box<Compressor>,
}

impl Memory {
    /// The compressor of a codec, with its page buffers. `None` when we do not implement the codec.
    ///
    /// # Errors
    /// When the codec cannot allocate memory.
    pub(super) fn compressor(&mut self, codec: Compression) -> Result<Option<&mut Compressor>> {
        let is_ours = self.compressor.use_codec(codec)?;
        Ok(is_ours.then_some(&mut self.compressor))
    }

    /// Releases memory that was not needed since the last call, so that the kept memory fits the load.
    pub fn trim(&mut self) {
        self.compressor.trim();
    }
}
