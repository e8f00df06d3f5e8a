//! The case of column names: see `tables.column_case`.

use std::borrow::Cow;

use iceberg::spec::Schema;
use serde::Deserialize;

/// How names of columns are written in tables that we create, and of columns that we add. It concerns nothing
/// else: existing columns are matched ignoring case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnCase {
    /// The names as they are defined, such as `ServiceName`.
    #[default]
    Pascal,
    /// The same in lower case, such as `servicename`; names inside structs, too.
    Lower,
}

impl ColumnCase {
    /// A column's defined name in this case.
    pub(super) fn of(self, name: &str) -> Cow<'_, str> {
        match self {
            ColumnCase::Pascal => Cow::Borrowed(name),
            ColumnCase::Lower => Cow::Owned(name.to_ascii_lowercase()),
        }
    }
}

/// The id of the field with this name in any case, and its name in the schema. A nested field's name is its path.
///
/// Only for schemas of ours, in which no two names differ only in case.
pub(crate) fn field_in_any_case<'a>(schema: &'a Schema, name: &str) -> Option<(i32, &'a str)> {
    let id = schema.field_by_name_case_insensitive(name)?.id;
    Some((id, schema.name_by_field_id(id)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{AttributeColumn, AttributeType, AttributesOf, iceberg_schema};
    use crate::signal::Table;

    /// Every name that a schema has, in the order of the fields' ids.
    fn names(schema: &Schema) -> Vec<String> {
        let mut names: Vec<(i32, String)> = schema
            .field_id_to_name_map()
            .iter()
            .map(|(id, name)| (*id, name.clone()))
            .collect();
        names.sort_unstable();
        names.into_iter().map(|(_, name)| name).collect()
    }

    #[test]
    fn every_name_is_in_lower_case_and_nothing_else_differs() {
        let attributes = [AttributeColumn {
            name: "HttpRoute".to_owned(),
            attribute: "http.route".to_owned(),
            of: AttributesOf::Record,
            value_type: AttributeType::String,
        }];
        for table in Table::ALL {
            let schema = |case| iceberg_schema(table, &attributes, case).expect("a schema");
            let (pascal, lower) = (schema(ColumnCase::Pascal), schema(ColumnCase::Lower));
            let folded: Vec<String> = names(&pascal)
                .iter()
                .map(|name| name.to_ascii_lowercase())
                .collect();
            assert_eq!(names(&lower), folded, "{table:?}");
            assert_ne!(names(&pascal), folded, "{table:?}");
            for id in pascal.field_id_to_name_map().keys() {
                let (ours, theirs) = (pascal.field_by_id(*id), lower.field_by_id(*id));
                let (ours, theirs) = (ours.expect("a field"), theirs.expect("the same id"));
                assert_eq!(ours.required, theirs.required, "{table:?} {id}");
                if ours.field_type.is_primitive() {
                    assert_eq!(ours.field_type, theirs.field_type, "{table:?} {id}");
                }
            }
        }
        let traces = iceberg_schema(Table::Traces, &attributes, ColumnCase::Lower).expect("a schema");
        for name in [
            "httproute",
            "events.element.timestamp",
            "links.element.attributes.key",
        ] {
            assert!(traces.field_by_name(name).is_some(), "{name}");
        }
    }

    #[test]
    fn a_field_is_found_in_any_case_under_the_schemas_name() {
        for (case, name, nested) in [
            (ColumnCase::Pascal, "TraceId", "Events.element.Name"),
            (ColumnCase::Lower, "traceid", "events.element.name"),
        ] {
            let schema = iceberg_schema(Table::Traces, &[], case).expect("a schema");
            for asked in ["TraceId", "traceid", "TRACEID"] {
                let (id, found) = field_in_any_case(&schema, asked).expect("a column");
                assert_eq!((found, schema.field_id_by_name(name)), (name, Some(id)));
            }
            let found = field_in_any_case(&schema, "Events.element.Name");
            assert_eq!(found.map(|(_, name)| name), Some(nested));
            assert_eq!(field_in_any_case(&schema, "Trace"), None);
        }
    }
}
