//! Existing tables that other tools created in other ways than ours, through the whole pipeline.

mod attribute_columns;
mod column_case;
mod columns;
mod formats;
mod metadata;
pub mod support;
