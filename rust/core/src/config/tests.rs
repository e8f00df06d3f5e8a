use super::*;
use crate::schema::{AttributeColumn, AttributeType, AttributesOf, iceberg_schema};

fn refusal(json: &[u8]) -> String {
    Config::from_json(json).expect_err("invalid").to_string()
}

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
    let message = refusal(json);
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
fn two_slashes_behind_a_bucket_are_told_at_the_start() {
    for kind in ["none", "sql"] {
        let json = format!(
            r#"{{"catalog": {{"type": "{kind}", "warehouse": "s3://bucket//otel"}}, "dead_letter": {{"path": "s3a://dead//otel"}}}}"#
        );
        let message = refusal(json.as_bytes());
        for part in [
            "catalog.warehouse: \"s3://bucket//otel\" has two slashes in a row",
            "dead_letter.path: \"s3a://dead//otel\" has two slashes in a row",
        ] {
            assert!(message.contains(part), "{part} in {message}");
        }
    }
    let json = br#"{"catalog": {"type": "none", "warehouse": "s3://bucket//"}, "dead_letter": {"path": "s3://dead/otel/"}}"#;
    Config::from_json(json).expect("valid");
}

#[test]
fn urls_of_which_a_slash_is_missing_are_no_folders() {
    for kind in ["none", "sql"] {
        let json = format!(
            r#"{{"catalog": {{"type": "{kind}", "warehouse": "s3:/bucket/otel"}}, "dead_letter": {{"path": "file:dead"}}}}"#
        );
        let message = refusal(json.as_bytes());
        for part in [
            "catalog.warehouse: \"s3:/bucket/otel\" lacks the two slashes of s3://; give a directory, file:///<absolute path> or s3://",
            "dead_letter.path: \"file:dead\" names no absolute path; give a directory, file:///<absolute path> or s3://",
        ] {
            assert!(message.contains(part), "{part} in {message}");
        }
        let json = format!(
            r#"{{"catalog": {{"type": "{kind}", "warehouse": "file:/var/lib/w"}}, "dead_letter": {{"path": "file:/var/lib/d"}}}}"#
        );
        Config::from_json(json.as_bytes()).expect("as Hadoop and Spark spell it");
    }
}

#[test]
fn passwords_in_places_are_not_repeated() {
    for (json, part) in [
        (
            r#"{"catalog": {"uri": "postgresql+psycopg2://user:hush@host/db"}}"#,
            "catalog.uri: \"postgresql+psycopg2\" is no SQLite URI",
        ),
        (
            r#"{"catalog": {"uri": "https://user:hush@host/api?token=hush"}}"#,
            "catalog.uri: \"https\" is no SQLite URI",
        ),
        (
            r#"{"catalog": {"uri": "host=db user=u password=hush"}}"#,
            "catalog.uri: is no SQLite URI",
        ),
        (
            r#"{"catalog": {"uri": "user=u password=hush host=db:5432"}}"#,
            "catalog.uri: is no SQLite URI",
        ),
        (
            r#"{"catalog": {"warehouse": "s3://AKID:hush/hush@bucket/wh"}}"#,
            "catalog.warehouse: \"s3://…@bucket/wh\" has a bucket",
        ),
        (
            r#"{"catalog": {"type": "none", "warehouse": "arn:hush@b"}}"#,
            "catalog.warehouse: \"…@b\" is no place for files",
        ),
        (
            r#"{"catalog": {"type": "s3tables", "warehouse": "s3://AKID:hush@bucket"}}"#,
            "catalog.warehouse: \"s3://…@bucket\" is no table bucket's ARN",
        ),
        (
            r#"{"dead_letter": {"path": "s3://AKID:hush@bucket/dead"}}"#,
            "dead_letter.path: \"s3://…@bucket/dead\" has a bucket",
        ),
    ] {
        let message = refusal(json.as_bytes());
        assert!(message.contains(part), "{part} in {message}");
        assert!(!message.contains("hush"), "{message}");
    }
}

#[test]
fn an_id_and_a_secret_from_files_are_without_the_line_breaks_at_their_ends() {
    let json = br#"{"catalog": {"type": "rest", "uri": "https://h", "oauth2": {"client_id": "me\n", "client_secret": "hush\r\n"}}}"#;
    let oauth2 = Config::from_json(json)
        .expect("valid")
        .catalog
        .oauth2
        .expect("there");
    assert_eq!(
        (oauth2.client_id.as_str(), oauth2.client_secret.expose()),
        ("me", "hush")
    );
}

