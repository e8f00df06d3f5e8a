use super::*;

#[test]
fn empty_object_is_a_whole_configuration() {
    let config = Config::from_json(b"{}").expect("valid");
    assert_eq!(config.catalog.sql_warehouse(), "./warehouse");
    assert_eq!(config.tables.name(Table::Sum), "metrics_sum");
    assert_eq!(config.parquet.bloom_filter_columns, ["TraceId"]);
}

#[test]
fn every_problem_is_reported_at_once() {
    let json = br#"{
        "catalog": {"uri": "mysql://x", "warehouse": "gs://b", "namespace": "a..b"},
        "tables": {"names": {"log": "l", "traces": "logs"}, "partition_by": ["day(When)"]},
        "parquet": {"compression_level": 40, "max_row_group_rows": 0}
    }"#;
    let message = Config::from_json(json).expect_err("invalid").to_string();
    for part in [
        "catalog.uri:", "catalog.warehouse:", "catalog.namespace:", "tables.names.log:",
        "tables.names.traces:", "tables.partition_by:", "parquet.compression_level:",
        "parquet.max_row_group_rows:",
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }
}

#[test]
fn unknown_keys_are_refused() {
    let error = Config::from_json(br#"{"catlog": {}}"#).expect_err("invalid");
    assert!(error.to_string().contains("unknown field `catlog`"), "{error}");
}
