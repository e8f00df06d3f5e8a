//! The variable names of otlp2parquet, which its users have in their templates.

use super::Given;
use super::keys::KEYS;

const BUCKET_ARN: &str = "OTLP2PARQUET_ICEBERG_BUCKET_ARN";
const REST_URI: &str = "OTLP2PARQUET_ICEBERG_REST_URI";
const WAREHOUSE: &str = "OTLP2PARQUET_ICEBERG_WAREHOUSE";
const NAMESPACE: &str = "OTLP2PARQUET_ICEBERG_NAMESPACE";
/// The second is the name that users may expect from the other names.
const ENABLED: [&str; 2] = ["ICEBERG_ENABLED", "OTLP2PARQUET_ICEBERG_ENABLED"];

pub(super) fn is_alias(name: &str) -> bool {
    matches!(name, BUCKET_ARN | REST_URI | WAREHOUSE | NAMESPACE) || ENABLED.contains(&name)
}

/// Adds the values of the aliases. A conflict with one of our own variables is a problem.
pub(super) fn apply(aliases: &[(String, String)], given: &mut Vec<Given>, problems: &mut Vec<String>) {
    let value = |name: &str| {
        aliases
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.trim())
    };
    let mut without_catalog = None;
    for name in ENABLED {
        match value(name).map(str::to_ascii_lowercase).as_deref() {
            None | Some("true") => {}
            Some("false") => without_catalog = Some(name),
            Some(_) => problems.push(format!("{name}: must be true or false")),
        }
    }
    let mut set = |path: &str, alias: &str, text: &str| {
        let there = given.iter().find(|given| given.key.path == path);
        match (there, KEYS.iter().find(|key| key.path == path)) {
            (None, Some(key)) => given.push(Given::new(key, alias, text, problems)),
            (Some(there), _) if there.value != text => problems.push(format!(
                "{alias}: says something else than {}; keep one of the two",
                there.variable
            )),
            _ => {}
        }
    };
    if let Some(enabled) = without_catalog {
        set("catalog.type", enabled, "none");
    }
    if let Some(arn) = value(BUCKET_ARN) {
        set("catalog.warehouse", BUCKET_ARN, arn);
    }
    if let Some(warehouse) = value(WAREHOUSE) {
        set("catalog.warehouse", WAREHOUSE, warehouse);
    }
    if let Some(uri) = value(REST_URI) {
        set("catalog.uri", REST_URI, uri);
    }
    if let Some(namespace) = value(NAMESPACE) {
        set("catalog.namespace", NAMESPACE, namespace);
    }
    if given.iter().any(|given| given.key.path == "catalog.type") {
        return;
    }
    let told = [BUCKET_ARN, WAREHOUSE, REST_URI]
        .into_iter()
        .find_map(|alias| Some((alias, value(alias)?)));
    if let (Some((alias, _)), Some(key)) = (told, KEYS.iter().find(|key| key.path == "catalog.type")) {
        let kind = kind_of(value(BUCKET_ARN).or(value(WAREHOUSE)), value(REST_URI));
        given.push(Given::new(key, alias, kind, problems));
    }
}

/// The kind of catalog that a warehouse and an address belong to.
fn kind_of(warehouse: Option<&str>, uri: Option<&str>) -> &'static str {
    let is_arn =
        warehouse.is_some_and(|warehouse| warehouse.starts_with("arn:") && warehouse.contains(":s3tables:"));
    let host = |service: &str| uri.is_some_and(|uri| uri.contains(&format!("://{service}.")));
    if is_arn || host("s3tables") {
        "s3tables"
    } else if host("glue") {
        "glue"
    } else {
        "rest"
    }
}
