"""Apache Spark with Iceberg's runtime, as a reader and as another writer. Nothing here leaves loopback.

`session`  the one Spark of a test run, with a catalog for each place that a test names
`setup.sh` fetches it
"""
