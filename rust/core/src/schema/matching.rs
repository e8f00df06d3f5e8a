//! Matches our columns to those of an existing table, and checks whether types are compatible.

use iceberg::spec::{NestedFieldRef, PrimitiveType};

/// A field's path, given its parent's; the path of a table is empty.
pub(crate) fn field_path(parent: &str, name: &str) -> String {
    if parent.is_empty() {
        return name.to_owned();
    }
    format!("{parent}.{name}")
}

/// For each field of the table, in its order, the position of our matching field.
///
/// An exact name takes precedence. Otherwise a name that differs only in case matches: AWS Glue and engines
/// of the Hive family convert all names to lower case.
///
/// # Errors
/// [`Ambiguous`] when several fields differ from ours, and so from each other, only in case.
pub(crate) fn match_fields(
    theirs: &[NestedFieldRef],
    ours: &[&str],
) -> Result<Vec<Option<usize>>, Ambiguous> {
    let mut matches = vec![None; theirs.len()];
    for (position, name) in ours.iter().enumerate() {
        if let Some(place) = place_of(theirs, name)?
            && let Some(place) = matches.get_mut(place)
        {
            *place = Some(position);
        }
    }
    Ok(matches)
}

fn place_of(theirs: &[NestedFieldRef], name: &str) -> Result<Option<usize>, Ambiguous> {
    if let Some(exact) = theirs.iter().position(|field| field.name == name) {
        return Ok(Some(exact));
    }
    let mut alike = theirs
        .iter()
        .enumerate()
        .filter(|(_, field)| field.name.eq_ignore_ascii_case(name));
    let Some((place, first)) = alike.next() else {
        return Ok(None);
    };
    match alike.next() {
        None => Ok(Some(place)),
        Some((_, second)) => Err(Ambiguous {
            ours: name.to_owned(),
            theirs: [first.name.clone(), second.name.clone()],
        }),
    }
}

/// Two fields of the table that both match one of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ambiguous {
    ours: String,
    theirs: [String; 2],
}

impl Ambiguous {
    /// The error message with the paths of all three; `parent` is empty for columns. It does not suggest a
    /// solution.
    pub(crate) fn message(&self, parent: &str) -> String {
        let [first, second] = &self.theirs;
        let ours = &self.ours;
        let parent = if parent.is_empty() {
            String::new()
        } else {
            format!("{parent}.")
        };
        format!(
            "columns {parent}{first} and {parent}{second} of the table differ in case alone, and our {parent}{ours} \
             could go into either"
        )
    }
}

/// Whether a column of one type can hold every value of ours: the same type, a type that Iceberg can promote
/// ours to (spec, "Schema Evolution"), or our time type with a finer unit.
pub(crate) fn holds(held: &PrimitiveType, ours: &PrimitiveType) -> bool {
    held == ours
        || matches!(
            (held, ours),
            (PrimitiveType::Long, PrimitiveType::Int)
                | (PrimitiveType::Double, PrimitiveType::Float)
                | (PrimitiveType::TimestamptzNs, PrimitiveType::Timestamptz)
        )
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;

    use iceberg::spec::{NestedField, Type};

    use super::*;
    use crate::schema::{Column, ColumnType, columns};
    use crate::signal::Table;

    fn fields(names: &[&str]) -> Vec<NestedFieldRef> {
        (1..)
            .zip(names)
            .map(|(id, name)| NestedField::optional(id, *name, Type::Primitive(PrimitiveType::Int)))
            .map(Arc::new)
            .collect()
    }

    #[test]
    fn the_very_name_comes_first_and_another_case_will_do() {
        let matched = |theirs: &[&str]| match_fields(&fields(theirs), &["Body", "TraceId"]);
        assert_eq!(matched(&["TraceId", "Body"]), Ok(vec![Some(1), Some(0)]));
        assert_eq!(
            matched(&["traceid", "x", "body"]),
            Ok(vec![Some(1), None, Some(0)])
        );
        assert_eq!(
            matched(&["body", "BODY", "Body"]),
            Ok(vec![None, None, Some(0)]),
            "theirs are left alone"
        );
        assert_eq!(matched(&["x"]), Ok(vec![None]));
    }

    #[test]
    fn two_names_that_differ_in_case_alone_are_told_apart_by_nobody() {
        let ambiguous = match_fields(&fields(&["body", "x", "BODY"]), &["Body"]).expect_err("ambiguous");
        assert_eq!(
            ambiguous.message(""),
            "columns body and BODY of the table differ in case alone, and our Body could go into either"
        );
        assert!(
            ambiguous
                .message("Events.element")
                .starts_with("columns Events.element.body and Events")
        );
    }

    #[test]
    fn no_two_columns_of_ours_differ_in_case_alone() {
        fn check(columns: &[Column<'_>]) {
            let folded: HashSet<String> = columns.iter().map(|c| c.name.to_ascii_lowercase()).collect();
            assert_eq!(folded.len(), columns.len());
            for column in columns {
                if let ColumnType::List(ColumnType::Struct(fields)) = column.column_type {
                    check(fields);
                }
            }
        }
        for table in Table::ALL {
            check(&columns(table, &[]));
        }
    }
}
