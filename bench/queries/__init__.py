"""The cost of reading: DuckDB over our files and over the peers' files with the same rows."""
