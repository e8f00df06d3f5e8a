//! `tables.partition_by`.

use iceberg::spec::Transform;
use serde::{Deserialize, Deserializer, de};

/// How tables that are made are partitioned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartitionBy {
    /// One transform of the table's required time: `hour`, `day`, `month`.
    Time(Transform),
    /// `none`.
    None,
    /// A list of transforms of named columns, such as `["day(Timestamp)", "bucket(16, ServiceName)"]`.
    /// `Timestamp` and `TimeUnix` both mean the table's required time.
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
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
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
                .collect::<Result<_, _>>()
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
