use std::collections::BTreeSet;

use otlp2iceberg::Table;
use otlp2iceberg::config::{CatalogType, OnFailure};
use otlp2iceberg::schema::ColumnCase;

use super::*;

const ARN: &str = "arn:aws:s3tables:eu-west-1:111122223333:bucket/lake";

const DOCS: &str = include_str!("../../../docs/configuration.md");
const LAMBDA_DOCS: &str = include_str!("../../../docs/lambda.md");

fn read(variables: &[(&str, &str)]) -> Result<HostConfig> {
    HostConfig::from_variables(
        variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    )
}

fn problem(variables: &[(&str, &str)]) -> String {
    read(variables).expect_err("refused").to_string()
}

const REST: [(&str, &str); 2] = [
    ("OTLP2ICEBERG_CATALOG_TYPE", "rest"),
    ("OTLP2ICEBERG_CATALOG_URI", "https://catalog.example/api"),
];

fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&REST[..], more].concat()
}

/// The keys in the first column of the tables of `docs/configuration.md`.
fn documented() -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    let mut section = None;
    for line in DOCS.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            section = match title {
                "storage" => Some("storage.s3".to_owned()),
                "catalog" | "tables" | "parquet" | "commit" | "limits" | "dead_letter" => {
                    Some(title.to_owned())
                }
                _ => None,
            };
        }
        let (Some(section), Some(cells)) = (&section, line.strip_prefix("| `")) else {
            continue;
        };
        let first = cells.split('|').next().unwrap_or_default();
        let mut before = String::new();
        for name in first.split('`').step_by(2) {
            let name = match name.strip_prefix('.') {
                // `oauth2.client_id`, `.client_secret`
                Some(rest) => format!(
                    "{}.{rest}",
                    before.rsplit_once('.').map_or("", |(parent, _)| parent)
                ),
                None => name.to_owned(),
            };
            if !name.trim().is_empty() {
                keys.insert(format!("{section}.{name}"));
            }
            before = name;
        }
    }
    keys
}

#[test]
fn every_documented_key_has_a_variable_and_the_other_way_round() {
    let mut known: BTreeSet<String> = KEYS.iter().map(|key| key.path.to_owned()).collect();
    known.retain(|path| !path.starts_with("tables.names"));
    known.insert("tables.names.<table>".into());
    assert_eq!(known, documented());
}

#[test]
fn the_library_knows_every_key() {
    for key in KEYS {
        let text = match key.kind {
            keys::Kind::Bool => "true",
            keys::Kind::Integer => "7",
            keys::Kind::Map => "logs=a",
            _ => "word",
        };
        let problem =
            read(&with(&[(&key.variable(), text)])).map_or_else(|error| error.to_string(), |_| String::new());
        for words in ["unknown field", "no such key", "no such variable", "invalid type"] {
            assert!(!problem.contains(words), "{}: {problem}", key.path);
        }
    }
}

