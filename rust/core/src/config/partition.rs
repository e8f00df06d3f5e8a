//! `tables.partition_by`.

use iceberg::spec::{Schema, Transform, UnboundPartitionField, UnboundPartitionSpec};
use serde::{Deserialize, Deserializer, de};

use crate::cause::IcebergCause;
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{field_in_any_case, time_column};
use crate::signal::Table;

/// The id of the first partition field, as Iceberg assigns them.
const FIRST_FIELD_ID: i32 = 1000;

/// The partitioning of new tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartitionBy {
    /// One transform of the table's required time: `hour`, `day`, `month`.
    Time(Transform),
    /// `none`.
    None,
    /// A list of transforms of named columns, such as `["day(Timestamp)", "bucket(16, ServiceName)"]`.
    /// `Timestamp` and `TimeUnix` both mean the table's required time. Names are in any case.
    Fields(Vec<PartitionField>),
}

/// One transform of one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionField {
    /// The transform.
    pub transform: Transform,
    /// The column's name.
    pub column: String,
}

impl PartitionBy {
    /// The partition spec of a new table. Its fields are named after the schema's columns.
    ///
    /// # Errors
    /// `Config` when a column does not exist, when a transform does not fit its column, or when a field of
    /// the spec would have the name of a column.
    pub(crate) fn spec(&self, table: Table, schema: &Schema) -> Result<UnboundPartitionSpec> {
        let fields = match self {
            PartitionBy::None => Vec::new(),
            PartitionBy::Time(transform) => vec![PartitionField {
                transform: *transform,
                column: time_column(table).to_owned(),
            }],
            PartitionBy::Fields(fields) => fields.clone(),
        };
        let refused = |column: &str, cause| {
            let message = format!("tables.partition_by: cannot partition by column {column:?}");
            Error::new(ErrorKind::Config, message)
                .with("table", table.default_name())
                .because(IcebergCause(cause))
        };
        // Both ids are optional in the protocol, but Java's server rejects a spec without an id, and Nessie a
        // field without one.
        let mut builder = UnboundPartitionSpec::builder().with_spec_id(0);
        for (field_id, field) in (FIRST_FIELD_ID..).zip(&fields) {
            let column = field.column_of(table);
            let (source_id, name) = field_in_any_case(schema, column).ok_or_else(|| {
                let message = format!(
                    "tables.partition_by: table {} has no column {column:?}; the list is for all tables, so use columns that \
                     each has, such as Timestamp and ServiceName",
                    table.default_name()
                );
                Error::new(ErrorKind::Config, message)
            })?;
            let unbound = UnboundPartitionField {
                source_id,
                field_id: Some(field_id),
                name: partition_name(name, field.transform),
                transform: field.transform,
            };
            builder = builder
                .add_partition_fields([unbound])
                .map_err(|cause| refused(column, cause))?;
        }
        let spec = builder.build();
        // Binding checks that each transform fits its column's type.
        spec.clone().bind(schema.clone()).map_err(|cause| {
            let columns: Vec<&str> = fields.iter().map(|field| field.column.as_str()).collect();
            refused(&columns.join(", "), cause)
        })?;
        Ok(spec)
    }
}

impl PartitionField {
    /// The column's name in a table: both names of the time column map to the table's, so that one list
    /// serves all tables.
    fn column_of(&self, table: Table) -> &str {
        let mut times = ["Timestamp", "TimeUnix"].into_iter();
        if times.any(|time| time.eq_ignore_ascii_case(&self.column)) {
            time_column(table)
        } else {
            &self.column
        }
    }
}

/// The name that Java's `PartitionSpec.Builder`, and so Spark's `CREATE TABLE`, gives the field.
fn partition_name(column: &str, transform: Transform) -> String {
    let suffix = match transform {
        Transform::Year => "_year",
        Transform::Month => "_month",
        Transform::Day => "_day",
        Transform::Hour => "_hour",
        Transform::Bucket(_) => "_bucket",
        Transform::Truncate(_) => "_trunc",
        Transform::Void => "_null",
        Transform::Identity | Transform::Unknown => "",
    };
    format!("{column}{suffix}")
}

impl Default for PartitionBy {
    fn default() -> Self {
        PartitionBy::Time(Transform::Day)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Raw {
    One(String),
    Many(Vec<String>),
}

impl<'de> Deserialize<'de> for PartitionBy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        match Raw::deserialize(deserializer) {
            Ok(Raw::One(word)) => match word.as_str() {
                "hour" => Ok(PartitionBy::Time(Transform::Hour)),
                "day" => Ok(PartitionBy::Time(Transform::Day)),
                "month" => Ok(PartitionBy::Time(Transform::Month)),
                "none" => Ok(PartitionBy::None),
                word => Err(de::Error::custom(format!(
                    "{word:?} is no partitioning; {ACCEPTED}"
                ))),
            },
            Ok(Raw::Many(items)) => items
                .iter()
                .map(|item| {
                    parse_field(item)
                        .ok_or_else(|| de::Error::custom(format!("{item:?} is no transform; {ACCEPTED}")))
                })
                .collect::<std::result::Result<_, _>>()
                .map(PartitionBy::Fields),
            Err(_) => Err(de::Error::custom(ACCEPTED)),
        }
    }
}

const ACCEPTED: &str = "accepted are hour, day, month, none, or a list of transforms: \
     identity(Column), year|month|day|hour(Column), bucket(N, Column), truncate(N, Column)";

fn parse_field(text: &str) -> Option<PartitionField> {
    let (name, arguments) = text.trim().strip_suffix(')')?.split_once('(')?;
    let (width, column) = match arguments.split_once(',') {
        Some((width, column)) => (Some(width.trim().parse::<u32>().ok()?), column.trim()),
        None => (None, arguments.trim()),
    };
    let transform = match (name.trim(), width) {
        ("identity", None) => Transform::Identity,
        ("year", None) => Transform::Year,
        ("month", None) => Transform::Month,
        ("day", None) => Transform::Day,
        ("hour", None) => Transform::Hour,
        ("bucket", Some(n @ 1..)) => Transform::Bucket(n),
        ("truncate", Some(n @ 1..)) => Transform::Truncate(n),
        _ => return None,
    };
    (!column.is_empty()).then(|| PartitionField {
        transform,
        column: column.to_owned(),
    })
}
