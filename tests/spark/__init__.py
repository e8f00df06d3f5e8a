"""Apache Spark with Iceberg's runtime, as a reader and as another writer. All traffic stays on loopback.

`session`  the single Spark process of a test run, with as many catalogs as tests need
`setup.sh` fetches it
"""
