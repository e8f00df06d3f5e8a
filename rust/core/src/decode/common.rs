//! `common/v1/common.proto` and `resource/v1/resource.proto`.

use super::wire::Repeated;

/// The bytes of a protobuf `string`, which may be invalid UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Text<'a>(pub &'a [u8]);

/// `AnyValue`. Lists inside stay unread, so nesting costs nothing here; whoever walks them counts levels.
#[derive(Debug, Clone, Copy)]
pub enum AnyValue<'a> {
    /// No field of the oneof is set.
    Empty,
    /// Field 1.
    String(Text<'a>),
    /// Field 2.
    Bool(bool),
    /// Field 3.
    Int(i64),
    /// Field 4.
    Double(f64),
    /// Field 5.
    Array(ArrayValue<'a>),
    /// Field 6.
    KeyValueList(KeyValueList<'a>),
    /// Field 7.
    Bytes(&'a [u8]),
}

/// `ArrayValue`.
#[derive(Debug, Clone, Copy)]
pub struct ArrayValue<'a> {
    /// Field 1.
    pub values: Repeated<'a, AnyValue<'a>>,
}

/// `KeyValueList`.
#[derive(Debug, Clone, Copy)]
pub struct KeyValueList<'a> {
    /// Field 1.
    pub values: Repeated<'a, KeyValue<'a>>,
}

/// `KeyValue`.
#[derive(Debug, Clone, Copy)]
pub struct KeyValue<'a> {
    /// Field 1.
    pub key: Text<'a>,
    /// Field 2; `Empty` when absent.
    pub value: AnyValue<'a>,
}

/// `Resource`.
#[derive(Debug, Clone, Copy)]
pub struct Resource<'a> {
    /// Field 1.
    pub attributes: Repeated<'a, KeyValue<'a>>,
    /// Field 2.
    pub dropped_attributes_count: u32,
}

/// `InstrumentationScope`.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// Field 1.
    pub name: Text<'a>,
    /// Field 2.
    pub version: Text<'a>,
    /// Field 3.
    pub attributes: Repeated<'a, KeyValue<'a>>,
    /// Field 4.
    pub dropped_attributes_count: u32,
}
