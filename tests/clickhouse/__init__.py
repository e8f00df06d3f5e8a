"""ClickHouse, and queries written for the tables of the Collector's ClickHouse exporter."""
