//! Locations of the warehouse, the database and tables.

use std::path::{Path, PathBuf};

use iceberg::TableIdent;
use uuid::Uuid;

use crate::config::{local_place, on_s3};
use crate::error::{Error, ErrorKind, Result};
use crate::storage::{self, Advice, create_folders};

/// Where new tables are created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Warehouse {
    /// In a local folder, by its absolute path.
    Local(PathBuf),
    /// Under an `s3://` or `s3a://` URL, without a slash at its end.
    S3(String),
}

impl Warehouse {
    /// Parses `catalog.warehouse`. A relative path is resolved against the current directory.
    ///
    /// # Errors
    /// `Config` naming the key when tables cannot be stored there.
    pub(super) fn new(warehouse: &str) -> Result<Self> {
        if on_s3(warehouse).is_some() {
            return Ok(Self::S3(warehouse.trim_end_matches('/').to_owned()));
        }
        warehouse_path(warehouse).map(Self::Local)
    }

    /// The prefix of table locations.
    fn url(&self) -> String {
        match self {
            Self::Local(path) => format!("file://{}", path.display()),
            Self::S3(url) => url.clone(),
        }
    }
}

/// Creates a local warehouse's folder if it is missing, and checks that it is writable.
///
/// # Errors
/// `Config` naming the key when that fails.
pub(super) fn prepare_warehouse(warehouse: &Warehouse) -> Result<()> {
    let Warehouse::Local(folder) = warehouse else {
        return Ok(());
    };
    prepare_folder(folder).map_err(|cause| {
        config_error(format!(
            "catalog.warehouse: cannot write to {}{}",
            folder.display(),
            Advice(cause.kind())
        ))
        .because(cause)
    })
}

fn prepare_folder(folder: &Path) -> std::io::Result<()> {
    create_folders(folder)?;
    let probe = folder.join(format!(".probe-{}.tmp", Uuid::new_v4().simple()));
    std::fs::write(&probe, b"")?;
    std::fs::remove_file(&probe)
}

fn warehouse_path(warehouse: &str) -> Result<PathBuf> {
    let path = local_place(warehouse).map_err(|problem| {
        config_error(format!(
            "catalog.warehouse: {warehouse:?} {problem}; write file:///<absolute path> or a plain path"
        ))
    })?;
    absolute_path(path, "catalog.warehouse")
}

/// The absolute path of the database file: from `uri`, otherwise `catalog.db` in a local warehouse.
pub(super) fn database_path(uri: Option<&str>, warehouse: &Warehouse) -> Result<PathBuf> {
    let uri = match (uri, warehouse) {
        (Some(uri), _) => uri,
        (None, Warehouse::Local(folder)) => return Ok(folder.join("catalog.db")),
        (None, Warehouse::S3(_)) => {
            return Err(config_error(
                "catalog.uri: is needed when the warehouse is on S3; say where the database file is, such as sqlite:///var/lib/otel/catalog.db",
            ));
        }
    };
    let path = uri
        .strip_prefix("sqlite://")
        .or_else(|| uri.strip_prefix("sqlite:"))
        .unwrap_or(uri);
    let (path, parameters) = path.split_once('?').unwrap_or((path, ""));
    // These are the modes that we open the database with anyway. Other tools need them in the same URI.
    if !matches!(parameters, "" | "mode=rwc" | "mode=rw") || path.is_empty() || path == ":memory:" {
        return Err(config_error(format!(
            "catalog.uri: {uri:?} names no database file; write sqlite://<path>, such as sqlite://./warehouse/catalog.db"
        )));
    }
    // SQLAlchemy, and so pyiceberg, writes an absolute path with four slashes.
    let path = match path.strip_prefix("//") {
        Some(rest) => format!("/{}", rest.trim_start_matches('/')),
        None => path.to_owned(),
    };
    absolute_path(&path, "catalog.uri")
}

