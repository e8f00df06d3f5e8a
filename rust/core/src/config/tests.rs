use super::*;

#[test]
fn empty_object_is_a_whole_configuration() {
    let config = Config::from_json(b"{}").expect("valid");
    assert_eq!(config.catalog.local_warehouse(), "./warehouse");
    assert_eq!(config.tables.name(Table::Sum), "metrics_sum");
    assert_eq!(config.parquet.bloom_filter_columns, None);
    assert_eq!(config.commit.max_retries, None);
}

#[test]
fn without_a_catalog_there_is_nothing_to_say_of_one() {
    let json = br#"{
        "catalog": {"type": "none", "warehouse": "s3://bucket/otel", "uri": "https://x", "name": "n", "token": "t",
                    "s3tables_api": "rest"},
        "commit": {"on_failure": "accept"}
    }"#;
    let message = Config::from_json(json).expect_err("invalid").to_string();
    for key in [
        "catalog.uri:",
        "catalog.name:",
        "catalog.token:",
        "catalog.s3tables_api:",
        "commit.on_failure:",
    ] {
        assert!(message.contains(key), "{key} in {message}");
    }
    let alone = br#"{"catalog": {"type": "none", "warehouse": "s3://bucket/otel"}}"#;
    assert_eq!(
        Config::from_json(alone).expect("valid").catalog.r#type,
        CatalogType::None
    );
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
        "catalog.uri:",
        "catalog.warehouse:",
        "catalog.namespace:",
        "tables.names.log:",
        "tables.names.traces:",
        "tables.partition_by:",
        "parquet.compression_level:",
        "parquet.max_row_group_rows:",
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }
}

#[test]
fn what_is_no_name_of_a_folder_names_no_table() {
    for name in ["", ".", "..", "a/b", "../logs"] {
        let json = format!(r#"{{"tables": {{"names": {{"logs": "{name}"}}}}}}"#);
        let message = Config::from_json(json.as_bytes())
            .expect_err("invalid")
            .to_string();
        let said = format!("tables.names.logs: {name:?} cannot name a table");
        assert!(message.contains(&said), "{said} in {message}");
    }
    assert!(Config::from_json(br#"{"tables": {"names": {"logs": "..logs.v1"}}}"#).is_ok());
}

#[test]
fn unknown_keys_and_wrong_types_are_named_with_their_path() {
    let json = br#"{
        "catlog": {},
        "catalog": {"typ": "sql"},
        "tables": {"partition_by": "week"},
        "parquet": {"compression_level": "high"},
        "commit": {"interval": "10"},
        "limits": 7
    }"#;
    let message = Config::from_json(json).expect_err("invalid").to_string();
    for part in [
        "catlog: there is no such key; known are catalog, storage,",
        "catalog.typ: unknown field `typ`, expected one of",
        "tables.partition_by: \"week\" is no partitioning; accepted are hour, day, month, none",
        "parquet.compression_level: invalid type: string \"high\", expected i32",
        "commit.interval: \"10\" is no duration",
        "limits: must be a section",
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }
}

#[test]
fn what_is_no_object_is_refused() {
    for (json, part) in [
        ("[]", "must be a JSON object"),
        ("{", "is no JSON"),
        ("", "is no JSON"),
    ] {
        let message = Config::from_json(json.as_bytes())
            .expect_err("invalid")
            .to_string();
        assert!(message.contains(part), "{part} in {message}");
    }
}
