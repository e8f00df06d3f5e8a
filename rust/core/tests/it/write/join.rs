//! Joins several files into one.

mod copied;
mod left_out;
mod same;
mod support;
