//! The SQL: two tables in the layout of Iceberg's JDBC catalog, and what each statement's end means.

use std::path::Path;
use std::time::Duration;

use sqlx::query::Query;
use sqlx::sqlite::{
    Sqlite, SqliteArguments, SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, Executor, Row, SqliteConnection};

use super::database_file::DatabaseFile;
use super::failure::{Failure, is_locked};

/// How long a statement waits for another process's write to end. A call has its own time, which a
/// statement does not know: the committer tries again as long as that lasts.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait for a connection of ours; above [`BUSY_TIMEOUT`], so that its error is seen.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(8);
/// `SQLite` has one writer at a time; the others read.
const CONNECTIONS_MAX: u32 = 4;

/// Schema V1 of Java's `JdbcUtil`; V0, which pyiceberg makes, lacks `iceberg_type`.
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

/// How often, and how long apart, closing looks whether the write-ahead log is gone: 1 s at most.
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
    /// Null in a row that another tool left half made.
    pub(super) metadata_location: Option<String>,
    /// Whether it is a table, not a view.
    pub(super) is_table: bool,
}

/// A table's key: namespace levels joined by dots, and name.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) namespace: String,
    pub(super) table: String,
}

impl Database {
    /// Opens the file, made if missing, and makes the two tables that are missing. A database of
    /// another tool is used as it is.
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
            // A statement that waits for another writer ends in an error that says so, or well. Its SQL tells nobody more.
            .disable_statement_logging();
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // An open file keeps its identity, which `DatabaseFile` goes by.
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options.clone().create_if_missing(true))
            .await?;
        // A connection made later must not make a new, empty database.
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

    /// Moves everything from the write-ahead log into the database file, and closes the connections.
    pub(super) async fn close(&self) {
        if self.pool.is_closed() || !self.place.is_kept().await {
            return self.pool.close().await;
        }
        if let Err(cause) = self.pool.execute("PRAGMA wal_checkpoint(TRUNCATE)").await {
            // It is not lost: whoever opens the database next reads the log.
            tracing::warn!(%cause, "the catalog's database keeps its write-ahead log");
        }
        let options = self.pool.connect_options();
        self.pool.close().await;
        self.remove_log(&options).await;
    }

    /// `SQLite` deletes the log when the last connection closes. Of the pool's, which close at the same time
    /// on threads of their own, each may take another for the last; so one more is opened and closed.
    /// Another process that has the database open keeps the log.
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

    /// The table's row; `None` if there is no such table.
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

    /// Marks a namespace as existing, the way Java and pyiceberg do. Nothing if it is.
    pub(super) async fn insert_namespace(&self, namespace: &str) -> Result<(), Failure> {
        let insert = sqlx::query(
            "INSERT INTO iceberg_namespace_properties (catalog_name, namespace, property_key, property_value)
             VALUES (?, ?, 'exists', 'true') ON CONFLICT DO NOTHING",
        );
        self.change(insert.bind(&self.catalog_name).bind(namespace))
            .await?;
        Ok(())
    }

    /// Adds a table. False if there is one of that name, which is then left as it is.
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

    /// Moves a table from one metadata file to the next. False if it is not at `from` any more.
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

    /// Runs one changing statement outside a transaction and gives the number of rows changed. It
    /// either ends well, and then `SQLite` has committed and synced it, or with an error for which
    /// [`Failure::surely_undone`] knows what it means.
    async fn change<'a>(&self, statement: Query<'a, Sqlite, SqliteArguments<'a>>) -> Result<u64, Failure> {
        self.check_place(false).await?;
        let done = statement
            .execute(&self.pool)
            .await
            .map_err(|cause| failure(self.place.path(), cause))?;
        // Nothing is acknowledged that went into a file which nobody will read.
        self.check_place(true).await?;
        Ok(done.rows_affected())
    }

    /// An error when the database file was removed or replaced since it was opened.
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

/// Lets readers go on while a commit is written. Where it cannot be had (another process is in the
/// database, a file system without shared memory) the old journal is as safe, only slower.
async fn use_write_ahead_log(pool: &SqlitePool) {
    if let Err(cause) = pool.execute("PRAGMA journal_mode = WAL").await {
        tracing::debug!(%cause, "the catalog's database keeps its journal mode");
    }
}
