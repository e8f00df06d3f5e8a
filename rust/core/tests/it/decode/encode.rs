//! Writes the wire format by hand, also in ways that no encoder would.

/// A varint in its shortest form.
pub fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
    bytes
}

/// A tag: field number and wire type.
pub fn tag(field: u64, wire_type: u64) -> Vec<u8> {
    varint(field << 3 | wire_type)
}

/// A varint field.
pub fn number(field: u64, value: u64) -> Vec<u8> {
    [tag(field, 0), varint(value)].concat()
}

/// A fixed64 field.
pub fn fixed64(field: u64, value: u64) -> Vec<u8> {
    [tag(field, 1), value.to_le_bytes().to_vec()].concat()
}

/// A double field.
pub fn double(field: u64, value: f64) -> Vec<u8> {
    fixed64(field, value.to_bits())
}

/// A fixed32 field.
pub fn fixed32(field: u64, value: u32) -> Vec<u8> {
    [tag(field, 5), value.to_le_bytes().to_vec()].concat()
}

/// A length-delimited field: bytes, text, a message or packed scalars.
pub fn delimited(field: u64, value: impl AsRef<[u8]>) -> Vec<u8> {
    let value = value.as_ref();
    [tag(field, 2), varint(value.len() as u64), value.to_vec()].concat()
}

/// A message inside messages, the outermost field first.
pub fn nested(fields: &[u64], value: impl AsRef<[u8]>) -> Vec<u8> {
    fields
        .iter()
        .rev()
        .fold(value.as_ref().to_vec(), |inner, &field| delimited(field, inner))
}

/// The fields of one level of a well-formed message, each with its tag.
pub fn split_fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let (key, key_len) = read_varint(bytes);
        let value_len = match key & 7 {
            0 => read_varint(&bytes[key_len..]).1,
            1 => 8,
            2 => {
                let (len, len_len) = read_varint(&bytes[key_len..]);
                len_len + usize::try_from(len).unwrap()
            }
            5 => 4,
            other => panic!("wire type {other}"),
        };
        let (field, rest) = bytes.split_at(key_len + value_len);
        fields.push((key >> 3, field.to_vec()));
        bytes = rest;
    }
    fields
}

fn read_varint(bytes: &[u8]) -> (u64, usize) {
    let len = 1 + bytes.iter().position(|byte| *byte < 0x80).unwrap();
    let value = bytes[..len]
        .iter()
        .rev()
        .fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f));
    (value, len)
}
