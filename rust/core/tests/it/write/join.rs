//! Several files become one.

mod copied;
mod left_out;
mod same;
mod support;
