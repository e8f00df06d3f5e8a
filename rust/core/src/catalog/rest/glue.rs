//! Locations of new tables in AWS Glue. Its REST endpoint does not assign any: a table without a location is
//! refused. In S3 Tables behind Glue the service chooses the location, and we give none.

use iceberg::TableIdent;
use reqwest::StatusCode;
use uuid::Uuid;

use super::super::http::{Failure, parse};
use super::super::location::unique_location;
use super::session::{Endpoint, Session};
use super::types::GetNamespaceResponse;
use super::{RestCatalog, about};
use crate::config::{CatalogConfig, CatalogType};
use crate::error::{Error, ErrorKind, Result};

/// Where new tables are created, if the catalog does not choose it.
#[derive(Debug)]
pub(super) struct Places {
    /// The location below which databases without their own location have one, without a slash at its end.
    default: Option<String>,
}

/// The location of a new table.
#[derive(Debug)]
pub(super) struct Place {
    /// The location of the table's database.
    pub(super) database: String,
    /// The location of the table.
    pub(super) table: String,
}

impl Places {
    /// `None` for a catalog that chooses the locations of tables.
    pub(super) fn new(config: &CatalogConfig) -> Option<Self> {
        if config.r#type != CatalogType::Glue || config.is_in_s3_tables() {
            return None;
        }
        let default = config.default_location.as_deref().map(cleaned);
        Some(Self { default })
    }
}

impl RestCatalog {
    /// The location at which to create the table, as Java's `GlueCatalog` has it: below the database's
    /// location, otherwise below `<catalog.default_location>/<database>.db`. `None` if the catalog chooses it.
    /// Creates a missing database.
    ///
    /// Unlike there, and like in Trino, each call gives another location: only a list of the bucket would tell
    /// whether a renamed table lies where the name leads to. The catalog keeps that of the first creation.
    ///
    /// # Errors
    /// `Catalog` when nothing says where the database's tables are.
    pub(super) async fn place(&self, session: &Session, ident: &TableIdent) -> Result<Option<Place>> {
        let Some(places) = &self.places else {
            return Ok(None);
        };
        let url = session.namespace_url(&ident.namespace)?;
        let request = self.request(session, Endpoint::LoadNamespace, url, None);
        let (exists, location) = match self.client.send(&request).await {
            Ok(answer) => (true, parse::<GetNamespaceResponse>(&request, &answer)?.location()),
            Err(Failure::Refused(StatusCode::NOT_FOUND, _)) => (false, None),
            Err(failure) => return Err(about(failure, ident)),
        };
        let below_default = |default: &String| format!("{default}/{}.db", ident.namespace);
        let database = location
            .map(|location| cleaned(&location))
            .or_else(|| places.default.as_ref().map(below_default))
            .ok_or_else(|| no_location(exists, ident))?;
        if !exists && session.offers(Endpoint::CreateNamespace) {
            self.create_namespace(session, ident, Some(&database)).await?;
        }
        let table = unique_location(&format!("{database}/{}", ident.name), Uuid::new_v4());
        Ok(Some(Place { database, table }))
    }
}

fn no_location(exists: bool, ident: &TableIdent) -> Error {
    let message = if exists {
        "the Glue database has no location, and Glue assigns none to its tables; give the database one (aws glue \
         update-database), or set catalog.default_location"
    } else {
        "the Glue database does not exist, and Glue assigns no location to its tables; create it with a location (aws \
         glue create-database), or set catalog.default_location"
    };
    Error::new(ErrorKind::Catalog, message)
        .with("database", ident.namespace.to_string())
        .with("table", ident.to_string())
}

/// The location without slashes at its end, and with the scheme that Glue accepts.
fn cleaned(location: &str) -> String {
    let location = location.trim_end_matches('/');
    match location.strip_prefix("s3a://") {
        Some(rest) => format!("s3://{rest}"),
        None => location.to_owned(),
    }
}
