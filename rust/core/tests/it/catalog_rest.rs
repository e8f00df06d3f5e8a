//! The REST catalog client, against a catalog in this process.

mod flow;
mod oauth2;
mod outcomes;
mod rules;
mod server;
mod stub;
