//! Writes Zstandard frames of plain pages of ids directly, without a match search.
//!
//! A plain page of trace or span ids has, for each id, a constant length and 32 or 16 random hexadecimal
//! digits. zstd's level 1 compresses these to 17.7 and 8.7 bytes in 80 and 45 ns, most of which it spends
//! searching. The best result is known in advance: four bits for each digit, and almost nothing for the
//! length. The frame encodes exactly that (RFC 8878). The digits are literals under a Huffman code of 16
//! symbols of 4 bits each, so their stream is the ids in binary. Each length is a match of 4 bytes at the
//! last offset. Its codes are the same in every sequence and so take no bits.
//!
//! ```text
//! levels, length │ id, length │ id, length │ ... │ id, length, id
//! raw block      │ sequence that sets the offset │ compressed blocks │ raw block
//! ```

/// With fewer ids, a frame of our own saves nothing.
const IDS_MIN: usize = 64;
/// Bytes of a length in a plain page.
const LENGTH: usize = 4;
/// RFC 8878, 3.1.1.2.4: the greatest uncompressed size of a block.
const BLOCK_BYTES_MAX: usize = 128 << 10;
const MAGIC: u32 = 0xFD2F_B528;
/// 3.1.1.1.1: a content size of 4 bytes, a single segment, no checksum, no dictionary.
const DESCRIPTOR: u8 = 0xA0;
/// 3.1.1.3.2.1.1: the code of a match of 4 bytes.
const MATCH_CODE: u8 = 1;
/// 3.1.1.3.2.1: literal lengths, offsets and match lengths have one code each for all sequences (RLE mode).
const MODES: u8 = 0b0101_0100;

/// 3.1.1.2.2.
#[derive(Clone, Copy)]
enum BlockType {
    Raw = 0,
    Compressed = 2,
}

/// Constants that depend on the width of ids.
#[derive(Clone, Copy)]
struct Width {
    /// Digits.
    digits: usize,
    /// The code of that many literals, and the number of its extra bits, which are all 0.
    literals_code: u8,
    literals_bits: u32,
    /// The code of the offset, which is one id and one length, and its extra bits.
    offset_code: u8,
    offset_extra: u16,
}

/// Trace ids, span ids.
const WIDTHS: [Width; 2] = [
    Width {
        digits: 32,
        literals_code: 22,
        literals_bits: 3,
        offset_code: 5,
        offset_extra: 36 + 3 - 32,
    },
    Width {
        digits: 16,
        literals_code: 16,
        literals_bits: 1,
        offset_code: 4,
        offset_extra: 20 + 3 - 16,
    },
];

/// Appends a page as a frame; its plain values begin at `values_at`. `false` when the values are not ids of
/// one width, when they are too few, or when the levels do not fit one block; the bytes appended until then
/// are invalid.
pub(super) fn frame(page: &[u8], values_at: usize, out: &mut Vec<u8>) -> bool {
    write_frame(page, values_at, out).is_some()
}

fn write_frame(page: &[u8], values_at: usize, out: &mut Vec<u8>) -> Option<()> {
    let values = page.get(values_at..)?;
    let (length, _) = values.split_first_chunk::<LENGTH>()?;
    let width = WIDTHS
        .into_iter()
        .find(|width| u32::from_le_bytes(*length) as usize == width.digits)?;
    let size = LENGTH + width.digits;
    let count = values.len() / size;
    if !values.len().is_multiple_of(size) || count < IDS_MIN {
        return None;
    }
    // Levels that fill a block come from lists of which few have ids. They are better compressed than stored.
    if values_at + LENGTH > BLOCK_BYTES_MAX {
        return None;
    }

    out.reserve(page.len() / 2 + 256);
    out.extend_from_slice(&MAGIC.to_le_bytes());
    out.push(DESCRIPTOR);
    out.extend_from_slice(&u32::try_from(page.len()).ok()?.to_le_bytes());
    block(out, BlockType::Raw, false, page.get(..values_at + LENGTH)?);
    let (first, rest) = values.get(LENGTH..)?.split_at_checked(size)?;
    let (id, next) = first.split_at_checked(width.digits)?;
    if next != length {
        return None;
    }
    block(out, BlockType::Compressed, false, &setting_the_offset(id, width));

    // Four streams of equally many ids; at least one id remains, since no length follows the last.
    let (compressed, left) = rest.split_at_checked((count - 2) / 4 * 4 * size)?;
    let in_block = BLOCK_BYTES_MAX / size / 4 * 4;
    let mut with_tree = true;
    for ids in compressed.chunks(in_block * size) {
        ids_block(ids, *length, width, with_tree, out)?;
        with_tree = false;
    }
    block(out, BlockType::Raw, true, left);
    Some(())
}

/// 3.1.1.2.
fn block(out: &mut Vec<u8>, block_type: BlockType, is_last: bool, content: &[u8]) {
    out.extend_from_slice(&header(block_type, is_last, content.len()));
    out.extend_from_slice(content);
}

