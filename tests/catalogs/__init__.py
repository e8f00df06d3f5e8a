"""What tests of catalogs and storage start beside the Collector. Nothing here leaves loopback.

`reference`  the reference Iceberg REST catalog (Java), over `file:` or `s3:` warehouses
`s3`         an S3 server with S3 Tables (moto)
`proxy`      a reverse proxy to check and change what passes; the others build on it
`sigproxy`   checks SigV4 signatures with botocore, and fronts the reference catalog as Glue and S3 Tables do
`oauth`      an OAuth2 token endpoint with short-lived tokens, and a proxy that refuses what it did not issue
`vending`    a proxy that adds storage credentials to loaded tables
`reading`    reads tables of any of these with pyiceberg, DuckDB and Spark
`soak`       many Collectors on one table
`child`      programs as child processes, ended by their own pid
`exporting`  the exporter's settings for all that, and what its log says
"""
