//! The SQL: two tables in the layout of Iceberg's JDBC catalog, and the outcome of each statement.

use std::path::Path;
use std::time::Duration;

use sqlx::query::Query;
use sqlx::sqlite::{
    Sqlite, SqliteArguments, SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, Executor, Row, SqliteConnection};

use super::database_file::DatabaseFile;
use super::failure::{Failure, is_locked};

/// How long a statement waits for another process's write to end. A statement does not know the deadline of
/// the call: the committer retries until then.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait for one of our connections. It is longer than [`BUSY_TIMEOUT`], so that the latter's
/// error is reported.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(8);
/// `SQLite` has one writer at a time. The other connections read.
const CONNECTIONS_MAX: u32 = 4;

/// Schema V1 of Java's `JdbcUtil`. V0, which pyiceberg creates, lacks `iceberg_type`.
const CREATE_TABLES: &str = "CREATE TABLE IF NOT EXISTS iceberg_tables (
    catalog_name VARCHAR(255) NOT NULL,
    table_namespace VARCHAR(255) NOT NULL,
    table_name VARCHAR(255) NOT NULL,
    metadata_location VARCHAR(1000),
    previous_metadata_location VARCHAR(1000),
    iceberg_type VARCHAR(5),
    PRIMARY KEY (catalog_name, table_namespace, table_name)
)";
const CREATE_PROPERTIES: &str = "CREATE TABLE IF NOT EXISTS iceberg_namespace_properties (
    catalog_name VARCHAR(255) NOT NULL,
    namespace VARCHAR(255) NOT NULL,
    property_key VARCHAR(255) NOT NULL,
    property_value VARCHAR(1000) NOT NULL,
    PRIMARY KEY (catalog_name, namespace, property_key)
)";

/// How often, and at which interval, closing checks whether the write-ahead log is gone: 1 s at most.
const CLOSE_LOOKS: usize = 20;
const CLOSE_LOOK_WAIT: Duration = Duration::from_millis(50);

/// The catalog's database.
#[derive(Debug)]
pub(super) struct Database {
    pool: SqlitePool,
    place: DatabaseFile,
    catalog_name: String,
    /// Whether `iceberg_tables` has the column `iceberg_type`.
    has_type: bool,
}

/// A table's row.
#[derive(Debug)]
pub(super) struct TableRow {
    /// Null in a row that another tool left incomplete.
    pub(super) metadata_location: Option<String>,
    /// Whether it is a table, not a view.
    pub(super) is_table: bool,
}

/// A table's key: its namespace levels joined by dots, and its name.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) namespace: String,
    pub(super) table: String,
}

/// A table that is not the one that was asked about.
#[derive(Debug)]
pub(super) struct OtherTable {
    /// Namespace and name; with another catalog's name before them, if it belongs to one.
    pub(super) name: String,
    pub(super) is_of_this_catalog: bool,
}

impl Database {
    /// Opens the file, which is created if missing, and creates the missing ones of the two tables. A
    /// database of another tool is used as it is.
    pub(super) async fn open(path: &Path, catalog_name: String) -> Result<Self, Failure> {
        Self::connect(path, catalog_name)
            .await
            .map_err(|cause| failure(path, cause))
    }

