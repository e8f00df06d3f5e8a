//! Conversion: against an independent one, rule by rule, and with input that is hostile or too large.

mod attribute_columns;
mod differential;
mod hostile;
mod limits;
mod memory;
mod oracle;
mod oracle_metrics;
mod rows;
mod rules;
mod rules_metrics;
mod rules_text;
mod series;
mod sink;
mod subset;
mod values;