#[test]
fn properties_that_no_table_can_have_are_told() {
    let json = br#"{"tables": {"properties": {"format-version": "v2", "uuid": "x", "current-snapshot-id": "1", "owner": "ops"}}}"#;
    assert_eq!(
        refusal(json).matches("tables.properties.").count(),
        3,
        "{}",
        refusal(json)
    );
    for part in [
        r#"tables.properties.format-version: "v2" is no format version; give 1, 2 or 3"#,
        "tables.properties.uuid: is reserved",
        "tables.properties.current-snapshot-id: is reserved",
    ] {
        assert!(refusal(json).contains(part), "{part} in {}", refusal(json));
    }
    for version in ["1", "2", "3"] {
        let json = format!(r#"{{"tables": {{"properties": {{"format-version": "{version}"}}}}}}"#);
        Config::from_json(json.as_bytes()).expect("valid");
    }
}

#[test]
fn every_problem_is_reported_at_once() {
    let json = br#"{
        "catalog": {"uri": "mysql://x", "warehouse": "gs://b", "namespace": "a..b"},
        "tables": {"names": {"log": "l", "traces": "logs"}, "partition_by": ["day(When)"]},
        "parquet": {"compression_level": 40, "max_row_group_rows": 0}
    }"#;
    let message = refusal(json);
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
        let message = refusal(json.as_bytes());
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
    let message = refusal(json);
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
fn attribute_columns_are_keys_or_mappings_and_go_to_the_tables_that_are_named() {
    let json = br#"{"tables": {
        "attribute_columns": [
            "http.route", "user_agent.original",
            {"attribute": "tenant.id", "from": "resource", "column": "tenant", "type": "long", "tables": ["traces"]}
        ],
        "partition_by": ["day(Timestamp)", "identity(HttpRoute)"]
    }, "parquet": {"bloom_filter_columns": ["TraceId", "tenant"]}}"#;
    let config = Config::from_json(json).expect("valid");
    let of = |table| config.tables.attribute_columns.of(table);
    let column = |name: &str, attribute: &str, of, value_type| AttributeColumn {
        name: name.to_owned(),
        attribute: attribute.to_owned(),
        of,
        value_type,
    };
    let everywhere = [
        column(
            "HttpRoute",
            "http.route",
            AttributesOf::Record,
            AttributeType::String,
        ),
        column(
            "UserAgentOriginal",
            "user_agent.original",
            AttributesOf::Record,
            AttributeType::String,
        ),
    ];
    assert_eq!(of(Table::Summary), everywhere);
    assert_eq!(of(Table::Traces)[..2], everywhere);
    let tenant = column("tenant", "tenant.id", AttributesOf::Resource, AttributeType::Long);
    assert_eq!(of(Table::Traces)[2..], [tenant]);
    assert!(
        Config::default()
            .tables
            .attribute_columns
            .of(Table::Logs)
            .is_empty()
    );
}

#[test]
fn attribute_columns_that_cannot_be_are_all_named() {
    let json = br#"{"tables": {
        "attribute_columns": [
            "", "service.name", "a.b", {"attribute": "x", "column": "AB"}, {"attribute": "3d"},
            {"attribute": "y", "column": "_file"}, {"attribute": "z", "tables": []}, {"attribute": "q", "tables": ["spans"]},
            {"attribute": "status.code", "tables": ["logs"]}, {"attribute": "body", "tables": ["traces"]},
            {"attribute": "body", "column": "body", "tables": ["logs"]}
        ]
    }}"#;
    let message = refusal(json);
    let problems: Vec<&str> = message.split("; tables.").collect();
    let wanted = [
        "attribute_columns[0].attribute: must not be empty",
        "attribute_columns[1].column: table logs has a column ServiceName already; give another name for the attribute \
         \"service.name\"",
        "attribute_columns[3].column: table logs has a column AB already",
        "attribute_columns[4].column: \"3d\" is no name that every engine takes",
        "attribute_columns[5].column: \"_file\" is no name",
        "attribute_columns[6].tables: names no table",
        "attribute_columns[7].tables: there is no table \"spans\"; known are logs, traces,",
        "attribute_columns[10].column: table logs has a column Body already",
    ];
    for wanted in wanted {
        assert!(
            problems.iter().any(|problem| problem.contains(wanted)),
            "{wanted} in {message}"
        );
    }
    for (entry, part) in [
        (
            "7",
            "tables.attribute_columns[0]: invalid type: integer `7`, expected an attribute's key such as http.route",
        ),
        ("{}", "tables.attribute_columns[0]: missing field `attribute`"),
        (
            r#"{"attribute": "a", "from": "span"}"#,
            "tables.attribute_columns[0].from: unknown variant `span`",
        ),
    ] {
        let json = format!(r#"{{"tables": {{"attribute_columns": [{entry}]}}}}"#);
        let message = refusal(json.as_bytes());
        assert!(message.contains(part), "{part} in {message}");
    }
}

