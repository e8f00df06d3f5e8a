//! The storage of tables: connections, and the properties and credentials that the catalog gives for them.

use std::collections::HashMap;
use std::sync::{PoisonError, Weak};

use iceberg::TableIdent;
use iceberg::io::FileIO;

use super::types::LoadTableResult;
use super::vended::{self, Vended};
use super::{RestCatalog, about};
use crate::error::{Result, RetryClass};

/// A `FileIO` and the catalog properties it was made from.
pub(super) struct KeptFileIo {
    /// The table's location, which credentials may be limited to. A table may be dropped and created again
    /// elsewhere.
    location: String,
    /// Whether it requests credentials from the catalog itself.
    renews: bool,
    /// The properties without credentials, which some catalogs renew with each load.
    properties: HashMap<String, String>,
    file_io: FileIO,
}

/// Without the properties, which hold secrets.
impl std::fmt::Debug for KeptFileIo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeptFileIo").finish_non_exhaustive()
    }
}

impl RestCatalog {
    /// The table's storage. The cached one is used if the catalog's properties are the same, apart from
    /// credentials: it renews its credentials itself, or uses those of the configuration, and new connections
    /// are expensive.
    pub(super) fn file_io(
        &self,
        ident: &TableIdent,
        location: &str,
        properties: HashMap<String, String>,
    ) -> Result<FileIO> {
        let renews = vended::has_credentials(&properties) && !self.stores.has_credentials();
        let lasting = vended::without_credentials(&properties);
        let mut kept = self.file_ios.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = kept.get(ident)
            && kept.location == location
            && kept.renews == renews
            && kept.properties == lasting
        {
            return Ok(kept.file_io.clone());
        }
        let mut file_io = self
            .stores
            .file_io(location, &properties)
            // Not permanent, unlike a configuration error: the catalog can be repaired.
            .map_err(|error| {
                error
                    .with("table", ident.to_string())
                    .class(RetryClass::Retry { after: None })
            })?;
        if renews {
            let vended = Vended { file_io, properties };
            file_io = vended::renewing(Weak::clone(&self.this), ident.clone(), vended);
        }
        kept.insert(
            ident.clone(),
            KeptFileIo {
                location: location.to_owned(),
                renews,
                properties: lasting,
                file_io: file_io.clone(),
            },
        );
        Ok(file_io)
    }

    /// The storage with the catalog's current credentials.
    pub(super) async fn storage_of(&self, ident: &TableIdent) -> Result<Vended> {
        let (session, result) = self.look_up(ident).await?;
        let mut result = result.map_err(|failure| about(failure, ident))?;
        let said_to_all = if vended::has_credentials(&session.properties) {
            // The credentials came with the catalog's configuration, so new ones come with a new
            // configuration.
            self.new_session().await?.properties
        } else {
            session.properties.clone()
        };
        let properties = self.storage_properties(said_to_all, &mut result);
        let file_io = self.stores.file_io(result.metadata.location(), &properties)?;
        Ok(Vended { file_io, properties })
    }

    /// The catalog's storage properties for a table: those for all tables, those for this table, and the
    /// credentials whose prefix fits its location best.
    pub(super) fn storage_properties(
        &self,
        said_to_all: HashMap<String, String>,
        result: &mut LoadTableResult,
    ) -> HashMap<String, String> {
        let location = result.metadata.location();
        let mut properties = said_to_all;
        properties.extend(result.config.take().unwrap_or_default());
        let credentials = result.storage_credentials.take().unwrap_or_default();
        match vended::fitting(credentials, location) {
            Ok(credential) => properties.extend(credential.into_iter().flat_map(|fitting| fitting.config)),
            Err(prefixes) => self.tell_of_unfit(&prefixes, location, &properties),
        }
        if let Some(region) = &self.region
            && !properties.contains_key("s3.region")
        {
            let region = region.clone();
            properties.entry("client.region".to_owned()).or_insert(region);
        }
        properties
    }

    /// Logs a warning once per table, because tables are loaded often, and only if no keys are set otherwise.
    fn tell_of_unfit(&self, prefixes: &[String], location: &str, properties: &HashMap<String, String>) {
        if self.stores.has_credentials() || properties.contains_key(vended::KEY_ID) {
            return;
        }
        let mut warned = self
            .without_credentials
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if warned.insert(location.to_owned()) {
            tracing::warn!(
                %location,
                prefixes = prefixes.join(" "),
                "the storage credentials that the catalog gave are for other places than the table's, and are not used; fix the \
                 catalog, or set storage.s3.access_key_id and storage.s3.secret_access_key"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::aws::Aws;
    use crate::config::Config;
    use crate::storage::Stores;

    #[tokio::test]
    async fn credentials_for_other_places_are_warned_of_where_no_keys_are_given_in_another_way() {
        let keys = r#", "storage": {"s3": {"access_key_id": "AKID", "secret_access_key": "hush"}}"#;
        let nothing = HashMap::from([("s3.region".to_owned(), "eu-west-1".to_owned())]);
        let given = HashMap::from([(vended::KEY_ID.to_owned(), "AKID".to_owned())]);
        for (storage, properties, warned) in [
            ("", &nothing, true),
            ("", &given, false),
            (keys, &nothing, false),
            (keys, &given, false),
        ] {
            let json = format!(r#"{{"catalog": {{"type": "rest", "uri": "https://h"}}{storage}}}"#);
            let config = Config::from_json(json.as_bytes()).expect("valid");
            let stores = Stores::new(config.storage, Arc::new(Aws::new(None)));
            let catalog = RestCatalog::open(&config.catalog, stores).await.expect("opens");
            catalog.tell_of_unfit(&["s3://other/".to_owned()], "s3://b/t", properties);
            let tables = catalog.without_credentials.lock().expect("lock");
            assert_eq!(tables.contains("s3://b/t"), warned, "{storage} {properties:?}");
        }
    }
}
