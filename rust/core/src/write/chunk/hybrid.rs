//! Parquet's hybrid of run lengths and bit packing, for levels and dictionary indices.
//!
//! Parquet's Encodings.md, "Run Length Encoding / Bit-Packing Hybrid (RLE = 3)".

/// Values in a bit-packed group.
const GROUP: usize = 8;
/// Equal values from which on a run is shorter than their bits.
const RUN_MIN: usize = 8;

/// How many bits it takes to write numbers up to `greatest`.
fn bits(greatest: u32) -> u8 {
    // At most 32.
    (u32::BITS - greatest.leading_zeros()) as u8
}

/// Appends numbers that come one by one, each less than 2 to the power of `width`.
fn encode_each(numbers: &[u32], width: u8, out: &mut Vec<u8>) {
    let mut encoder = Hybrid::new(width, out);
    let mut rest = numbers;
    while let Some((group, later)) = rest.split_first_chunk::<GROUP>() {
        let [first, others @ ..] = group;
        if others.iter().any(|other| other != first) {
            encoder.pack(group);
            rest = later;
        } else {
            let count = rest.iter().take_while(|number| *number == first).count();
            encoder.put(*first, count);
            rest = rest.get(count..).unwrap_or_default();
        }
    }
    for number in rest {
        encoder.put(*number, 1);
    }
    encoder.finish();
}

/// The values of a data page that uses a dictionary of so many values: the indices' width, then the indices.
pub(super) fn index_page(indices: &[u32], values: usize) -> Vec<u8> {
    let width = bits((values as u32).saturating_sub(1));
    let mut bytes = vec![width];
    encode_each(indices, width, &mut bytes);
    bytes
}

/// Levels of a page, as runs of equal ones.
#[derive(Debug, Default)]
pub(super) struct Levels {
    runs: Vec<(u8, u32)>,
    len: usize,
}

impl Levels {
    /// Appends a level `count` times.
    #[inline]
    pub fn push(&mut self, level: u8, count: usize) {
        self.len += count;
        // A page has far less than 2^32 levels.
        let count = count as u32;
        match self.runs.last_mut() {
            Some((last, run)) if *last == level => *run += count,
            _ if count > 0 => self.runs.push((level, count)),
            _ => {}
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Writes them as a data page (version 1) has them, after their length, and is empty then.
    pub fn take_encoded(&mut self, level_max: u8, out: &mut Vec<u8>) {
        let at = out.len();
        out.extend_from_slice(&[0; 4]);
        let mut encoder = Hybrid::new(bits(level_max.into()), out);
        for (level, count) in self.runs.drain(..) {
            encoder.put(level.into(), count as usize);
        }
        encoder.finish();
        let length = (out.len() - at - 4) as u32;
        if let Some(place) = out.get_mut(at..at + 4) {
            place.copy_from_slice(&length.to_le_bytes());
        }
        self.len = 0;
    }
}

struct Hybrid<'a> {
    width: u8,
    out: &'a mut Vec<u8>,
    /// Groups of a bit-packed run, whose header comes before them.
    packed: Vec<u8>,
    groups: usize,
    /// Numbers of a group that is not full yet.
    group: [u32; GROUP],
    filled: usize,
}

impl<'a> Hybrid<'a> {
    fn new(width: u8, out: &'a mut Vec<u8>) -> Self {
        Self {
            width,
            out,
            packed: Vec::new(),
            groups: 0,
            group: [0; GROUP],
            filled: 0,
        }
    }

    fn put(&mut self, number: u32, count: usize) {
        let mut count = count;
        // A bit-packed run holds whole groups, so the one begun is filled first.
        while count > 0 && (self.filled > 0 || count < RUN_MIN) {
            let end = GROUP.min(self.filled + count);
            count -= end - self.filled;
            if let Some(places) = self.group.get_mut(self.filled..end) {
                places.fill(number);
            }
            self.filled = end;
            if end == GROUP {
                let group = self.group;
                self.pack(&group);
                self.filled = 0;
            }
        }
        if count > 0 {
            self.end_packed();
            write_varint((count as u64) << 1, self.out);
            let bytes = usize::from(self.width.div_ceil(8));
            self.out
                .extend_from_slice(number.to_le_bytes().get(..bytes).unwrap_or_default());
        }
    }

