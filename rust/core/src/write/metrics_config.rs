//! Which metrics a table wants of each column: the `write.metadata.metrics.*` table properties.

use std::collections::{HashMap, HashSet};

use iceberg::spec::{TableMetadata, Transform};

use crate::table_properties::{METRICS_COLUMN_PREFIX, METRICS_DEFAULT, Properties};

/// Iceberg's default mode, `truncate(16)`.
const TRUNCATE_16: Mode = Mode::Bounds {
    code_points_max: Some(16),
};

/// A metrics mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// `none`.
    None,
    /// `counts`: sizes and counts, no bounds.
    Counts,
    /// `truncate(n)`, or `full` when there is no length: counts and bounds.
    Bounds {
        /// Code points that a string bound has at most.
        code_points_max: Option<usize>,
    },
}

/// The mode of each column by field id.
#[derive(Debug)]
pub(super) struct MetricsConfig {
    default: Mode,
    by_id: HashMap<i32, Mode>,
}

impl MetricsConfig {
    /// Reads a table's properties. As in Java: an invalid mode is ignored, a column's own mode takes
    /// precedence, and sort columns have bounds unless their own mode excludes them.
    pub fn new(metadata: &TableMetadata) -> Self {
        let properties = Properties::of(metadata);
        let default = properties.text(METRICS_DEFAULT).and_then(Mode::parse);
        let default = default.unwrap_or(TRUNCATE_16);
        let sort_order = metadata.default_sort_order();
        let mut by_id: HashMap<i32, Mode> = HashMap::new();
        if matches!(default, Mode::None | Mode::Counts) {
            let sorted: HashSet<i32> = sort_order
                .fields
                .iter()
                .filter(|field| field.transform == Transform::Identity)
                .map(|field| field.source_id)
                .collect();
            by_id.extend(sorted.into_iter().map(|id| (id, TRUNCATE_16)));
        }
        let schema = metadata.current_schema();
        for (column, text) in properties.columns(METRICS_COLUMN_PREFIX) {
            if let (Some(id), Some(mode)) = (schema.field_id_by_name(column), Mode::parse(text)) {
                by_id.insert(id, mode);
            }
        }
        Self { default, by_id }
    }

    /// The mode of a field.
    pub fn mode(&self, field_id: i32) -> Mode {
        self.by_id.get(&field_id).copied().unwrap_or(self.default)
    }
}

impl Mode {
    fn parse(text: &str) -> Option<Mode> {
        let text = text.to_ascii_lowercase();
        match text.as_str() {
            "none" => Some(Mode::None),
            "counts" => Some(Mode::Counts),
            "full" => Some(Mode::Bounds {
                code_points_max: None,
            }),
            other => {
                let length = other
                    .strip_prefix("truncate(")?
                    .strip_suffix(')')?
                    .trim()
                    .parse()
                    .ok()?;
                (length > 0).then_some(Mode::Bounds {
                    code_points_max: Some(length),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_read_as_iceberg_writes_them() {
        assert_eq!(Mode::parse("none"), Some(Mode::None));
        assert_eq!(Mode::parse("Counts"), Some(Mode::Counts));
        assert_eq!(
            Mode::parse("full"),
            Some(Mode::Bounds {
                code_points_max: None
            })
        );
        assert_eq!(Mode::parse("truncate(16)"), Some(TRUNCATE_16));
        for text in ["", "truncate", "truncate(0)", "truncate(x)", "some"] {
            assert_eq!(Mode::parse(text), None, "{text}");
        }
    }
}
