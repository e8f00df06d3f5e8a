//! Tables that are found: made by others, otherwise than we make them, through the whole pipeline.

mod attribute_columns;
mod columns;
mod formats;
mod metadata;
pub mod support;
