"""Servers and tools that tests of catalogs and storage start beside the Collector. All traffic stays on loopback.

`reference`  the reference Iceberg REST catalog (Java), over `file:` or `s3:` warehouses
`s3`         an S3 server with S3 Tables (moto)
`proxy`      a reverse proxy that checks and changes requests and answers; base of the others
`sigproxy`   checks SigV4 signatures with botocore; makes the reference catalog look like Glue and S3 Tables
`oauth`      an OAuth2 token endpoint with short-lived tokens, and a proxy that refuses all others
`vending`    a proxy that adds storage credentials to loaded tables
`reading`    reads tables of any of these with pyiceberg, DuckDB and Spark
`soak`       many Collectors on one table
`child`      programs as child processes, terminated by pid
`exporting`  the exporter's settings for these servers, and searches of its log
"""
