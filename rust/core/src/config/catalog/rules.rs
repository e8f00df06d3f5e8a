//! Rules between the keys of `catalog`.

use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderName;

use super::super::place::WANTED;
use super::super::secret::shown;
use super::super::{bucket, header, place};
use super::{CatalogConfig, CatalogType, S3TablesApi};

/// The greatest length of names in S3 Tables.
const S3TABLES_NAME_CHARS_MAX: usize = 255;

/// Every problem of the section.
pub(in crate::config) fn problems(catalog: &CatalogConfig) -> Vec<String> {
    let mut problems = match catalog.r#type {
        CatalogType::None => none(catalog),
        CatalogType::Sql => sql(catalog),
        CatalogType::Rest => rest(catalog),
        CatalogType::Glue => glue(catalog),
        CatalogType::S3Tables => s3tables(catalog),
    };
    if catalog.namespace.split('.').any(str::is_empty) {
        problems.push(format!(
            "catalog.namespace: {:?} has an empty level; give names separated by single dots, such as otel or prod.otel",
            catalog.namespace
        ));
    }
    if catalog.timeout < Duration::from_millis(1) {
        problems.push("catalog.timeout: must be above 0; it bounds one request to the catalog".into());
    }
    problems
}

fn none(catalog: &CatalogConfig) -> Vec<String> {
    let mut problems = Vec::new();
    file_warehouse(&mut problems, catalog);
    let no_catalog = "type none has no catalog";
    refuse(&mut problems, "uri", catalog.uri.is_some(), no_catalog);
    refuse(&mut problems, "name", catalog.name.is_some(), no_catalog);
    not_a_server(&mut problems, catalog, no_catalog);
    s3tables_api(&mut problems, catalog);
    not_glue(&mut problems, catalog);
    problems
}

/// The warehouse of a catalog that does not choose file locations itself.
fn file_warehouse(problems: &mut Vec<String>, catalog: &CatalogConfig) {
    let warehouse = catalog.local_warehouse();
    if warehouse.is_empty() {
        problems.push("catalog.warehouse: must not be empty; give a directory such as ./warehouse".into());
    } else if warehouse.starts_with("arn:") {
        problems.push(format!(
            "catalog.warehouse: {:?} is no place for files of ours; give {WANTED}",
            shown(warehouse)
        ));
    } else if let Some((scheme, _)) = warehouse.split_once("://")
        && !matches!(scheme, "file" | "s3" | "s3a")
    {
        problems.push(format!(
            "catalog.warehouse: scheme {scheme:?} is not supported; give {WANTED}"
        ));
    } else if let Some(problem) = bucket::problem(warehouse) {
        problems.push(format!(
            "catalog.warehouse: {:?} {problem}; give s3://<bucket>/<prefix>",
            shown(warehouse)
        ));
    } else if bucket::on_s3(warehouse).is_none()
        && let Err(problem) = place::local(warehouse)
    {
        problems.push(format!(
            "catalog.warehouse: {:?} {problem}; give {WANTED}",
            shown(warehouse)
        ));
    }
}

fn not_a_server(problems: &mut Vec<String>, catalog: &CatalogConfig, why: &str) {
    refuse(problems, "token", catalog.token.is_some(), why);
    refuse(problems, "oauth2", catalog.oauth2.is_some(), why);
    refuse(problems, "sigv4", catalog.sigv4.is_some(), why);
    refuse(problems, "headers", !catalog.headers.is_empty(), why);
    refuse(
        problems,
        "vended_credentials",
        catalog.vended_credentials.is_some(),
        why,
    );
}

fn sql(catalog: &CatalogConfig) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(uri) = &catalog.uri
        && !uri.starts_with("sqlite:")
    {
        // Only the scheme is shown: database URIs may have passwords in many places.
        let shown = scheme(uri).map_or_else(String::new, |scheme| format!("{scheme:?} "));
        problems.push(format!(
            "catalog.uri: {shown}is no SQLite URI; type sql takes sqlite://<path>, such as sqlite://./warehouse/catalog.db"
        ));
    }
    file_warehouse(&mut problems, catalog);
    if bucket::on_s3(catalog.local_warehouse()).is_some() && catalog.uri.is_none() {
        problems.push(
            "catalog.uri: is needed when the warehouse is on S3; say where the database file is, such as sqlite:///var/lib/otel/catalog.db"
                .into(),
        );
    }
    if catalog.sql_name().is_empty() {
        problems.push("catalog.name: must not be empty".into());
    }
    not_a_server(
        &mut problems,
        catalog,
        "there is no server to talk to in type sql",
    );
    s3tables_api(&mut problems, catalog);
    not_glue(&mut problems, catalog);
    problems
}