    /// Eight numbers of `width` bits are `width` bytes.
    fn pack(&mut self, group: &[u32; GROUP]) {
        let width = u32::from(self.width);
        if width <= 8 {
            let bits = (0..).zip(group).fold(0, |bits, (place, number)| {
                bits | u64::from(*number) << (place * width)
            });
            let bytes = bits.to_le_bytes();
            self.packed
                .extend_from_slice(bytes.get(..usize::from(self.width)).unwrap_or_default());
        } else {
            let mut bits: u64 = 0;
            let mut held: u32 = 0;
            for number in group {
                bits |= u64::from(*number) << held;
                held += width;
                while held >= 8 {
                    self.packed.push(bits as u8);
                    bits >>= 8;
                    held -= 8;
                }
            }
        }
        self.groups += 1;
    }

    fn end_packed(&mut self) {
        if self.groups > 0 {
            write_varint((self.groups as u64) << 1 | 1, self.out);
            self.out.append(&mut self.packed);
            self.groups = 0;
        }
    }

    /// What is missing in the last group is filled with zeros, which readers pass over.
    fn finish(mut self) {
        if self.filled > 0 {
            let mut group = self.group;
            for place in group.iter_mut().skip(self.filled) {
                *place = 0;
            }
            self.pack(&group);
        }
        self.end_packed();
    }
}

fn write_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads back by the format's grammar.
    fn decode(mut bytes: &[u8], width: u8, count: usize) -> Vec<u32> {
        let mut numbers = Vec::new();
        let varint = |bytes: &mut &[u8]| {
            let mut value = 0_u64;
            for shift in (0..).step_by(7) {
                let byte = bytes[0];
                *bytes = &bytes[1..];
                value |= u64::from(byte & 0x7f) << shift;
                if byte < 0x80 {
                    return value;
                }
            }
            value
        };
        while numbers.len() < count {
            let header = varint(&mut bytes);
            if header & 1 == 1 {
                let groups = (header >> 1) as usize;
                for index in 0..groups * 8 {
                    let number = (0..usize::from(width)).fold(0, |number, bit| {
                        let at = index * usize::from(width) + bit;
                        number | u32::from(bytes[at / 8] >> (at % 8) & 1) << bit
                    });
                    numbers.push(number);
                }
                bytes = &bytes[groups * usize::from(width)..];
            } else {
                let size = usize::from(width.div_ceil(8));
                let mut number = [0; 4];
                number[..size].copy_from_slice(&bytes[..size]);
                bytes = &bytes[size..];
                numbers.extend(std::iter::repeat_n(
                    u32::from_le_bytes(number),
                    (header >> 1) as usize,
                ));
            }
        }
        assert!(bytes.is_empty());
        numbers.truncate(count);
        numbers
    }

    #[test]
    fn numbers_of_every_width_come_back() {
        for width in 0..=32 {
            let greatest = (1_u64 << width) - 1;
            for count in [0, 1, 7, 8, 9, 31, 100] {
                let numbers: Vec<u32> = (0..count)
                    .map(|i: u64| {
                        (if i % 40 < 17 {
                            greatest
                        } else {
                            (i * 0x9E37_79B9) & greatest
                        }) as u32
                    })
                    .collect();
                let mut bytes = Vec::new();
                encode_each(&numbers, width, &mut bytes);
                assert_eq!(decode(&bytes, width, numbers.len()), numbers, "width {width}");
            }
        }
    }

    #[test]
    fn levels_in_runs_come_back_after_their_length() {
        let runs = [(1, 3), (1, 90), (0, 1), (2, 4), (0, 8), (1, 1), (2, 7), (2, 200)];
        let mut levels = Levels::default();
        let mut expected = Vec::new();
        for (level, count) in runs {
            levels.push(level, count);
            expected.extend(std::iter::repeat_n(u32::from(level), count));
        }
        assert_eq!(levels.len(), expected.len());
        let mut bytes = Vec::new();
        levels.take_encoded(2, &mut bytes);
        let length = u32::from_le_bytes(bytes[..4].try_into().unwrap());
        assert_eq!(length as usize, bytes.len() - 4);
        assert_eq!(decode(&bytes[4..], 2, expected.len()), expected);
        assert_eq!(levels.len(), 0);
    }
}
