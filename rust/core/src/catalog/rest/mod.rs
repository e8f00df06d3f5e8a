//! A client of Iceberg's REST catalog protocol.