fn absolute_path(path: &str, key: &str) -> Result<PathBuf> {
    if path.starts_with('~') {
        return Err(config_error(format!(
            "{key}: {path:?}: `~` is not expanded; write ${{env:HOME}}/…, or ./~… for a folder named so"
        )));
    }
    let absolute = storage::absolute_path(Path::new(path)).map_err(|cause| {
        config_error(format!(
            "{key}: {path:?} cannot be made absolute; give an absolute path"
        ))
        .because(cause)
    })?;
    if absolute.to_str().is_none() {
        return Err(config_error(format!(
            "{key}: {} is not UTF-8, which table metadata must be; choose another path",
            absolute.display()
        )));
    }
    Ok(absolute)
}

pub(super) fn config_error(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, message)
}

/// A new table's location, as in Java's `JdbcCatalog`: `<warehouse>/<namespace levels>/<table>`.
pub(super) fn table_location(warehouse: &Warehouse, ident: &TableIdent) -> String {
    let mut location = warehouse.url();
    let levels = ident.namespace.as_ref().iter().map(String::as_str);
    for part in levels.chain([ident.name.as_str()]) {
        if !location.ends_with('/') {
            location.push('/');
        }
        location.push_str(part);
    }
    location
}

/// A location of a table's own, beside the one that its name gives. A renamed table keeps its location, so two
/// tables can have the same name one after the other, and a clean-up of orphan files deletes what lies in a
/// table's location and is not the table's. Trino names unique locations in the same way.
pub(super) fn unique_location(location: &str, id: Uuid) -> String {
    format!("{location}-{}", id.simple())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn database_path_reads_the_ways_people_write_it() {
        let here = std::env::current_dir().expect("current directory");
        for (uri, expected) in [
            (None, PathBuf::from("/w/catalog.db")),
            (
                Some("sqlite://./warehouse/catalog.db"),
                here.join("warehouse/catalog.db"),
            ),
            (Some("sqlite:catalog.db"), here.join("catalog.db")),
            (Some("sqlite:///abs/c.db"), PathBuf::from("/abs/c.db")),
            (Some("sqlite:////abs/c.db"), PathBuf::from("/abs/c.db")),
            (Some("sqlite:///abs/c.db?mode=rwc"), PathBuf::from("/abs/c.db")),
        ] {
            assert_eq!(
                database_path(uri, &Warehouse::Local("/w".into())).expect("valid"),
                expected,
                "{uri:?}"
            );
        }
        for uri in ["sqlite://", "sqlite::memory:", "sqlite:///a.db?mode=ro"] {
            let error = database_path(Some(uri), &Warehouse::Local("/w".into())).expect_err("invalid");
            assert!(error.to_string().starts_with("catalog.uri:"), "{error}");
        }
    }

    #[test]
    fn warehouse_path_is_absolute() {
        let here = std::env::current_dir().expect("current directory");
        assert_eq!(
            warehouse_path("./warehouse").expect("valid"),
            here.join("warehouse")
        );
        assert_eq!(
            warehouse_path("./made/../warehouse").expect("valid"),
            here.join("warehouse")
        );
        for url in ["file:///data/w", "file:/data/w"] {
            assert_eq!(warehouse_path(url).expect("valid"), PathBuf::from("/data/w"));
        }
        let error = warehouse_path("~/w").expect_err("not expanded");
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(
            error.to_string().starts_with("catalog.warehouse:")
                && error
                    .to_string()
                    .contains("`~` is not expanded; write ${env:HOME}/…"),
            "{error}"
        );
        let error =
            database_path(Some("sqlite://~/c.db"), &Warehouse::Local("/w".into())).expect_err("not expanded");
        assert!(error.to_string().starts_with("catalog.uri:"), "{error}");
        assert_eq!(warehouse_path("./~w").expect("a name"), here.join("~w"));
        let error = warehouse_path("file://w").expect_err("relative URL");
        assert!(error.to_string().starts_with("catalog.warehouse:"), "{error}");
    }

    #[test]
    fn table_location_has_a_folder_per_namespace_level() {
        let ident = TableIdent::from_strs(["prod", "otel", "logs"]).expect("ident");
        for (warehouse, location) in [
            ("/w", "file:///w/prod/otel/logs"),
            ("s3://bucket", "s3://bucket/prod/otel/logs"),
            ("s3a://bucket/lake/", "s3a://bucket/lake/prod/otel/logs"),
        ] {
            let warehouse = Warehouse::new(warehouse).expect("valid");
            assert_eq!(table_location(&warehouse, &ident), location);
        }
    }
}
