//! Creates tables and namespaces.

use iceberg::TableIdent;
use reqwest::StatusCode;

use super::answer::parse_table;
use super::session::{Endpoint, Session};
use super::types::{CreateNamespaceRequest, CreateTableRequest};
use super::{RestCatalog, about};
use crate::catalog::http::{Failure, json};
use crate::catalog::{LoadedTable, TableSpec};
use crate::error::{Error, ErrorKind, Result};

impl RestCatalog {
    /// Creates the table, and its namespace if it is missing. Returns the existing table if another writer
    /// creates it first.
    pub(super) async fn create(&self, ident: &TableIdent, spec: &TableSpec) -> Result<LoadedTable> {
        let session = self.session().await?;
        if !session.offers(Endpoint::CreateTable) {
            let message = "the catalog does not let tables be made; make it there first";
            return Err(Error::new(ErrorKind::Catalog, message).with("table", ident.to_string()));
        }
        let place = self.place(&session, ident).await?;
        let body = CreateTableRequest {
            name: &ident.name,
            location: place.as_ref().map(|place| place.table.as_str()),
            schema: &spec.schema,
            partition_spec: spec.partition_spec.clone().with_spec_id(0),
            write_order: &spec.sort_order,
            stage_create: false,
            properties: &spec.properties,
        };
        let url = session.tables_url(&ident.namespace)?;
        let request = self.request(&session, Endpoint::CreateTable, url, Some(json(&body)?));
        let mut answer = self.client.send(&request).await;
        if matches!(answer, Err(Failure::Refused(StatusCode::NOT_FOUND, _)))
            && session.offers(Endpoint::CreateNamespace)
        {
            let location = place.as_ref().map(|place| place.database.as_str());
            self.create_namespace(&session, ident, location).await?;
            answer = self.client.send(&request).await;
        }
        match answer {
            Ok(answer) => self.loaded(&session, ident, parse_table(&request, ident, &answer)?),
            Err(failure) if failure.may_be_done() => match self.find(ident).await {
                Ok(Some(table)) => Ok(table),
                Ok(None) | Err(_) => Err(about(failure, ident)),
            },
            Err(failure) => Err(about(failure, ident)),
        }
    }

    /// Creates the namespace, with a location if it is given, and its parents. Each may already exist, or be
    /// created concurrently.
    pub(super) async fn create_namespace(
        &self,
        session: &Session,
        ident: &TableIdent,
        location: Option<&str>,
    ) -> Result<()> {
        let levels = ident.namespace.as_ref();
        for depth in 1..=levels.len() {
            let namespace = levels.get(..depth).unwrap_or(levels);
            let location = location.filter(|_| depth == levels.len());
            let location = location.map(|location| ("location".to_owned(), location.to_owned()));
            let body = CreateNamespaceRequest {
                namespace,
                properties: location.into_iter().collect(),
            };
            let request = self.request(
                session,
                Endpoint::CreateNamespace,
                session.namespaces_url()?,
                Some(json(&body)?),
            );
            match self.client.send(&request).await {
                Ok(_) | Err(Failure::Refused(StatusCode::CONFLICT, _)) => {}
                // A catalog may forbid creating a parent and not need it.
                Err(Failure::Refused(..)) if depth < levels.len() => {}
                Err(failure) => return Err(about(failure, ident)),
            }
        }
        Ok(())
    }
}