fn header(block_type: BlockType, is_last: bool, size: usize) -> [u8; 3] {
    let [first, second, third, _] =
        ((size as u32) << 3 | (block_type as u32) << 1 | u32::from(is_last)).to_le_bytes();
    [first, second, third]
}

/// A block with one id as raw literals and a sequence that matches the length at its offset. Later sequences
/// repeat the offset.
fn setting_the_offset(id: &[u8], width: Width) -> Vec<u8> {
    // 3.1.1.3.1.1: raw literals, a size of 12 bits.
    let header = (id.len() as u16) << 4 | 0b0100;
    let mut out = header.to_le_bytes().to_vec();
    out.extend_from_slice(id);
    out.extend_from_slice(&[1, MODES, width.literals_code, width.offset_code, MATCH_CODE]);
    // The bitstream is read from its end: a 1, the offset's extra bits, those of the literals.
    let bits = u32::from(width.offset_code) + width.literals_bits;
    let stream = 1_u32 << bits | u32::from(width.offset_extra) << width.literals_bits;
    out.extend_from_slice(
        stream
            .to_le_bytes()
            .get(..(bits / 8 + 1) as usize)
            .unwrap_or_default(),
    );
    out
}

/// Appends a block of ids, each with the length of the next. `None` when it contains anything else.
fn ids_block(
    ids: &[u8],
    length: [u8; LENGTH],
    width: Width,
    with_tree: bool,
    out: &mut Vec<u8>,
) -> Option<()> {
    let size = width.digits + LENGTH;
    let count = ids.len() / size;
    let stream_bytes = count / 4 * width.digits / 2 + 1;
    let tree_bytes = if with_tree { TREE.len() } else { 0 };
    let literals_bytes = tree_bytes + 6 + 4 * stream_bytes;

    let block_at = out.len();
    out.extend_from_slice(&[0; 3]);
    // 3.1.1.3.1.1: Huffman-coded with a new tree or the previous block's, four streams, sizes of 18 bits.
    let literals_type = if with_tree { 2 } else { 3 };
    let literals =
        literals_type | 0b1100 | ((count * width.digits) as u64) << 4 | (literals_bytes as u64) << 22;
    out.extend_from_slice(literals.to_le_bytes().get(..5)?);
    if with_tree {
        out.extend_from_slice(&TREE);
    }
    let stream_len = u16::try_from(stream_bytes).ok()?.to_le_bytes();
    (0..3).for_each(|_| out.extend_from_slice(&stream_len));
    for stream in ids.chunks(count / 4 * size) {
        // Streams are read from their end; a 1 bit marks their start.
        for entry in stream.chunks_exact(size).rev() {
            let (id, next) = entry.split_at_checked(width.digits)?;
            if next != length {
                return None;
            }
            for digits in id.rchunks_exact(8) {
                out.extend_from_slice(&binary(digits.try_into().ok()?)?.to_le_bytes());
            }
        }
        out.push(1);
    }

    // 3.1.1.3.2: at most 6,552 sequences. The last offset is code 0, without extra bits.
    match u8::try_from(count) {
        Ok(few @ 0..=127) => out.push(few),
        _ => out.extend_from_slice(&[(count >> 8) as u8 | 0x80, count as u8]),
    }
    out.extend_from_slice(&[MODES, width.literals_code, 0, MATCH_CODE]);
    let bits = count * width.literals_bits as usize;
    out.resize(out.len() + bits / 8, 0);
    out.push(1 << (bits % 8));
    let size = out.len() - block_at - 3;
    out.get_mut(block_at..block_at + 3)?
        .copy_from_slice(&header(BlockType::Compressed, false, size));
    Some(())
}

/// Eight digits as a number; `None` when one is not lower-case hexadecimal.
#[inline]
fn binary(digits: [u8; 8]) -> Option<u32> {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // The first digit is in the highest byte. Letters have bit 6 set and count from 1.
    let digits = u64::from_be_bytes(digits);
    let letters = digits >> 6 & EACH;
    let nibbles = (digits & (EACH * 0x0F)).wrapping_add(letters.wrapping_mul(9)) & (EACH * 0x0F);
    let above_nine = nibbles.wrapping_add(EACH * 6) >> 4 & EACH;
    let again = nibbles + EACH * u64::from(b'0') + above_nine * u64::from(b'a' - b'0' - 10);
    if again != digits {
        return None;
    }
    let pairs = (nibbles | nibbles >> 4) & 0x00FF_00FF_00FF_00FF;
    let fours = (pairs | pairs >> 8) & 0x0000_FFFF_0000_FFFF;
    Some((fours | fours >> 16) as u32)
}

/// 4.2.1: the weights of the bytes up to `e`, two per byte; that of `f` follows from them. Each digit has
/// weight 1. This gives 16 codes of 4 bits in the order of the digits, so a digit's code is its value.
const TREE: [u8; 52] = tree();

