//! Integration tests of the core, one binary with a module per topic.

mod convert;
mod decode;
mod strategies;
