"""What readers pay: DuckDB over our files and over the peers' files of the same rows."""