/// The scheme of a URI, if it is unambiguous.
fn scheme(uri: &str) -> Option<&str> {
    let (scheme, _) = uri.split_once(':')?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '-');
    (!scheme.is_empty() && scheme.chars().all(allowed)).then_some(scheme)
}

fn rest(catalog: &CatalogConfig) -> Vec<String> {
    let mut problems = Vec::new();
    match &catalog.uri {
        Some(uri) => http_url(&mut problems, "catalog.uri", uri),
        None => problems.push(
            "catalog.uri: type rest needs the catalog's base URI, such as https://host/api/catalog".into(),
        ),
    }
    if catalog.warehouse.as_deref() == Some("") {
        problems
            .push("catalog.warehouse: must not be empty; leave it out if the catalog has only one".into());
    }
    let ways: Vec<&str> = [
        ("token", catalog.token.is_some()),
        ("oauth2", catalog.oauth2.is_some()),
        ("sigv4", catalog.sigv4.is_some()),
    ]
    .into_iter()
    .filter_map(|(key, given)| given.then_some(key))
    .collect();
    if ways.len() > 1 {
        problems.push(format!("catalog: only one of {} can be used", ways.join(", ")));
    }
    if let Some(token) = &catalog.token {
        header::problem(&mut problems, "catalog.token", token.expose());
        if token.expose().is_empty() {
            problems.push("catalog.token: must not be empty".into());
        }
    }
    if let Some(oauth2) = &catalog.oauth2 {
        if oauth2.client_id.is_empty() {
            problems.push("catalog.oauth2.client_id: must not be empty".into());
        }
        if oauth2.client_secret.expose().is_empty() {
            problems.push("catalog.oauth2.client_secret: must not be empty".into());
        }
        if let Some(uri) = &oauth2.token_uri {
            http_url(&mut problems, "catalog.oauth2.token_uri", uri);
        }
    }
    if catalog
        .sigv4
        .as_ref()
        .is_some_and(|sigv4| sigv4.service.is_none())
    {
        problems.push(
            "catalog.sigv4.service: type rest needs the service's signing name, such as glue or execute-api"
                .into(),
        );
    }
    not_sql(&mut problems, catalog);
    headers(&mut problems, catalog, !ways.is_empty());
    s3tables_api(&mut problems, catalog);
    not_glue(&mut problems, catalog);
    problems
}

fn glue(catalog: &CatalogConfig) -> Vec<String> {
    let mut problems = aws(catalog);
    if catalog.warehouse.as_deref().is_none_or(str::is_empty) {
        problems.push("catalog.warehouse: type glue needs the catalog's id: an account id such as 123456789012, or <account>:s3tablescatalog/<bucket>".into());
    }
    default_location(&mut problems, catalog);
    s3tables_api(&mut problems, catalog);
    if catalog.is_in_s3_tables() {
        s3tables_namespace(&mut problems, catalog);
    }
    problems
}

fn default_location(problems: &mut Vec<String>, catalog: &CatalogConfig) {
    let Some(location) = &catalog.default_location else {
        return;
    };
    if catalog.is_in_s3_tables() {
        let why = "a table bucket chooses the locations of its tables";
        refuse(problems, "default_location", true, why);
        return;
    }
    let problem = match bucket::on_s3(location) {
        Some(_) => bucket::problem(location),
        None => Some("is no place on S3"),
    };
    if let Some(problem) = problem {
        problems.push(format!(
            "catalog.default_location: {:?} {problem}; give s3://<bucket>/<prefix>",
            shown(location)
        ));
    }
}

fn s3tables(catalog: &CatalogConfig) -> Vec<String> {
    let mut problems = aws(catalog);
    let warehouse = catalog.warehouse.as_deref().unwrap_or_default();
    if TableBucketArn::parse(warehouse).is_none() {
        problems.push(format!(
            "catalog.warehouse: {:?} is no table bucket's ARN; type s3tables needs arn:aws:s3tables:<region>:<account>:bucket/<name>",
            shown(warehouse)
        ));
    }
    not_glue(&mut problems, catalog);
    s3tables_namespace(&mut problems, catalog);
    if catalog.s3tables_api == Some(S3TablesApi::Native) {
        refuse(
            &mut problems,
            "vended_credentials",
            catalog.vended_credentials.is_some(),
            "S3 Tables' own API gives no credentials for storage; those of the AWS provider chain or of storage.s3 are used",
        );
    }
    problems
}

