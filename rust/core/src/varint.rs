//! Integers of variable length (unsigned LEB128), as protobuf, Thrift's compact protocol and Parquet's hybrid
//! encoding share it.

/// Appends a number: seven bits a byte, the lowest first; each byte but the last has its highest bit set.
#[inline]
pub(crate) fn write_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_takes_as_many_bytes_as_it_needs() {
        let greatest = [vec![0xff; 9], vec![0x01]].concat();
        for (number, expected) in [
            (0, vec![0x00]),
            (1, vec![0x01]),
            (127, vec![0x7f]),
            (128, vec![0x80, 0x01]),
            (300, vec![0xac, 0x02]),
            (16_383, vec![0xff, 0x7f]),
            (16_384, vec![0x80, 0x80, 0x01]),
            (u64::MAX, greatest),
        ] {
            let mut out = vec![7];
            write_varint(number, &mut out);
            assert_eq!(out, [vec![7], expected].concat(), "{number}");
        }
    }
}