#[test]
fn values_of_every_kind_reach_the_library() {
    let config = read(&with(&[
        ("OTLP2ICEBERG_CATALOG_HEADERS", "x-a=1, x-b=c=d"),
        ("OTLP2ICEBERG_CATALOG_OAUTH2_CLIENT_ID", "id"),
        ("OTLP2ICEBERG_CATALOG_OAUTH2_CLIENT_SECRET", "4711"),
        ("OTLP2ICEBERG_CATALOG_OAUTH2_AUDIENCE", "https://lake.example"),
        ("OTLP2ICEBERG_STORAGE_S3_PATH_STYLE", "TRUE"),
        ("OTLP2ICEBERG_TABLES_NAMES", r#"{"logs": "a", "traces": "b"}"#),
        ("OTLP2ICEBERG_TABLES_NAMES_LOGS", "c"),
        ("OTLP2ICEBERG_TABLES_COLUMN_CASE", "lower"),
        (
            "OTLP2ICEBERG_TABLES_PARTITION_BY",
            r#"["day(Timestamp)", "bucket(4, ServiceName)"]"#,
        ),
        (
            "OTLP2ICEBERG_TABLES_ATTRIBUTE_COLUMNS",
            r#"["http.route", {"attribute": "tenant", "from": "resource", "type": "long", "tables": ["logs"]}]"#,
        ),
        ("OTLP2ICEBERG_PARQUET_BLOOM_FILTER_COLUMNS", "TraceId,SpanId"),
        ("OTLP2ICEBERG_COMMIT_INTERVAL", "2s"),
        ("OTLP2ICEBERG_LIMITS_PARTITIONS_MAX", "5"),
        ("OTLP2ICEBERG_AUTH_TOKEN", "t0ken"),
        ("OTLP2ICEBERG_CATALOG_NAMESPACE", ""),
        ("HOME", "/root"),
    ]))
    .expect("valid");
    let library = &config.library;
    assert_eq!(library.catalog.r#type, CatalogType::Rest);
    assert_eq!(library.catalog.headers["x-b"].expose(), "c=d");
    assert_eq!(
        library.catalog.oauth2.as_ref().map(|o| o.client_secret.expose()),
        Some("4711")
    );
    assert_eq!(
        library
            .catalog
            .oauth2
            .as_ref()
            .and_then(|o| o.audience.as_deref()),
        Some("https://lake.example")
    );
    assert_eq!(library.catalog.namespace, "otel");
    assert_eq!(library.storage.s3.path_style, Some(true));
    assert_eq!(library.tables.names["logs"], "c");
    assert_eq!(library.tables.names["traces"], "b");
    assert_eq!(library.tables.column_case, ColumnCase::Lower);
    let bloom_filters = library.parquet.bloom_filter_columns.as_deref().expect("given");
    assert_eq!(bloom_filters, ["TraceId", "SpanId"]);
    let columns = |table| {
        let columns = library.tables.attribute_columns.of(table);
        columns
            .iter()
            .map(|column| column.name.as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (columns(Table::Logs), columns(Table::Sum)),
        (vec!["HttpRoute", "Tenant"], vec!["HttpRoute"])
    );
    assert_eq!(library.commit.interval.as_secs(), 2);
    assert_eq!(library.limits.partitions_max, 5);
    assert_eq!(library.limits.payload_bytes_max, 128 << 20);
    assert_eq!(config.auth_token.as_ref().map(Secret::expose), Some("t0ken"));
    assert!(!format!("{config:?}").contains("t0ken"));
}

#[test]
fn keys_of_this_host_are_documented() {
    let rows = LAMBDA_DOCS
        .lines()
        .filter(|line| line.starts_with("| `OTLP2ICEBERG_"));
    let documented: BTreeSet<&str> = rows.filter_map(|line| line.split('`').nth(1)).collect();
    assert_eq!(documented, BTreeSet::from([AUTH_TOKEN, REGISTER_PARQUET]));
}

#[test]
fn parquet_files_are_registered_unless_that_is_switched_off() {
    for (given, expected) in [
        (None, true),
        (Some(""), true),
        (Some("true"), true),
        (Some("False "), false),
    ] {
        let more: Vec<(&str, &str)> = given.map(|value| (REGISTER_PARQUET, value)).into_iter().collect();
        let config = read(&with(&more)).expect("valid");
        assert_eq!(config.register_parquet, expected, "{given:?}");
    }
}

#[test]
fn every_problem_names_its_variable() {
    for (name, value, words) in [
        ("OTLP2ICEBERG_CATALOG_TIMEOUT", "10", "no duration"),
        ("OTLP2ICEBERG_CATALOG_VENDED_CREDENTIALS", "yes", "true or false"),
        ("OTLP2ICEBERG_LIMITS_PARTITIONS_MAX", "0", "at least 1"),
        ("OTLP2ICEBERG_LIMITS_PARTITIONS_MAX", "1k", "whole number"),
        ("OTLP2ICEBERG_CATALOG_HEADERS", "nothing", "a=1,b=2"),
        ("OTLP2ICEBERG_PARQUET_COMPRESSION", "gzip", "zstd"),
        (
            "OTLP2ICEBERG_STORAGE_S3_SECRET_ACCESS_KEY",
            "hush",
            "OTLP2ICEBERG_STORAGE_S3_ACCESS_KEY_ID",
        ),
        ("OTLP2ICEBERG_CATALOG_TYPO", "a", "no such variable"),
        ("ICEBERG_ENABLED", "false", "says something else"),
        ("OTLP2PARQUET_ICEBERG_ENABLED", "no", "true or false"),
        ("OTLP2ICEBERG_REGISTER_PARQUET", "no", "true or false"),
        ("OTLP2ICEBERG_AUTH_TOKEN", "", "remove it to ask for none"),
        ("OTLP2ICEBERG_AUTH_TOKEN", " \n", "remove it to ask for none"),
    ] {
        let problem = problem(&with(&[(name, value)]));
        assert!(problem.contains(name) && problem.contains(words), "{problem}");
        assert!(!problem.contains("hush"));
    }
    let problem = problem(&[
        ("OTLP2ICEBERG_CATALOG_TYPE", "rest"),
        ("OTLP2ICEBERG_COMMIT_MAX_RETRIES", "x"),
    ]);
    assert!(
        problem.contains("OTLP2ICEBERG_CATALOG_URI") && problem.contains("OTLP2ICEBERG_COMMIT_MAX_RETRIES")
    );
}

#[test]
fn a_catalog_that_is_down_is_accepted_where_receipts_can_be_found_again() {
    let on_failure = |variables: &[(&str, &str)]| read(variables).expect("valid").library.commit.on_failure;
    assert_eq!(on_failure(&REST), OnFailure::Accept);
    assert_eq!(
        on_failure(&with(&[("OTLP2ICEBERG_COMMIT_ON_FAILURE", "retry")])),
        OnFailure::Retry
    );
    let s3tables = ("OTLP2ICEBERG_CATALOG_TYPE", "s3tables");
    let bucket = (
        "OTLP2ICEBERG_CATALOG_WAREHOUSE",
        "arn:aws:s3tables:eu-west-1:111122223333:bucket/lake",
    );
    assert_eq!(on_failure(&[s3tables, bucket]), OnFailure::Retry);
    let problem = problem(&[s3tables, bucket, ("OTLP2ICEBERG_COMMIT_ON_FAILURE", "accept")]);
    assert!(problem.contains("OTLP2ICEBERG_COMMIT_ON_FAILURE"), "{problem}");
}

#[test]
fn without_a_catalog_nothing_is_written_to_the_functions_own_disk() {
    assert!(problem(&[]).contains("OTLP2ICEBERG_CATALOG_TYPE: is needed"));
}

#[test]
fn aliases_say_which_catalog_is_meant() {
    let config = read(&[
        ("OTLP2PARQUET_ICEBERG_BUCKET_ARN", ARN),
        ("OTLP2PARQUET_ICEBERG_NAMESPACE", "prod"),
        ("ICEBERG_ENABLED", "true"),
    ])
    .expect("valid");
    let catalog = &config.library.catalog;
    assert_eq!(catalog.r#type, CatalogType::S3Tables);
    assert_eq!(
        (catalog.warehouse.as_deref(), catalog.namespace.as_str()),
        (Some(ARN), "prod")
    );
    let glue = read(&[
        (
            "OTLP2PARQUET_ICEBERG_REST_URI",
            "https://glue.eu-west-1.amazonaws.com/iceberg",
        ),
        (
            "OTLP2PARQUET_ICEBERG_WAREHOUSE",
            "111122223333:s3tablescatalog/lake",
        ),
        ("AWS_REGION", "eu-west-1"),
    ]);
    assert_eq!(glue.expect("valid").library.catalog.r#type, CatalogType::Glue);
    let rest = read(&[("OTLP2PARQUET_ICEBERG_REST_URI", "https://catalog.example")]);
    assert_eq!(rest.expect("valid").library.catalog.r#type, CatalogType::Rest);
    let two = problem(&with(&[(
        "OTLP2PARQUET_ICEBERG_REST_URI",
        "https://other.example",
    )]));
    assert!(
        two.contains("OTLP2PARQUET_ICEBERG_REST_URI") && two.contains("OTLP2ICEBERG_CATALOG_URI"),
        "{two}"
    );
}

#[test]
fn keys_in_messages_become_variables() {
    assert_eq!(
        name_variables("storage.s3.region: set it, or catalog.uri. See catalog."),
        "OTLP2ICEBERG_STORAGE_S3_REGION: set it, or OTLP2ICEBERG_CATALOG_URI. See catalog."
    );
}

#[test]
fn without_a_catalog_files_are_all_there_is() {
    for name in ["ICEBERG_ENABLED", "OTLP2PARQUET_ICEBERG_ENABLED"] {
        let config = read(&[
            (name, "False"),
            ("OTLP2PARQUET_ICEBERG_WAREHOUSE", "s3://bucket/otel"),
        ])
        .expect("valid");
        let library = &config.library;
        assert_eq!(library.catalog.r#type, CatalogType::None);
        assert_eq!(library.catalog.warehouse.as_deref(), Some("s3://bucket/otel"));
        assert_eq!(library.commit.on_failure, OnFailure::Retry);
    }
    let contradiction = problem(&[
        ("ICEBERG_ENABLED", "false"),
        ("OTLP2PARQUET_ICEBERG_BUCKET_ARN", ARN),
    ]);
    assert!(
        contradiction.contains("OTLP2ICEBERG_CATALOG_WAREHOUSE"),
        "{contradiction}"
    );
}
