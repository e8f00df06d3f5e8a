//! Our Arrow types as Iceberg types.

use arrow_schema::{DataType, TimeUnit};
use iceberg::spec::{PrimitiveType, Type};

/// The Iceberg type that we would create a column with; `None` for nested types.
pub(super) fn our_primitive(data_type: &DataType) -> Option<PrimitiveType> {
    match data_type {
        DataType::Boolean => Some(PrimitiveType::Boolean),
        DataType::Int32 => Some(PrimitiveType::Int),
        DataType::Int64 => Some(PrimitiveType::Long),
        DataType::Float64 => Some(PrimitiveType::Double),
        DataType::Utf8 => Some(PrimitiveType::String),
        DataType::Dictionary(_, value) if **value == DataType::Utf8 => Some(PrimitiveType::String),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => Some(PrimitiveType::Timestamptz),
        _ => None,
    }
}

/// The Arrow type for a table's type that is wider than ours.
pub(super) fn widened(to: &PrimitiveType, ours: &DataType) -> DataType {
    match (to, ours) {
        (PrimitiveType::Long, _) => DataType::Int64,
        (PrimitiveType::TimestamptzNs, DataType::Timestamp(_, zone)) => {
            DataType::Timestamp(TimeUnit::Nanosecond, zone.clone())
        }
        _ => ours.clone(),
    }
}

pub(super) fn our_type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Struct(_) => "a struct".into(),
        DataType::List(element) => format!("list<{}>", our_type_name(element.data_type())),
        DataType::Map(_, _) => "map<string, string>".into(),
        DataType::Dictionary(_, shared) if shared.is_nested() => our_type_name(shared),
        other => our_primitive(other).map_or_else(|| other.to_string(), |primitive| primitive.to_string()),
    }
}

pub(super) fn table_type_name(table_type: &Type) -> String {
    match table_type {
        Type::Primitive(primitive) => primitive.to_string(),
        Type::Struct(_) => "a struct".into(),
        Type::List(list) => format!("list<{}>", table_type_name(&list.element_field.field_type)),
        Type::Map(map) => format!(
            "map<{}, {}>",
            table_type_name(&map.key_field.field_type),
            table_type_name(&map.value_field.field_type)
        ),
    }
}
