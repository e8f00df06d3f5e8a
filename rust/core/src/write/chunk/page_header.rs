//! Writes the header of each page.
//!
//! The parquet crate writes a header only together with the page's bytes, which it needs to own, and through
//! its own buffer.
//!
//! Source: <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>,
//! <https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift>, `PageHeader`

use parquet::basic::{Encoding, PageType};
use parquet::errors::{ParquetError, Result};

use crate::varint::write_varint;

/// The next field, an `i32`. A field begins with its id's difference from the previous id, and its type.
const NEXT_I32: u8 = 0x15;
/// The next field, a `bool` that is false.
const NEXT_FALSE: u8 = 0x12;
/// `data_page_header`, a struct; from field 3 to field 5.
const DATA_PAGE_HEADER: u8 = 0x2C;
/// `dictionary_page_header`, a struct; from field 3 to field 7.
const DICTIONARY_PAGE_HEADER: u8 = 0x4C;
/// The end of a struct.
const STOP: u8 = 0;

/// The content of a page header.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageHeader {
    /// Bytes before compression.
    pub size: usize,
    /// Bytes as they are stored.
    pub stored: usize,
    /// Values and nulls.
    pub entries: usize,
    /// How the values are encoded.
    pub encoding: Encoding,
}

impl PageHeader {
    /// Appends the header of a data page. Levels always have the same encoding.
    ///
    /// # Errors
    /// When the page is larger than the format allows.
    pub fn write_data(self, out: &mut Vec<u8>) -> Result<()> {
        self.write_sizes(PageType::DATA_PAGE, out)?;
        out.push(DATA_PAGE_HEADER);
        self.write_entries(out)?;
        write_i32(Encoding::RLE as i32, out);
        write_i32(Encoding::RLE as i32, out);
        out.extend([STOP, STOP]);
        Ok(())
    }

    /// Appends the header of a dictionary page. Its values are unsorted.
    ///
    /// # Errors
    /// When the page is larger than the format allows.
    pub fn write_dictionary(self, out: &mut Vec<u8>) -> Result<()> {
        self.write_sizes(PageType::DICTIONARY_PAGE, out)?;
        out.push(DICTIONARY_PAGE_HEADER);
        self.write_entries(out)?;
        out.extend([NEXT_FALSE, STOP, STOP]);
        Ok(())
    }

    fn write_sizes(self, page_type: PageType, out: &mut Vec<u8>) -> Result<()> {
        write_i32(page_type as i32, out);
        write_i32(bounded(self.size)?, out);
        write_i32(bounded(self.stored)?, out);
        Ok(())
    }

    fn write_entries(self, out: &mut Vec<u8>) -> Result<()> {
        write_i32(bounded(self.entries)?, out);
        write_i32(self.encoding as i32, out);
        Ok(())
    }
}

fn bounded(count: usize) -> Result<i32> {
    i32::try_from(count).map_err(|_| ParquetError::General(format!("{count} is too many for a page")))
}

/// Appends the next field: small absolute values take one byte, and none takes more than five.
fn write_i32(value: i32, out: &mut Vec<u8>) {
    out.push(NEXT_I32);
    let zigzag = ((value << 1) ^ (value >> 31)).cast_unsigned();
    write_varint(u64::from(zigzag), out);
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use parquet::column::page::{CompressedPage, Page, PageWriter};
    use parquet::file::writer::{SerializedPageWriter, TrackedWrite};

    use super::*;

    /// The page as the parquet crate writes it.
    fn by_the_crate(page: Page, size: usize) -> Vec<u8> {
        let mut sink = TrackedWrite::new(Vec::new());
        SerializedPageWriter::new(&mut sink)
            .write_page(CompressedPage::new(page, size))
            .unwrap();
        sink.into_inner().unwrap()
    }

    #[test]
    fn headers_are_as_the_parquet_crate_writes_them() {
        let numbers = [0, 1, 63, 64, 8_191, 8_192, 1 << 20, i32::MAX as usize];
        for (size, stored) in numbers.into_iter().zip([0, 63, 64, 8_191, 8_192, 70_000, 1, 2]) {
            for entries in numbers {
                for encoding in [Encoding::PLAIN, Encoding::RLE_DICTIONARY] {
                    let bytes = vec![7; stored];
                    let header = PageHeader {
                        size,
                        stored,
                        entries,
                        encoding,
                    };
                    let buf = Bytes::from(bytes.clone());
                    let num_values = entries as u32;

                    let mut ours = Vec::new();
                    header.write_data(&mut ours).unwrap();
                    ours.extend(&bytes);
                    let page = Page::DataPage {
                        buf: buf.clone(),
                        num_values,
                        encoding,
                        def_level_encoding: Encoding::RLE,
                        rep_level_encoding: Encoding::RLE,
                        statistics: None,
                    };
                    assert_eq!(ours, by_the_crate(page, size));

                    ours.clear();
                    header.write_dictionary(&mut ours).unwrap();
                    ours.extend(&bytes);
                    let page = Page::DictionaryPage {
                        buf,
                        num_values,
                        encoding,
                        is_sorted: false,
                    };
                    assert_eq!(ours, by_the_crate(page, size));
                }
            }
        }
    }

    #[test]
    fn a_page_that_is_too_large_is_refused() {
        let header = PageHeader {
            size: 1 << 31,
            stored: 1,
            entries: 1,
            encoding: Encoding::PLAIN,
        };
        let refused = header.write_data(&mut Vec::new()).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "Parquet error: 2147483648 is too many for a page"
        );
    }
}
