//! Manifests without their columns.
//!
//! iceberg-rust parses the bounds of each column that the schema in a manifest's header has. It refuses the
//! whole manifest for a single bound that it does not understand: for one, a string that was cut within a
//! character. With a header without columns, it passes over bounds and partitions, and reads the rest.
//!
//! Avro specification: "Object Container Files", "Binary Encoding".

const MAGIC: &[u8] = b"Obj\x01";
/// The header's values that are replaced.
const WITHOUT_COLUMNS: [(&[u8], &[u8]); 2] = [
    (b"schema", br#"{"type":"struct","schema-id":0,"fields":[]}"#),
    (b"partition-spec", b"[]"),
];

/// The same manifest with another header: its schema and its partition spec have no fields. `None` if it is no
/// Avro file.
pub(super) fn without_columns(avro: &[u8]) -> Option<Vec<u8>> {
    let mut rest = avro.strip_prefix(MAGIC)?;
    let mut values: Vec<(&[u8], &[u8])> = Vec::new();
    loop {
        let count = take_long(&mut rest)?;
        if count == 0 {
            break;
        }
        // After a negative number of values, their size in bytes follows.
        if count < 0 {
            take_long(&mut rest)?;
        }
        for _ in 0..count.unsigned_abs() {
            let key = take_bytes(&mut rest)?;
            values.push((key, take_bytes(&mut rest)?));
        }
    }
    values.retain(|(key, _)| WITHOUT_COLUMNS.iter().all(|(replaced, _)| replaced != key));
    values.extend(WITHOUT_COLUMNS);
    let mut changed = MAGIC.to_vec();
    put_length(&mut changed, values.len());
    for (key, value) in values {
        for bytes in [key, value] {
            put_length(&mut changed, bytes.len());
            changed.extend_from_slice(bytes);
        }
    }
    put_length(&mut changed, 0);
    changed.extend_from_slice(rest);
    Some(changed)
}

/// Reads a number: variable-length, zigzag.
fn take_long(rest: &mut &[u8]) -> Option<i64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
        }
    }
    None
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_long(rest)?).ok()?;
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(bytes)
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    let mut value = length << 1;
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header's value, with lengths below 64.
    fn value(key: &str, value: &str) -> Vec<u8> {
        let text = |text: &str| {
            let length = u8::try_from(text.len() << 1).unwrap();
            [&[length][..], text.as_bytes()].concat()
        };
        [text(key), text(value)].concat()
    }

    #[test]
    fn only_the_columns_leave_the_header() {
        let long = "x".repeat(200);
        let long_value = [&[8][..], b"long", &[0x90, 0x03], long.as_bytes()].concat();
        let [schema, spec] = [value("schema", "{}"), value("partition-spec", "[{}]")];
        let [codec, id] = [value("avro.codec", "null"), value("partition-spec-id", "3")];
        let blocks = b"the marker and the blocks";
        // A block of two values, then one of three that has its size in bytes.
        let size = u8::try_from((id.len() + spec.len() + codec.len()) << 1).unwrap();
        let first = [&[4][..], &schema[..], &long_value[..]].concat();
        let second = [&[5, size][..], &id[..], &spec[..], &codec[..]].concat();
        let avro = [MAGIC, &first[..], &second[..], &[0][..], &blocks[..]].concat();
        let without = value("schema", r#"{"type":"struct","schema-id":0,"fields":[]}"#);
        let kept = [&[10][..], &long_value[..], &id[..], &codec[..]].concat();
        let added = [without, value("partition-spec", "[]")].concat();
        let expected = [MAGIC, &kept[..], &added[..], &[0][..], &blocks[..]].concat();
        assert_eq!(without_columns(&avro).unwrap(), expected);
        for end in 0..avro.len() - blocks.len() {
            assert_eq!(without_columns(&avro[..end]), None, "{end}");
        }
        assert_eq!(without_columns(b"PAR1 is no Avro"), None);
        assert_eq!(without_columns(&[MAGIC, &[0xff; 20][..]].concat()), None);
    }
}
