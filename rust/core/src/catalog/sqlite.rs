//! The SQLite catalog, in the table layout of Iceberg's JDBC catalog.
