//! Bytes as text: ids and digests in the names of files.

use std::fmt::Write;

/// Appends two digits for each byte, in lower case.
pub(crate) fn append_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_appends_two_digits() {
        let mut text = "logs/".to_owned();
        append_hex(&mut text, &[0x00, 0x0a, 0xff]);
        assert_eq!(text, "logs/000aff");
        append_hex(&mut text, &[]);
        assert_eq!(text, "logs/000aff");
    }
}
