//! Parquet's hybrid of run-length encoding and bit packing, for levels and dictionary indices.
//!
//! Parquet's Encodings.md, "Run Length Encoding / Bit-Packing Hybrid (RLE = 3)".

use crate::varint::write_varint;

/// Values in a bit-packed group.
const GROUP: usize = 8;
/// The least number of equal values for which a run is shorter than bit packing.
pub(super) const RUN_MIN: usize = 8;
/// Repeated lists of at most this many bits are always bit-packed; in longer ones, runs may be shorter.
const PATTERN_BITS_MAX: usize = 128;

/// The number of bits needed for numbers up to `greatest`.
pub(super) fn bits(greatest: u32) -> u8 {
    // At most 32.
    (u32::BITS - greatest.leading_zeros()) as u8
}

/// Writes numbers, each less than 2 to the power of the width.
pub(super) struct Hybrid<'a> {
    width: u32,
    out: &'a mut Vec<u8>,
    /// Whole bytes of a bit-packed run, whose header precedes them.
    packed: Vec<u8>,
    /// The bits after those bytes: fewer than 32 between two calls.
    bits: u64,
    bits_len: u32,
    /// Numbers in the bit-packed run.
    count: usize,
    /// Factors that replicate a number the given number of times, as far as 32 bits allow.
    copies: [u64; GROUP],
}

impl<'a> Hybrid<'a> {
    /// Appends to `out`.
    pub fn new(width: u8, out: &'a mut Vec<u8>) -> Self {
        let width = u32::from(width);
        let mut copies = [0; GROUP];
        for count in 1..GROUP as u32 {
            if width * count <= 32 {
                copies[count as usize] = copies[count as usize - 1] | 1 << (width * (count - 1));
            }
        }
        Self {
            width,
            out,
            packed: Vec::new(),
            bits: 0,
            bits_len: 0,
            count: 0,
            copies,
        }
    }

    /// Writes a number `count` times.
    #[inline]
    pub fn put(&mut self, number: u32, count: usize) {
        let mut count = count;
        // A bit-packed run holds whole groups, so the current group is filled first.
        let filled = self.count % GROUP;
        if filled > 0 || count < RUN_MIN {
            let some = count.min(GROUP - filled);
            self.pack_copies(number, some);
            count -= some;
        }
        if count >= RUN_MIN {
            self.put_run(number, count);
        } else if count > 0 {
            self.pack_copies(number, count);
        }
    }

    /// Writes single numbers.
    pub fn put_each(&mut self, numbers: &[u32]) {
        let to_group = (GROUP - self.count % GROUP) % GROUP;
        let (first, mut rest) = numbers.split_at(to_group.min(numbers.len()));
        for number in first {
            self.pack(*number);
        }
        while let Some((group, later)) = rest.split_first_chunk::<GROUP>() {
            let [first, others @ ..] = group;
            if others.iter().any(|other| other != first) {
                self.pack_group(group);
                rest = later;
            } else {
                let count = rest.iter().take_while(|number| *number == first).count();
                self.put_run(*first, count);
                rest = rest.get(count..).unwrap_or_default();
                // A run may end anywhere; the next number begins a group.
            }
        }
        for number in rest {
            self.pack(*number);
        }
    }

    /// Writes a list `times` times: eight lists are whole bytes, which are then copied.
    pub fn put_list(&mut self, list: &[u32], times: usize) {
        if let [first, others @ ..] = list
            && others.iter().all(|other| other == first)
        {
            return self.put(*first, list.len() * times);
        }
        if list.len() * self.width as usize > PATTERN_BITS_MAX || times < 3 * GROUP {
            return (0..times).for_each(|_| self.put_each(list));
        }
        let pack_lists = |hybrid: &mut Self, lists: usize| {
            for _ in 0..lists {
                for number in list {
                    hybrid.pack(*number);
                }
            }
        };
        // The first byte may begin with earlier bits; the bytes of the second eight lists hold only lists.
        pack_lists(self, GROUP);
        self.flush();
        let start = self.packed.len();
        pack_lists(self, GROUP);
        self.flush();
        let end = self.packed.len();
        let copies = times / GROUP - 2;
        self.packed.reserve(copies * (end - start));
        for _ in 0..copies {
            self.packed.extend_from_within(start..end);
        }
        self.count += copies * GROUP * list.len();
        pack_lists(self, times % GROUP);
    }

