//! `tables.attribute_columns`.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::schema::{AttributeColumn, AttributeType, AttributesOf, columns};
use crate::signal::Table;

/// Attributes with columns of their own. None by default.
#[derive(Debug, Clone, Default)]
pub struct AttributeColumns {
    entries: Vec<Entry>,
    /// The columns of each table, by its index in [`Table::ALL`].
    by_table: [Vec<AttributeColumn>; Table::ALL.len()],
}

/// One configured attribute: a mapping, or its key alone.
#[derive(Debug, Clone)]
struct Entry {
    column: AttributeColumn,
    /// The tables that get the column, by their default names; all if not set.
    tables: Option<Vec<String>>,
}

impl AttributeColumns {
    /// The columns that a table has.
    #[must_use]
    pub fn of(&self, table: Table) -> &[AttributeColumn] {
        // `by_table` has one list per variant of `Table`.
        &self.by_table[table as usize]
    }

    fn new(entries: Vec<Entry>) -> Self {
        let by_table = Table::ALL.map(|table| {
            let of_table = entries.iter().filter(|entry| entry.is_for(table));
            of_table.map(|entry| entry.column.clone()).collect()
        });
        Self { entries, by_table }
    }
}

impl Entry {
    fn is_for(&self, table: Table) -> bool {
        match &self.tables {
            None => true,
            Some(names) => names.iter().any(|name| name == table.default_name()),
        }
    }
}

/// The default name of a column, in the style of the others: `http.route` becomes `HttpRoute`.
fn default_column(attribute: &str) -> String {
    let words = attribute.split(|letter: char| !letter.is_ascii_alphanumeric());
    words
        .flat_map(|word| {
            let first = word.chars().next().map(|first| first.to_ascii_uppercase());
            first.into_iter().chain(word.chars().skip(1))
        })
        .collect()
}

/// Adds the problems of the columns.
pub(super) fn problems(attribute_columns: &AttributeColumns, problems: &mut Vec<String>) {
    for (index, entry) in attribute_columns.entries.iter().enumerate() {
        let key = format!("tables.attribute_columns[{index}]");
        if entry.column.attribute.is_empty() {
            problems.push(format!("{key}.attribute: must not be empty"));
            continue;
        }
        if !is_plain(&entry.column.name) {
            problems.push(format!(
                "{key}.column: {:?} is no name that every engine takes; give one of ASCII letters, digits and _, a letter \
                 first",
                entry.column.name
            ));
        }
        if entry.tables.as_ref().is_some_and(Vec::is_empty) {
            problems.push(format!(
                "{key}.tables: names no table; leave it out for all of them"
            ));
        }
        for name in entry.tables.iter().flatten() {
            if !Table::ALL.iter().any(|table| table.default_name() == name) {
                let known: Vec<&str> = Table::ALL.iter().map(|table| table.default_name()).collect();
                problems.push(format!(
                    "{key}.tables: there is no table {name:?}; known are {}",
                    known.join(", ")
                ));
            }
        }
        let earlier = attribute_columns.entries.get(..index).unwrap_or_default();
        if let Some((table, other)) = taken(entry, earlier) {
            problems.push(format!(
                "{key}.column: table {} has a column {other} already; give another name for the attribute {:?}",
                table.default_name(),
                entry.column.attribute
            ));
        }
    }
}

fn is_plain(name: &str) -> bool {
    // Names of Iceberg's own columns begin with _.
    name.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && name
            .bytes()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == b'_')
}

/// The first table in which another column has this name, ignoring case: some engines are case-insensitive.
fn taken<'a>(entry: &Entry, earlier: &'a [Entry]) -> Option<(Table, &'a str)> {
    let tables = Table::ALL.into_iter().filter(|table| entry.is_for(*table));
    tables
        .flat_map(|table| {
            let own = columns(table, &[]).into_iter().map(|column| column.name);
            let others = earlier.iter().filter(move |other| other.is_for(table));
            own.chain(others.map(|other| other.column.name.as_str()))
                .map(move |name| (table, name))
        })
        .find(|(_, name)| name.eq_ignore_ascii_case(&entry.column.name))
}

impl<'de> Deserialize<'de> for AttributeColumns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::new)
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EntryVisitor)
    }
}

/// The mapping's keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    attribute: String,
    #[serde(default)]
    from: AttributesOf,
    column: Option<String>,
    #[serde(default)]
    r#type: AttributeType,
    tables: Option<Vec<String>>,
}

impl From<Keys> for Entry {
    fn from(keys: Keys) -> Self {
        Self {
            column: AttributeColumn {
                name: keys.column.unwrap_or_else(|| default_column(&keys.attribute)),
                attribute: keys.attribute,
                of: keys.from,
                value_type: keys.r#type,
            },
            tables: keys.tables,
        }
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "an attribute's key such as http.route, or a mapping with attribute, from, column, type, tables",
        )
    }

    fn visit_str<E: de::Error>(self, attribute: &str) -> Result<Self::Value, E> {
        Ok(Keys {
            attribute: attribute.to_owned(),
            from: AttributesOf::default(),
            column: None,
            r#type: AttributeType::default(),
            tables: None,
        }
        .into())
    }

    fn visit_map<A: MapAccess<'de>>(self, keys: A) -> Result<Self::Value, A::Error> {
        Keys::deserialize(MapAccessDeserializer::new(keys)).map(Into::into)
    }
}
