//! `catalog`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::duration;
use super::secret::{Secret, section, text_of_file};

pub(super) mod rules;

/// `catalog`. The configuration's checks verify which keys a type accepts; see `docs/configuration.md`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CatalogConfig {
    /// The kind of catalog. Default `sql`.
    pub r#type: CatalogType,
    /// `sql`: `sqlite://<path>`, by default `catalog.db` inside a local warehouse. `rest`: the base URI.
    /// `glue`, `s3tables`: an endpoint other than the region's.
    pub uri: Option<String>,
    /// `sql`, `none`: a directory or a URL, by default `./warehouse`. `rest`: the warehouse's name in the
    /// catalog, if the catalog has several. `glue`: an account id or `<account>:s3tablescatalog/<bucket>`.
    /// `s3tables`: the table bucket's ARN.
    pub warehouse: Option<String>,
    /// `glue`: where tables are created whose database has no location. Not in S3 Tables.
    pub default_location: Option<String>,
    /// Namespace, levels separated by dots. Default `otel`.
    pub namespace: String,
    /// `sql`: the catalog's name inside the database. Default `default`.
    pub name: Option<String>,
    /// `rest`: a bearer token.
    pub token: Option<Secret>,
    /// `rest`: OAuth2 client credentials.
    #[serde(deserialize_with = "section")]
    pub oauth2: Option<OAuth2Config>,
    /// Signing of requests; implied for `glue` and `s3tables`.
    pub sigv4: Option<SigV4Config>,
    /// `s3tables`: the API to use. Default `rest`.
    pub s3tables_api: Option<S3TablesApi>,
    /// Headers sent with every request to the catalog.
    #[serde(deserialize_with = "section")]
    pub headers: BTreeMap<String, Secret>,
    /// Whether the catalog is asked for storage credentials. Default true, except for `sql`.
    pub vended_credentials: Option<bool>,
    /// Timeout of one request to the catalog. Default 30 s.
    #[serde(deserialize_with = "duration::deserialize")]
    pub timeout: Duration,
}

impl Default for CatalogConfig {
    fn default() -> Self {
        Self {
            r#type: CatalogType::Sql,
            uri: None,
            warehouse: None,
            default_location: None,
            namespace: "otel".into(),
            name: None,
            token: None,
            oauth2: None,
            sigv4: None,
            s3tables_api: None,
            headers: BTreeMap::new(),
            vended_credentials: None,
            timeout: Duration::from_secs(30),
        }
    }
}

/// `catalog.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CatalogType {
    /// No catalog: Parquet files in folders.
    None,
    /// `SQLite`, in the table layout of Iceberg's JDBC catalog.
    Sql,
    /// Any catalog with Iceberg's REST protocol.
    Rest,
    /// AWS Glue's Iceberg REST endpoint.
    Glue,
    /// Amazon S3 Tables' Iceberg REST endpoint.
    S3Tables,
}

impl CatalogType {
    /// The word in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            CatalogType::None => "none",
            CatalogType::Sql => "sql",
            CatalogType::Rest => "rest",
            CatalogType::Glue => "glue",
            CatalogType::S3Tables => "s3tables",
        }
    }
}

/// `catalog.oauth2`: the client credentials flow of RFC 6749, section 4.4.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OAuth2Config {
    /// The client's id.
    #[serde(deserialize_with = "text_of_file")]
    pub client_id: String,
    /// The client's secret.
    pub client_secret: Secret,
    /// The token endpoint. Default: `<catalog.uri>/v1/oauth/tokens`.
    pub token_uri: Option<String>,
    /// The requested scope. Default `catalog`.
    pub scope: Option<String>,
    /// `audience`, which identity providers such as Auth0 need. Not sent by default.
    pub audience: Option<String>,
    /// `resource` of RFC 8707. Not sent by default.
    pub resource: Option<String>,
}

/// `catalog.sigv4`: AWS Signature Version 4, with credentials from the AWS provider chain.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SigV4Config {
    /// The region. Default: the one in an S3 Tables ARN, else `AWS_REGION`.
    pub region: Option<String>,
    /// The service's signing name. Default: `glue` or `s3tables` by type.
    pub service: Option<String>,
}

/// `catalog.s3tables_api`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum S3TablesApi {
    /// The Iceberg REST endpoint.
    Rest,
    /// The service's own API.
    Native,
}

impl CatalogConfig {
    /// `warehouse` of a SQL catalog, or without a catalog.
    #[must_use]
    pub fn local_warehouse(&self) -> &str {
        self.warehouse.as_deref().unwrap_or("./warehouse")
    }

    /// Whether the tables are in an S3 table bucket, directly or through Glue.
    #[must_use]
    pub fn is_in_s3_tables(&self) -> bool {
        match self.r#type {
            CatalogType::S3Tables => true,
            CatalogType::Glue => self
                .warehouse
                .as_deref()
                // The account may be left out.
                .and_then(|warehouse| warehouse.rsplit(':').next())
                .is_some_and(|catalog| catalog.starts_with("s3tablescatalog/")),
            CatalogType::None | CatalogType::Sql | CatalogType::Rest => false,
        }
    }

    /// `name` of a SQL catalog.
    #[must_use]
    pub(crate) fn sql_name(&self) -> &str {
        self.name.as_deref().unwrap_or("default")
    }
}