const fn tree() -> [u8; 52] {
    let mut tree = [0; 52];
    let weights = b'f' as usize;
    tree[0] = 127 + weights as u8;
    let mut byte = 0;
    while byte < weights {
        if (byte as u8).is_ascii_digit() || (byte >= b'a' as usize) {
            tree[1 + byte / 2] |= if byte.is_multiple_of(2) { 0x10 } else { 1 };
        }
        byte += 1;
    }
    tree
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    fn frame(page: &[u8], values_at: usize) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        super::frame(page, values_at, &mut out).then_some(out)
    }

    fn page(levels: &[u8], ids: &[String]) -> Vec<u8> {
        let mut page = levels.to_vec();
        for id in ids {
            page.extend_from_slice(&(id.len() as u32).to_le_bytes());
            page.extend_from_slice(id.as_bytes());
        }
        page
    }

    fn ids(width: usize, count: usize, seed: u64) -> Vec<String> {
        let mut state = seed | 1;
        let mut digits = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            format!("{state:016x}")
        };
        (0..count)
            .map(|_| (0..width / 16).map(|_| digits()).collect())
            .collect()
    }

    /// Decodes in one call, as DuckDB does, and as a stream, as Java's readers do: only streaming enforces
    /// the block size limit.
    fn unpacked(frame: &[u8], len: usize) -> Vec<u8> {
        let at_once = zstd::bulk::decompress(frame, len).unwrap();
        let streamed = zstd::stream::decode_all(frame).unwrap();
        assert!(streamed == at_once);
        at_once
    }

    #[test]
    fn zstd_reads_frames_of_every_size() {
        let counts = (64..200).chain([3_640, 3_641, 3_642, 3_645, 3_646, 6_555, 8_192, 30_000]);
        for count in counts {
            for width in [16, 32] {
                for levels in [0, 6, 300] {
                    let page = page(&vec![7; levels], &ids(width, count, count as u64));
                    let frame = frame(&page, levels).unwrap();
                    assert!(
                        unpacked(&frame, page.len()) == page,
                        "{count} ids of {width} after {levels}"
                    );
                }
            }
        }
    }

    #[test]
    fn levels_that_fill_a_block_are_left_to_zstd() {
        let most = super::BLOCK_BYTES_MAX - super::LENGTH;
        for (levels, fits) in [
            (most - 1, true),
            (most, true),
            (most + 1, false),
            (300_000, false),
        ] {
            for width in [16, 32] {
                let page = page(&vec![7; levels], &ids(width, 100, 3));
                let frame = frame(&page, levels);
                assert_eq!(frame.is_some(), fits, "{levels} bytes of levels");
                if let Some(frame) = frame {
                    assert!(unpacked(&frame, page.len()) == page, "{levels} bytes of levels");
                }
            }
        }
    }

    #[test]
    fn an_id_takes_four_bits_a_digit_and_three_or_one() {
        for (width, bits) in [(32, 131), (16, 65)] {
            let page = page(&[], &ids(width, 8_192, 1));
            let frame = frame(&page, 0).unwrap();
            assert!(frame.len() * 8 < 8_192 * bits + 8 * 512, "{} bytes", frame.len());
            assert!(frame.len() < zstd::bulk::compress(&page, 1).unwrap().len());
        }
    }

    #[test]
    fn what_is_not_ids_is_left_to_zstd() {
        let good = page(&[], &ids(32, 100, 5));
        assert!(frame(&good, 0).is_some());
        for at in [3, 4, 20, 36, 41, 36 * 50 + 2, 36 * 50 + 30] {
            for wrong in [0, b'/', b':', b'@', b'A', b'F', b'`', b'g', 0xFF, 0xB0] {
                let mut bad = good.clone();
                bad[at] = wrong;
                if bad == good {
                    continue;
                }
                if let Some(frame) = frame(&bad, 0) {
                    assert!(unpacked(&frame, bad.len()) == bad, "{wrong} at {at}");
                    // The first and the last ids are stored raw.
                    assert!(at < 40);
                }
            }
        }
        assert_eq!(frame(&good[..good.len() - 1], 0), None);
        assert_eq!(frame(&page(&[], &ids(32, 63, 5)), 0), None);
        assert_eq!(frame(&page(&[], &ids(48, 100, 5)), 0), None);
        assert_eq!(frame(&[], 0), None);
        assert_eq!(frame(&good, 1_000_000), None);
    }

    proptest! {
        #[test]
        fn a_frame_is_never_anything_but_the_page(
            width in 0_usize..3, count in 60_usize..300, levels in prop::collection::vec(any::<u8>(), 0..20),
            seed in any::<u64>(), flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        ) {
            let mut page = page(&levels, &ids(width * 16, count, seed));
            for (at, byte) in flips {
                let at = at.index(page.len().max(1));
                if let Some(place) = page.get_mut(at) {
                    *place = byte;
                }
            }
            if let Some(frame) = frame(&page, levels.len()) {
                prop_assert!(unpacked(&frame, page.len()) == page);
            }
        }
    }
}
