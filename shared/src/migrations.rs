//! The schema, made and migrated by the project itself: numbered SQL files, embedded, each applied once.

use tokio_postgres::{Client, error::SqlState};

/// Every migration in order; the position, from 1, is its version. A file that was released is never changed again.
const MIGRATIONS: &[&str] = &[include_str!("../migrations/0001_targets_probes_rejects.sql")];

/// Any number, as long as everyone who migrates takes the same one.
const LOCK: i64 = 0x7765_6273_6974_6500;

/// Brings the database to the newest version; a database that is newer than this build is left as it is.
///
/// Several instances may start at once: they wait for each other on an advisory lock that ends with its transaction,
/// so one that is killed leaves nothing behind. Called once per connection; for an up-to-date database it costs one
/// round trip, for a warm invocation nothing.
///
/// # Errors
/// The database refused a statement; everything done here is then undone.
pub async fn run(client: &mut Client) -> Result<(), tokio_postgres::Error> {
    if version(client).await? >= MIGRATIONS.len() {
        return Ok(());
    }
    let transaction = client.transaction().await?;
    transaction.batch_execute(&format!("select pg_advisory_xact_lock({LOCK})")).await?;
    transaction.batch_execute(include_str!("../migrations/schema_migrations.sql")).await?;
    // Read anew: another instance may have migrated while this one waited for the lock.
    let row = transaction.query_typed("select count(*) from schema_migrations", &[]).await?;
    let applied: i64 = row.first().map_or(Ok(0), |row| row.try_get(0))?;
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(usize::try_from(applied).unwrap_or(0)) {
        let version = index + 1;
        tracing::info!("migrating the database to version {version}");
        transaction.batch_execute(migration).await?;
        transaction.batch_execute(&format!("insert into schema_migrations (version) values ({version})")).await?;
    }
    transaction.commit().await
}

/// The version of the database: how many migrations it has had.
async fn version(client: &Client) -> Result<usize, tokio_postgres::Error> {
    match client.query_typed("select count(*) from schema_migrations", &[]).await {
        Ok(rows) => {
            let applied: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
            Ok(usize::try_from(applied).unwrap_or(0))
        }
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(0),
        Err(error) => Err(error),
    }
}