    /// Ends the current run. The last group is padded with zeros, which readers ignore.
    pub fn finish(mut self) {
        let filled = self.count % GROUP;
        if filled > 0 {
            self.pack_copies(0, GROUP - filled);
        }
        self.end_packed();
    }

    #[inline]
    fn put_run(&mut self, number: u32, count: usize) {
        self.end_packed();
        write_varint((count as u64) << 1, self.out);
        let bytes = self.width.div_ceil(8) as usize;
        self.out
            .extend_from_slice(number.to_le_bytes().get(..bytes).unwrap_or_default());
    }

    #[inline]
    fn pack(&mut self, number: u32) {
        self.count += 1;
        self.pack_bits(number.into(), self.width);
    }

    /// Packs at most one group.
    #[inline]
    fn pack_copies(&mut self, number: u32, count: usize) {
        match self.copies.get(count) {
            Some(factor) if *factor > 0 => {
                self.count += count;
                self.pack_bits(u64::from(number) * factor, self.width * count as u32);
            }
            _ => (0..count).for_each(|_| self.pack(number)),
        }
    }

    /// Packs at most 32 bits.
    #[inline]
    fn pack_bits(&mut self, bits: u64, len: u32) {
        self.bits |= bits << self.bits_len;
        self.bits_len += len;
        if self.bits_len >= 32 {
            self.packed.extend_from_slice(&(self.bits as u32).to_le_bytes());
            self.bits >>= 32;
            self.bits_len -= 32;
        }
    }

    /// Packs eight numbers of `width` bits into `width` bytes; the group must be empty.
    #[inline]
    fn pack_group(&mut self, group: &[u32; GROUP]) {
        let of_four = |four: &[u32]| {
            (0..).zip(four).fold(0_u64, |bits, (place, number)| {
                bits | u64::from(*number) << (place * self.width)
            })
        };
        let (low, high) = group.split_at(GROUP / 2);
        let bits = match self.width {
            0..=16 => u128::from(of_four(low)) | u128::from(of_four(high)) << (4 * self.width),
            _ => return group.iter().for_each(|number| self.pack(*number)),
        };
        self.flush();
        // A copy of constant length compiles to a store, any other to a call.
        let end = self.packed.len() + self.width as usize;
        self.packed.extend_from_slice(&bits.to_le_bytes());
        self.packed.truncate(end);
        self.count += GROUP;
    }

    /// Flushes whole bytes.
    #[inline]
    fn flush(&mut self) {
        while self.bits_len >= 8 {
            self.packed.push(self.bits as u8);
            self.bits >>= 8;
            self.bits_len -= 8;
        }
    }

    fn end_packed(&mut self) {
        if self.count > 0 {
            self.flush();
            write_varint((self.count / GROUP) as u64 * 2 + 1, self.out);
            self.out.append(&mut self.packed);
            self.count = 0;
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Decodes by the format's grammar.
    pub fn decode(mut bytes: &[u8], width: u8, count: usize) -> Vec<u32> {
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
                let mut hybrid = Hybrid::new(width, &mut bytes);
                hybrid.put_each(&numbers);
                hybrid.finish();
                assert_eq!(decode(&bytes, width, numbers.len()), numbers, "width {width}");
            }
        }
    }

    #[test]
    fn lists_come_back_as_often_as_they_were_put_whatever_stands_around_them() {
        for width in 1..=32 {
            let greatest = u32::MAX >> (32 - width);
            for len in [1, 2, 3, 5, 8, 11, 70] {
                let list: Vec<u32> = (0..len)
                    .map(|at: u32| at.wrapping_mul(0x9E37_79B9) & greatest)
                    .collect();
                for (before, times) in [(0, 24), (3, 23), (5, 100), (9, 1), (15, 41), (8, 1000)] {
                    let mut bytes = Vec::new();
                    let mut hybrid = Hybrid::new(width, &mut bytes);
                    hybrid.put(1, before);
                    hybrid.put_list(&list, times);
                    hybrid.put(greatest, 5);
                    hybrid.put_each(&list);
                    hybrid.put_list(&list, times);
                    hybrid.put_each(&[0; 20]);
                    hybrid.finish();
                    let expected = [
                        vec![1; before],
                        list.repeat(times),
                        vec![greatest; 5],
                        list.repeat(times + 1),
                        vec![0; 20],
                    ]
                    .concat();
                    let found = decode(&bytes, width, expected.len());
                    assert!(
                        found == expected,
                        "width {width}, {times} lists of {len} after {before}"
                    );
                }
            }
        }
    }
}
