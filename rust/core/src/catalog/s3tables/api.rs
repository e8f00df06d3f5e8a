//! The requests of S3 Tables' own API that we use, each signed and sent once
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_S3_Tables.html>).

use bytes::Bytes;
use iceberg::{NamespaceIdent, TableIdent};
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use super::super::http::{Client, Failure, Request, encode, json, parse, url};
use crate::error::{Error, Result};

/// One table bucket.
#[derive(Debug)]
pub(super) struct Api {
    client: Client,
    /// The service's endpoint, without a slash at its end.
    uri: String,
    /// The bucket's ARN, encoded for a path.
    bucket: String,
}

/// The answer of `GetTableMetadataLocation`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Position {
    /// Changes with each change of the table. An update must name the token it is based on.
    pub(super) version_token: String,
    /// The newest metadata file. `None` for a table that was just created.
    pub(super) metadata_location: Option<String>,
    /// The location below which the table's files must be.
    pub(super) warehouse_location: String,
}

#[derive(Debug, Serialize)]
struct CreateNamespaceRequest<'a> {
    namespace: [&'a str; 1],
}

#[derive(Debug, Serialize)]
struct CreateTableRequest<'a> {
    name: &'a str,
    format: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct UpdateRequest<'a> {
    version_token: &'a str,
    metadata_location: &'a str,
}

/// The answer of `UpdateTableMetadataLocation`, reduced to the fields we need.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct UpdateResponse {
    version_token: String,
}

/// Why an update is not known to have succeeded.
#[derive(Debug)]
pub(super) enum UpdateFailure {
    /// The answer was not a success.
    Failed(Failure),
    /// The answer was a success that cannot be parsed.
    Unreadable(Error),
}

impl Api {
    pub(super) fn new(client: Client, uri: String, bucket_arn: &str) -> Self {
        Self {
            client,
            uri,
            bucket: encode(bucket_arn),
        }
    }

    /// `GetTableMetadataLocation`; `None` if there is no such table, namespace or bucket.
    pub(super) async fn position(&self, ident: &TableIdent) -> Result<Option<Position>> {
        let path = format!("{}/metadata-location", self.table_path(ident));
        let request = self.request(Method::GET, &path, None, "load the table")?;
        match self.client.send(&request).await {
            Ok(answer) => parse(&request, &answer).map(Some),
            Err(Failure::Refused(StatusCode::NOT_FOUND, _)) => Ok(None),
            Err(failure) => Err(failure.into_error()),
        }
    }

    /// `CreateNamespace`.
    pub(super) async fn create_namespace(&self, namespace: &NamespaceIdent) -> Result<(), Failure> {
        let name = name_of(namespace);
        let body = json(&CreateNamespaceRequest { namespace: [&name] });
        let path = format!("/namespaces/{}", self.bucket);
        self.put(&path, body, "make the namespace").await.map(drop)
    }

    /// `CreateTable`, without metadata.
    pub(super) async fn create_table(&self, ident: &TableIdent) -> Result<(), Failure> {
        let body = json(&CreateTableRequest {
            name: &ident.name,
            format: "ICEBERG",
        });
        let path = format!("/tables/{}/{}", self.bucket, encode(&name_of(&ident.namespace)));
        self.put(&path, body, "make the table").await.map(drop)
    }

    /// `UpdateTableMetadataLocation`: a compare-and-swap by the version token. Returns the next token.
    pub(super) async fn update(
        &self,
        ident: &TableIdent,
        version_token: &str,
        metadata_location: &str,
    ) -> Result<String, UpdateFailure> {
        let body = json(&UpdateRequest {
            version_token,
            metadata_location,
        });
        let path = format!("{}/metadata-location", self.table_path(ident));
        let (request, answer) = self
            .put(&path, body, "commit to the table")
            .await
            .map_err(UpdateFailure::Failed)?;
        let response: UpdateResponse = parse(&request, &answer).map_err(UpdateFailure::Unreadable)?;
        Ok(response.version_token)
    }

    async fn put(
        &self,
        path: &str,
        body: Result<Bytes>,
        purpose: &'static str,
    ) -> Result<(Request, Bytes), Failure> {
        let request = body
            .and_then(|body| self.request(Method::PUT, path, Some(body), purpose))
            .map_err(Failure::NotSent)?;
        let answer = self.client.send(&request).await?;
        Ok((request, answer))
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        purpose: &'static str,
    ) -> Result<Request> {
        Ok(Request {
            method,
            url: url(&format!("{}{path}", self.uri))?,
            body,
            idempotency: false,
            delegation: false,
            purpose,
        })
    }

    fn table_path(&self, ident: &TableIdent) -> String {
        format!(
            "/tables/{}/{}/{}",
            self.bucket,
            encode(&name_of(&ident.namespace)),
            encode(&ident.name)
        )
    }
}

/// A namespace has one level here. The configuration is checked for that.
fn name_of(namespace: &NamespaceIdent) -> String {
    namespace.as_ref().join(".")
}
