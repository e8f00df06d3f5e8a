//! Columns that a table lacks: logged once, counted always.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::signal::Table;
use crate::write::LeftOut;

/// The columns of each table that were already logged.
#[derive(Debug, Default)]
pub(super) struct Warned {
    by_table: [Mutex<BTreeSet<String>>; Table::ALL.len()],
}

impl Warned {
    /// Warns of the columns that a table lacks, and of those that it has with another type, unless already
    /// done.
    pub(super) fn warn_once(&self, table: Table, name: &str, left_out: &LeftOut, auto_evolve: bool) {
        if self.is_news(table, &left_out.columns) {
            let advice = if auto_evolve {
                "it lost them since this process began: restart it, and they are added again"
            } else {
                "add them, or set tables.auto_evolve to true"
            };
            tracing::warn!(
                table = name,
                columns = joined(&left_out.columns),
                advice,
                "values are left out, because the table has no columns for them"
            );
        }
        if self.is_news(table, &left_out.other_types) {
            tracing::warn!(
                table = name,
                columns = joined(&left_out.other_types),
                advice = "give them the table's type in tables.attribute_columns, or another name there",
                "values of attributes are in their maps only, because the table's columns for them have another type"
            );
        }
    }

    fn is_news(&self, table: Table, columns: &BTreeSet<String>) -> bool {
        // One cell per variant of `Table`.
        let mut known = self.by_table[table as usize]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let is_news = !columns.is_subset(&known);
        known.extend(columns.iter().cloned());
        is_news
    }
}

fn joined(columns: &BTreeSet<String>) -> String {
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    columns.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_table_is_warned_of_once_unless_it_loses_more() {
        let left_out = |columns: &[&str]| columns.iter().map(|column| (*column).to_owned()).collect();
        let warned = Warned::default();
        assert!(!warned.is_news(Table::Logs, &left_out(&[])));
        assert!(warned.is_news(Table::Logs, &left_out(&["Body", "TraceId"])));
        assert!(!warned.is_news(Table::Logs, &left_out(&["Body", "TraceId"])));
        assert!(!warned.is_news(Table::Logs, &left_out(&["TraceId"])));
        assert!(warned.is_news(Table::Traces, &left_out(&["TraceId"])));
        assert!(warned.is_news(Table::Logs, &left_out(&["SpanId", "TraceId"])));
    }
}