/// Nessie refuses a partition field without an id.
#[test]
fn partition_fields_have_the_ids_that_iceberg_assigns() {
    let json = br#"{"tables": {"partition_by": ["day(Timestamp)", "bucket(16, ServiceName)"]}}"#;
    let config = Config::from_json(json).expect("valid");
    let schema = iceberg_schema(Table::Logs, &[], ColumnCase::Pascal).expect("a schema");
    let spec = config.tables.partition_by.spec(Table::Logs, &schema);
    let spec = spec.expect("fits");
    let ids: Vec<_> = spec.fields().iter().map(|field| field.field_id).collect();
    assert_eq!(ids, [Some(1000), Some(1001)]);
}

#[test]
fn what_cannot_be_partitioned_by_is_told_at_once() {
    for (tables, part) in [
        (
            r#""attribute_columns": [{"attribute": "a", "tables": ["logs"]}], "partition_by": ["identity(A)"]"#,
            "tables.partition_by: table traces has no column \"A\"; the list is for all tables",
        ),
        (
            r#""attribute_columns": [{"attribute": "timestamp.day", "column": "timestamp_day"}, {"attribute": "a", "column": "Timestamp_day"}]"#,
            "table logs has a column timestamp_day already",
        ),
        (
            r#""attribute_columns": [{"attribute": "a", "column": "Timestamp_day"}]"#,
            "tables.partition_by: cannot partition by column \"Timestamp\" (table: logs)",
        ),
        (
            r#""attribute_columns": [{"attribute": "a", "type": "double"}], "partition_by": ["bucket(4, A)"]"#,
            "tables.partition_by: cannot partition by column \"A\" (table: logs)",
        ),
        (
            r#""column_case": "lower", "attribute_columns": [{"attribute": "a", "column": "timestamp_day"}]"#,
            "tables.partition_by: cannot partition by column \"Timestamp\" (table: logs)",
        ),
        (
            r#""column_case": "lower", "partition_by": ["identity(When)"]"#,
            "tables.partition_by: table logs has no column \"When\"; the list is for all tables",
        ),
        (
            r#""column_case": "upper""#,
            "tables.column_case: unknown variant `upper`, expected `pascal` or `lower`",
        ),
        (
            r#""partition_by": ["hour(ServiceName)"]"#,
            "tables.partition_by: cannot partition by column \"ServiceName\" (table: logs)",
        ),
    ] {
        let json = format!(r#"{{"tables": {{{tables}}}}}"#);
        let message = refusal(json.as_bytes());
        assert!(message.contains(part), "{part} in {message}");
    }
}

#[test]
fn bloom_filters_are_of_columns_that_can_have_some() {
    let message = |columns: &str| {
        let json = format!(
            r#"{{"parquet": {{"bloom_filter_columns": [{columns}]}},
                "tables": {{"attribute_columns": [{{"attribute": "cached", "type": "boolean"}}]}}}}"#
        );
        Config::from_json(json.as_bytes()).map_or_else(|error| error.to_string(), |_| String::new())
    };
    assert_eq!(
        message(r#""TraceId", "spanid", "Duration", "Value", "Timestamp", "ServiceName", "TraceFlags""#),
        ""
    );
    for column in ["Cached", "LogAttributes", "Events"] {
        let said = format!("parquet.bloom_filter_columns: \"{column}\" can have none");
        let message = message(&format!("\"{column}\""));
        assert!(message.contains(&said), "{said} in {message}");
    }
}

#[test]
fn what_is_no_object_is_refused() {
    for (json, part) in [
        ("[]", "must be a JSON object"),
        ("{", "is no JSON"),
        ("", "is no JSON"),
    ] {
        let message = refusal(json.as_bytes());
        assert!(message.contains(part), "{part} in {message}");
    }
}

#[test]
fn tables_in_s3_tables_have_names_of_its_kind_through_either_service() {
    let names = r#""tables": {"names": {"logs": "App-Logs"}}"#;
    for catalog in [
        r#""type": "s3tables", "warehouse": "arn:aws:s3tables:eu-west-1:123456789012:bucket/b""#,
        r#""type": "glue", "warehouse": "123456789012:s3tablescatalog/b""#,
    ] {
        let json = format!(r#"{{"catalog": {{{catalog}, "namespace": "aws"}}, {names}}}"#);
        let message = refusal(json.as_bytes());
        for part in [
            "catalog.namespace: \"aws\" cannot be a namespace in S3 Tables",
            "tables.names.logs: \"App-Logs\" cannot be a name in S3 Tables",
        ] {
            assert!(message.contains(part), "{part} in {message}");
        }
    }
    // Glue's default catalog has other rules.
    let json = format!(
        r#"{{"catalog": {{"type": "glue", "warehouse": "123456789012", "namespace": "aws"}}, {names}}}"#
    );
    Config::from_json(json.as_bytes()).expect("valid");
}
