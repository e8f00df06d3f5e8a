//! The SQL: two tables in the layout of Iceberg's JDBC catalog, and what each statement's end means.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Executor, Row};

/// How long a statement waits for another process's write to end.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long to wait for a connection of ours; above [`BUSY_TIMEOUT`], so that its error is seen.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(40);
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

/// The catalog's database.
#[derive(Debug)]
pub(super) struct Database {
    pool: SqlitePool,
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
    pub(super) async fn open(path: &Path, catalog_name: String) -> sqlx::Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .busy_timeout(BUSY_TIMEOUT)
            .synchronous(SqliteSynchronous::Full);
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options)
            .await?;
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
            catalog_name,
            has_type,
        })
    }

    /// The table's row; `None` if there is no such table.
    pub(super) async fn table(&self, key: &Key) -> sqlx::Result<Option<TableRow>> {
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
            .await?;
        row.map(|row| {
            let iceberg_type: Option<String> = row.try_get(1)?;
            Ok(TableRow {
                metadata_location: row.try_get(0)?,
                is_table: iceberg_type.is_none_or(|name| name == "TABLE"),
            })
        })
        .transpose()
    }

    /// Marks a namespace as existing, the way Java and pyiceberg do. Nothing if it is.
    pub(super) async fn insert_namespace(&self, namespace: &str) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO iceberg_namespace_properties (catalog_name, namespace, property_key, property_value)
             VALUES (?, ?, 'exists', 'true') ON CONFLICT DO NOTHING",
        )
        .bind(&self.catalog_name)
        .bind(namespace)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Adds a table. False if there is one of that name, which is then left as it is.
    pub(super) async fn insert_table(&self, key: &Key, metadata_location: &str) -> sqlx::Result<bool> {
        let (column, value) = if self.has_type {
            (", iceberg_type", ", 'TABLE'")
        } else {
            ("", "")
        };
        let sql = format!(
            "INSERT INTO iceberg_tables (catalog_name, table_namespace, table_name, metadata_location{column})
             VALUES (?, ?, ?, ?{value}) ON CONFLICT DO NOTHING"
        );
        let done = sqlx::query(&sql)
            .bind(&self.catalog_name)
            .bind(&key.namespace)
            .bind(&key.table)
            .bind(metadata_location)
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Moves a table from one metadata file to the next. False if it is not at `from` any more.
    ///
    /// One statement outside a transaction: it either ends well, and then `SQLite` has committed and
    /// synced it, or with an error for which [`surely_undone`] knows what it means.
    pub(super) async fn swap_metadata(&self, key: &Key, from: &str, to: &str) -> sqlx::Result<bool> {
        let done = sqlx::query(
            "UPDATE iceberg_tables SET metadata_location = ?, previous_metadata_location = ?
             WHERE catalog_name = ? AND table_namespace = ? AND table_name = ? AND metadata_location = ?",
        )
        .bind(to)
        .bind(from)
        .bind(&self.catalog_name)
        .bind(&key.namespace)
        .bind(&key.table)
        .bind(from)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }
}

/// Lets readers go on while a commit is written. Where it cannot be had (another process is in the
/// database, a file system without shared memory) the old journal is as safe, only slower.
async fn use_write_ahead_log(pool: &SqlitePool) {
    if let Err(cause) = pool.execute("PRAGMA journal_mode = WAL").await {
        tracing::debug!(%cause, "the catalog's database keeps its journal mode");
    }
}

/// Whether an error means that the database was busy and that the statement can be repeated.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    // SQLITE_BUSY, SQLITE_LOCKED
    matches!(result_code(error), Some(5 | 6)) || matches!(error, sqlx::Error::PoolTimedOut)
}

/// Whether an error means for certain that the statement changed nothing, now and later.
///
/// `SQLite` rolls a single statement back on any error, but after a failed write or sync (`IOERR`) a
/// crash may still find the change in the file; so that, and whatever is not on the list, is not
/// certain. <https://sqlite.org/rescode.html>
pub(super) fn surely_undone(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(_) => matches!(
            result_code(error),
            // ERROR, PERM, BUSY, LOCKED, NOMEM, READONLY, CORRUPT, FULL, CANTOPEN, SCHEMA, CONSTRAINT, AUTH, NOTADB
            Some(1 | 3 | 5 | 6 | 7 | 8 | 11 | 13 | 14 | 17 | 19 | 23 | 26)
        ),
        // No connection, so nothing was sent.
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Configuration(_) => true,
        _ => false,
    }
}

/// `SQLite`'s primary result code: the low byte of the extended one.
fn result_code(error: &sqlx::Error) -> Option<i32> {
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}