/// The rules of S3 Tables for a namespace.
fn s3tables_namespace(problems: &mut Vec<String>, catalog: &CatalogConfig) {
    let name = &catalog.namespace;
    if let Err(rule) = s3tables_name(name) {
        problems.push(format!("catalog.namespace: {name:?} {rule}"));
    } else if name.starts_with("aws") {
        problems.push(format!(
            "catalog.namespace: {name:?} cannot be a namespace in S3 Tables, which keeps names that begin with \"aws\" to \
             itself; give another one"
        ));
    }
}

/// Checks whether S3 Tables accepts the name for a table, and all but a few for a namespace.
///
/// # Errors
/// The rule for the name, worded to follow the name
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-tables-buckets-naming.html>).
pub(in crate::config) fn s3tables_name(name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    if begins && name.chars().all(allowed) && name.len() <= S3TABLES_NAME_CHARS_MAX {
        return Ok(());
    }
    Err(format!(
        "cannot be a name in S3 Tables; give 1 to {S3TABLES_NAME_CHARS_MAX} lower-case letters, digits and underscores that begin with a letter or digit"
    ))
}

/// The common rules of `glue` and `s3tables`.
fn aws(catalog: &CatalogConfig) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(uri) = &catalog.uri {
        http_url(&mut problems, "catalog.uri", uri);
    }
    let signed =
        "requests are signed with AWS credentials in types glue and s3tables; for another way use type rest";
    refuse(&mut problems, "token", catalog.token.is_some(), signed);
    refuse(&mut problems, "oauth2", catalog.oauth2.is_some(), signed);
    not_sql(&mut problems, catalog);
    headers(&mut problems, catalog, true);
    problems
}

fn not_sql(problems: &mut Vec<String>, catalog: &CatalogConfig) {
    refuse(
        problems,
        "name",
        catalog.name.is_some(),
        "it is the name inside a SQL catalog; a REST catalog has warehouse",
    );
}

fn s3tables_api(problems: &mut Vec<String>, catalog: &CatalogConfig) {
    let given = catalog.s3tables_api.is_some();
    refuse(problems, "s3tables_api", given, "it is for type s3tables only");
}

fn not_glue(problems: &mut Vec<String>, catalog: &CatalogConfig) {
    let given = catalog.default_location.is_some();
    refuse(problems, "default_location", given, "it is for type glue only");
}

fn headers(problems: &mut Vec<String>, catalog: &CatalogConfig, authorized: bool) {
    for (name, value) in &catalog.headers {
        let key = format!("catalog.headers.{name}");
        match HeaderName::from_bytes(name.as_bytes()) {
            Err(_) => problems.push(format!("{key}: is no header name")),
            Ok(header) if authorized && header == reqwest::header::AUTHORIZATION => {
                problems.push(format!(
                    "{key}: is set by token, oauth2 or sigv4; leave one of them out"
                ));
            }
            Ok(_) => {}
        }
        header::problem(problems, &key, value.expose());
    }
}

/// Checks a URL. The URL is not repeated: the problem may be a password in it.
fn http_url(problems: &mut Vec<String>, key: &str, text: &str) {
    let problem = match Url::parse(text) {
        Err(_) => "is no URL; give one such as https://host/path",
        Ok(url) if !matches!(url.scheme(), "http" | "https") => "must begin with https:// or http://",
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            "must hold no user or password; use token, oauth2 or headers"
        }
        Ok(url) if url.query().is_some() || url.fragment().is_some() => "must have no query and no fragment",
        Ok(_) => return,
    };
    problems.push(format!("{key}: {problem}"));
}

fn refuse(problems: &mut Vec<String>, key: &str, given: bool, reason: &str) {
    if given {
        problems.push(format!("catalog.{key}: has no meaning here: {reason}"));
    }
}

/// `arn:<partition>:s3tables:<region>:<account>:bucket/<name>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TableBucketArn<'a> {
    /// The region.
    pub(crate) region: &'a str,
}

impl<'a> TableBucketArn<'a> {
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        match parts.as_slice() {
            ["arn", partition, "s3tables", region, account, resource]
                if !partition.is_empty()
                    && !region.is_empty()
                    && !account.is_empty()
                    && resource
                        .strip_prefix("bucket/")
                        .is_some_and(|name| !name.is_empty()) =>
            {
                Some(Self { region })
            }
            _ => None,
        }
    }
}
