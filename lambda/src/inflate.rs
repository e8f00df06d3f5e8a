//! Decompresses bytes, up to a size limit.

use std::fmt;
use std::io::{self, Read};

use flate2::read::{MultiGzDecoder, ZlibDecoder};

/// A compression format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// RFC 1952, one member or several.
    Gzip,
    /// RFC 1950, which HTTP calls `deflate`.
    Zlib,
    /// RFC 8878, one frame or several.
    Zstd,
}

/// Why decompression failed.
#[derive(Debug)]
pub enum Failure {
    /// The result would exceed the limit.
    TooLarge {
        /// The limit, bytes.
        bytes_max: usize,
    },
    /// The bytes are invalid or truncated.
    Malformed(Compression, io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::TooLarge { bytes_max } => write!(
                f,
                "more than {bytes_max} bytes when decompressed (limits.payload_bytes_max); send smaller batches"
            ),
            Failure::Malformed(compression, cause) => write!(f, "not well-formed {compression}: {cause}"),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Compression::Gzip => "gzip",
            Compression::Zlib => "deflate",
            Compression::Zstd => "zstd",
        })
    }
}

/// A zstd window of 8 MiB, which all levels except `--ultra` and `--long` stay within (RFC 8878, 3.1.1.1.2).
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Decompresses all of `bytes`.
///
/// # Errors
/// When the input is malformed, or the result is larger than `bytes_max`; no more than that is allocated.
pub fn inflate(compression: Compression, bytes: &[u8], bytes_max: usize) -> Result<Vec<u8>, Failure> {
    let malformed = |cause| Failure::Malformed(compression, cause);
    let room = room(compression, bytes, bytes_max);
    match compression {
        Compression::Gzip => read_all(MultiGzDecoder::new(bytes), room, bytes_max),
        Compression::Zlib => read_all(ZlibDecoder::new(bytes), room, bytes_max),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes).map_err(malformed)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(malformed)?;
            read_all(decoder, room, bytes_max)
        }
    }
    .map_err(malformed)?
    .ok_or(Failure::TooLarge { bytes_max })
}

/// `None` when the result exceeds the limit.
fn read_all(decoder: impl Read, room: usize, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
    let mut plain = Vec::with_capacity(room);
    decoder.take(bytes_max as u64 + 1).read_to_end(&mut plain)?;
    Ok((plain.len() <= bytes_max).then_some(plain))
}

/// Reserves the greatest possible size. Growing step by step would hold the content twice; memory that is not
/// written costs nothing.
fn room(compression: Compression, bytes: &[u8], bytes_max: usize) -> usize {
    /// The greatest expansion of deflate.
    const DEFLATE_RATIO_MAX: usize = 1032;
    let possible = match compression {
        Compression::Gzip | Compression::Zlib => bytes.len().saturating_mul(DEFLATE_RATIO_MAX),
        Compression::Zstd => match zstd::zstd_safe::get_frame_content_size(bytes) {
            Ok(Some(said)) => usize::try_from(said).unwrap_or(usize::MAX),
            _ => usize::MAX,
        },
    };
    // One extra byte detects an oversized result, another one the end of the stream.
    possible.min(bytes_max).saturating_add(2)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::io::Write;

    use flate2::write::{GzEncoder, ZlibEncoder};

    use super::*;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(plain: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(plain: &[u8]) -> Vec<u8> {
        zstd::encode_all(plain, 3).unwrap()
    }

    #[test]
    fn what_was_compressed_comes_out_also_in_pieces() {
        let (one, two) = (b"one ".repeat(1000), b"two".to_vec());
        let both = [one.clone(), two.clone()].concat();
        for (compression, bytes, plain) in [
            (Compression::Gzip, gzip(&one), &one),
            (Compression::Gzip, [gzip(&one), gzip(&two)].concat(), &both),
            (Compression::Zlib, zlib(&one), &one),
            (Compression::Zstd, zstd(&one), &one),
            (Compression::Zstd, [zstd(&one), zstd(&two)].concat(), &both),
            (Compression::Gzip, gzip(b""), &Vec::new()),
        ] {
            assert_eq!(
                &inflate(compression, &bytes, both.len()).unwrap(),
                plain,
                "{compression}"
            );
        }
    }

    #[test]
    fn a_bomb_makes_no_more_than_allowed() {
        let plain = vec![0; 8 << 20];
        for (compression, bomb) in [
            (Compression::Gzip, gzip(&plain)),
            (Compression::Zlib, zlib(&plain)),
            (Compression::Zstd, zstd(&plain)),
        ] {
            assert!(bomb.len() < 1 << 20);
            let failure = inflate(compression, &bomb, 1 << 20).unwrap_err();
            assert!(
                matches!(failure, Failure::TooLarge { bytes_max: 1_048_576 }),
                "{failure}"
            );
            assert!(room(compression, &bomb, 1 << 20) < (1 << 20) + 3);
        }
    }

    #[test]
    fn a_window_that_would_take_much_memory_is_refused() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
        encoder.window_log(27).unwrap();
        encoder.long_distance_matching(true).unwrap();
        encoder.write_all(&vec![7; 1 << 20]).unwrap();
        let bytes = encoder.finish().unwrap();
        let failure = inflate(Compression::Zstd, &bytes, 1 << 30).unwrap_err();
        assert!(
            matches!(failure, Failure::Malformed(Compression::Zstd, _)),
            "{failure}"
        );
    }

    #[test]
    fn what_is_cut_or_something_else_is_malformed() {
        for (compression, bytes) in [
            (Compression::Gzip, gzip(&[7; 1000])),
            (Compression::Zlib, zlib(&[7; 1000])),
            (Compression::Zstd, zstd(&[7; 1000])),
        ] {
            for broken in [&bytes[..bytes.len() - 1], b"plain text", b""] {
                let failure = inflate(compression, broken, 1 << 20).unwrap_err();
                assert!(
                    matches!(failure, Failure::Malformed(..)),
                    "{compression} {broken:?}: {failure}"
                );
            }
        }
    }
}
