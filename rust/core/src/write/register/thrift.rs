//! Checks a footer before it is decoded: the announced content must be present.
//!
//! The `parquet` crate allocates as many elements as a list announces, and recurses through the schema. A few
//! bytes could therefore request terabytes of memory or overflow the stack.
//!
//! Source: <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>,
//! <https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift>

/// Elements of a schema, groups included; our widest table has about 70.
const SCHEMA_ELEMENTS_MAX: u64 = 1_000;
/// Nesting depth of structs and lists; Parquet's own structures reach 8.
const DEPTH_MAX: u32 = 32;

/// `FileMetaData.schema`.
const SCHEMA: i16 = 2;
/// `SchemaElement.num_children`.
const NUM_CHILDREN: i16 = 5;

/// Checks the structure of a serialized `FileMetaData`.
///
/// # Errors
/// The defect that was found.
pub(super) fn check(bytes: &[u8]) -> Result<(), &'static str> {
    check_in(bytes, Vec::new())
}

/// Checks the structure of a serialized `ColumnIndex` or `OffsetIndex`.
///
/// # Errors
/// The defect that was found.
pub(in crate::write) fn check_index(bytes: &[u8]) -> Result<(), &'static str> {
    // The path is not one of a `FileMetaData`, whose fields have limits of their own.
    check_in(bytes, vec![0])
}

fn check_in(bytes: &[u8], path: Vec<i16>) -> Result<(), &'static str> {
    let mut walk = Walk { rest: bytes, path };
    walk.structure(DEPTH_MAX)
}

struct Walk<'a> {
    rest: &'a [u8],
    /// The field ids from the root to the current position.
    path: Vec<i16>,
}

const CUT: &str = "it ends too early";

impl Walk<'_> {
    fn structure(&mut self, depth: u32) -> Result<(), &'static str> {
        let depth = depth.checked_sub(1).ok_or("it is nested too deeply")?;
        let mut last = 0_i16;
        loop {
            let header = self.byte()?;
            if header == 0 {
                return Ok(());
            }
            let field = match header >> 4 {
                0 => self.zigzag()? as i16,
                step => last
                    .checked_add(i16::from(step))
                    .ok_or("a field's number is too large")?,
            };
            last = field;
            self.path.push(field);
            self.value(header & 0x0f, depth, false)?;
            self.path.pop();
        }
    }

    fn value(&mut self, kind: u8, depth: u32, in_list: bool) -> Result<(), &'static str> {
        match kind {
            // For a field, a boolean's value is encoded in its type.
            1 | 2 if !in_list => Ok(()),
            1..=3 => self.skip(1),
            4..=6 => {
                let number = self.zigzag()?;
                let too_many = self.path == [SCHEMA, NUM_CHILDREN]
                    && !(0..=SCHEMA_ELEMENTS_MAX as i64).contains(&number);
                if too_many {
                    Err("a group of its schema has too many columns")
                } else {
                    Ok(())
                }
            }
            7 => self.skip(8),
            8 => {
                let length = self.varint()?;
                self.skip(length)
            }
            9 | 10 => self.list(depth),
            12 => self.structure(depth),
            _ => Err("it holds a type that Parquet does not use"),
        }
    }

    fn list(&mut self, depth: u32) -> Result<(), &'static str> {
        let depth = depth.checked_sub(1).ok_or("it is nested too deeply")?;
        let header = self.byte()?;
        let size = match header >> 4 {
            15 => self.varint()?,
            size => u64::from(size),
        };
        // Each element takes at least one byte.
        if size > self.rest.len() as u64 {
            return Err("a list announces more than there is");
        }
        if self.path == [SCHEMA] && size > SCHEMA_ELEMENTS_MAX {
            return Err("its schema has too many columns");
        }
        for _ in 0..size {
            self.value(header & 0x0f, depth, true)?;
        }
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, &'static str> {
        let (byte, rest) = self.rest.split_first().ok_or(CUT)?;
        self.rest = rest;
        Ok(*byte)
    }

    fn skip(&mut self, bytes: u64) -> Result<(), &'static str> {
        let bytes = usize::try_from(bytes).map_err(|_| CUT)?;
        self.rest = self.rest.get(bytes..).ok_or(CUT)?;
        Ok(())
    }

    fn varint(&mut self) -> Result<u64, &'static str> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a number in it has no end")
    }

    fn zigzag(&mut self) -> Result<i64, &'static str> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_announced_must_be_there() {
        for (bytes, problem) in [
            (&b""[..], CUT),
            // A list of 2^31 structs as the schema.
            (
                b"\x29\xfc\x80\x80\x80\x80\x08",
                "a list announces more than there is",
            ),
            // One element of the schema, with 2^30 children.
            (
                b"\x29\x1c\x55\x80\x80\x80\x80\x08\x00\x00",
                "a group of its schema has too many columns",
            ),
            (b"\x18\x7fabc", CUT),
            (b"\x1b", "it holds a type that Parquet does not use"),
            (
                b"\x15\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                "a number in it has no end",
            ),
            (&[0x1c; 100], "it is nested too deeply"),
            (&[0x19, 0x19, 0x19, 0x19], "a list announces more than there is"),
        ] {
            assert_eq!(check(bytes), Err(problem), "{bytes:?}");
        }
        assert_eq!(check(b"\x15\x04\x19\x0c\x00"), Ok(()));
    }
}