    async fn connect(path: &Path, catalog_name: String) -> sqlx::Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(BUSY_TIMEOUT)
            .synchronous(SqliteSynchronous::Full)
            // A statement that waits for another writer ends in success or in an error that reports the wait,
            // so logging its SQL adds nothing.
            .disable_statement_logging();
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // The identity of a file cannot be reused while the file is open, and `DatabaseFile` relies on
            // that.
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options.clone().create_if_missing(true))
            .await?;
        // A later connection must not create a new, empty database.
        pool.set_connect_options(options.create_if_missing(false));
        use_write_ahead_log(&pool).await;
        pool.execute(CREATE_TABLES).await?;
        pool.execute(CREATE_PROPERTIES).await?;
        let has_type =
            sqlx::query("SELECT 1 FROM pragma_table_info('iceberg_tables') WHERE name = 'iceberg_type'")
                .fetch_optional(&pool)
                .await?
                .is_some();
        Ok(Self {
            pool,
            place: DatabaseFile::of(path)?,
            catalog_name,
            has_type,
        })
    }

    /// Moves the write-ahead log into the database file, and closes the connections.
    pub(super) async fn close(&self) {
        if self.pool.is_closed() || !self.place.is_kept().await {
            return self.pool.close().await;
        }
        if let Err(cause) = self.pool.execute("PRAGMA wal_checkpoint(TRUNCATE)").await {
            // The log is not lost: the next process that opens the database reads it.
            tracing::warn!(%cause, "the catalog's database keeps its write-ahead log");
        }
        let options = self.pool.connect_options();
        self.pool.close().await;
        self.remove_log(&options).await;
    }

    /// `SQLite` deletes the log when the last connection closes. The pool's connections close at the same
    /// time on their own threads, and each may take another one for the last. So one more connection is
    /// opened and closed. The log stays if another process has the database open.
    async fn remove_log(&self, options: &SqliteConnectOptions) {
        let mut log = self.place.path().as_os_str().to_owned();
        log.push("-wal");
        for _ in 0..CLOSE_LOOKS {
            if !tokio::fs::try_exists(&log).await.unwrap_or(false) {
                return;
            }
            if let Ok(mut connection) = SqliteConnection::connect_with(options).await {
                // Only a connection that has read the database takes part in its log.
                let _ = connection.execute("SELECT 1 FROM iceberg_tables LIMIT 1").await;
                let _ = connection.close().await;
            }
            tokio::time::sleep(CLOSE_LOOK_WAIT).await;
        }
    }

    /// The table's row, or `None` if there is no such table.
    pub(super) async fn table(&self, key: &Key) -> Result<Option<TableRow>, Failure> {
        self.check_place(false).await?;
        let iceberg_type = if self.has_type { "iceberg_type" } else { "NULL" };
        let sql = format!(
            "SELECT metadata_location, {iceberg_type} FROM iceberg_tables
             WHERE catalog_name = ? AND table_namespace = ? AND table_name = ?"
        );
        let row = sqlx::query(&sql)
            .bind(&self.catalog_name)
            .bind(&key.namespace)
            .bind(&key.table)
            .fetch_optional(&self.pool)
            .await
            .map_err(|cause| failure(self.place.path(), cause))?;
        row.map(|row| {
            let iceberg_type: Option<String> = row.try_get(1)?;
            Ok(TableRow {
                metadata_location: row.try_get(0)?,
                is_table: iceberg_type.is_none_or(|name| name == "TABLE"),
            })
        })
        .transpose()
        .map_err(Failure::Sql)
    }

    /// Another table than `key` with its metadata file below this folder, whatever the name of its catalog.
    pub(super) async fn other_table_below(
        &self,
        key: &Key,
        folder: &str,
    ) -> Result<Option<OtherTable>, Failure> {
        self.check_place(false).await?;
        let below = format!("{folder}/");
        let row = sqlx::query(
            "SELECT catalog_name, table_namespace, table_name FROM iceberg_tables
             WHERE substr(metadata_location, 1, length(?)) = ?
               AND NOT (catalog_name = ? AND table_namespace = ? AND table_name = ?)
             LIMIT 1",
        )
        .bind(&below)
        .bind(&below)
        .bind(&self.catalog_name)
        .bind(&key.namespace)
        .bind(&key.table)
        .fetch_optional(&self.pool)
        .await
        .map_err(|cause| failure(self.place.path(), cause))?;
        row.map(|row| {
            let (catalog, namespace): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let table: String = row.try_get(2)?;
            let is_of_this_catalog = catalog == self.catalog_name;
            let name = if is_of_this_catalog {
                format!("{namespace}.{table}")
            } else {
                format!("{catalog}.{namespace}.{table}")
            };
            Ok(OtherTable {
                name,
                is_of_this_catalog,
            })
        })
        .transpose()
        .map_err(Failure::Sql)
    }

    /// Marks a namespace as existing, the way Java and pyiceberg do. Does nothing if it is already marked.
    pub(super) async fn insert_namespace(&self, namespace: &str) -> Result<(), Failure> {
        let insert = sqlx::query(
            "INSERT INTO iceberg_namespace_properties (catalog_name, namespace, property_key, property_value)
             VALUES (?, ?, 'exists', 'true') ON CONFLICT DO NOTHING",
        );
        self.change(insert.bind(&self.catalog_name).bind(namespace))
            .await?;
        Ok(())
    }

    /// Adds a table. Returns false if a table of that name exists, which is left unchanged.
    pub(super) async fn insert_table(&self, key: &Key, metadata_location: &str) -> Result<bool, Failure> {
        let (column, value) = if self.has_type {
            (", iceberg_type", ", 'TABLE'")
        } else {
            ("", "")
        };
        let sql = format!(
            "INSERT INTO iceberg_tables (catalog_name, table_namespace, table_name, metadata_location{column})
             VALUES (?, ?, ?, ?{value}) ON CONFLICT DO NOTHING"
        );
        let insert = sqlx::query(&sql)
            .bind(&self.catalog_name)
            .bind(&key.namespace)
            .bind(&key.table)
            .bind(metadata_location);
        Ok(self.change(insert).await? == 1)
    }

    /// Swaps a table's metadata location. Returns false if the current one is not `from`.
    pub(super) async fn swap_metadata(&self, key: &Key, from: &str, to: &str) -> Result<bool, Failure> {
        let update = sqlx::query(
            "UPDATE iceberg_tables SET metadata_location = ?, previous_metadata_location = ?
             WHERE catalog_name = ? AND table_namespace = ? AND table_name = ? AND metadata_location = ?",
        )
        .bind(to)
        .bind(from)
        .bind(&self.catalog_name)
        .bind(&key.namespace)
        .bind(&key.table)
        .bind(from);
        Ok(self.change(update).await? == 1)
    }

    /// Runs one changing statement outside a transaction and returns the number of changed rows. On success,
    /// `SQLite` has committed and synced the change. On an error, [`Failure::surely_undone`] knows whether
    /// anything was changed.
    async fn change<'a>(&self, statement: Query<'a, Sqlite, SqliteArguments<'a>>) -> Result<u64, Failure> {
        self.check_place(false).await?;
        let done = statement
            .execute(&self.pool)
            .await
            .map_err(|cause| failure(self.place.path(), cause))?;
        // A change in a file that was removed or replaced must not be acknowledged, since it will never be
        // read.
        self.check_place(true).await?;
        Ok(done.rows_affected())
    }

    /// Returns an error if the database file was removed or replaced since it was opened.
    pub(super) async fn check_place(&self, sent: bool) -> Result<(), Failure> {
        if self.place.is_kept().await {
            return Ok(());
        }
        Err(Failure::Moved {
            path: self.place.path().to_owned(),
            sent,
        })
    }
}

fn failure(path: &Path, cause: sqlx::Error) -> Failure {
    if is_locked(&cause) {
        let path = path.to_owned();
        return Failure::Busy { path, cause };
    }
    Failure::Sql(cause)
}

/// Lets readers continue while a commit is written. If this mode is not available (another process uses the
/// database, or the file system has no shared memory), the old journal is as safe, only slower.
async fn use_write_ahead_log(pool: &SqlitePool) {
    if let Err(cause) = pool.execute("PRAGMA journal_mode = WAL").await {
        tracing::debug!(%cause, "the catalog's database keeps its journal mode");
    }
}
