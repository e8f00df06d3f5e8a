//! The REST catalog client, against a catalog in this process.

mod flow;
mod glue;
mod moved;
mod oauth2;
mod outcomes;
mod rules;
pub mod server;
mod sigv4;
pub mod stub;
