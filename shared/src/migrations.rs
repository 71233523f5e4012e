//! The schema, made and migrated by the project itself: numbered SQL files, embedded, each applied once.

use tokio_postgres::{Client, Error, Row, error::SqlState};

use crate::database::{DatabaseError, causes};

/// Every migration in order; the position, from 1, is its version. A file that was released is never changed again.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_targets_probes_rejects.sql"),
    include_str!("../migrations/0002_history.sql"),
    include_str!("../migrations/0003_attempts.sql"),
    include_str!("../migrations/0004_target_settings.sql"),
    include_str!("../migrations/0005_reader.sql"),
    include_str!("../migrations/0006_writer.sql"),
    include_str!("../migrations/0007_rejects_whole.sql"),
    include_str!("../migrations/0008_failures.sql"),
];

/// The newest migration that the database has had.
const VERSION: &str = "select max(version) from website_monitor_migrations";

/// Any number, as long as everyone who migrates takes the same one.
const LOCK: i64 = 0x7765_6273_6974_6500;

/// Brings the database to the newest version, and returns the version it has; a database that is newer than this build is left as it is.
///
/// Several instances may start at once: they wait for each other on an advisory lock that ends with its transaction,
/// so one that is killed leaves nothing behind. Called once per connection; for an up-to-date database it costs one
/// round trip, for a warm invocation nothing.
///
/// # Errors
/// The database refused a statement; everything done here is then undone. One whose user may not change the schema, as
/// members of `website_monitor_writer` may not, says who has to.
pub async fn run(client: &mut Client) -> Result<usize, DatabaseError> {
    let (version, wanted) = (version(client).await?, MIGRATIONS.len());
    if version >= wanted {
        return Ok(version);
    }
    match migrate(client).await {
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            Err(DatabaseError::Schema { version, wanted, reason: causes(&error) })
        }
        migrated => Ok(migrated.map(|()| wanted)?),
    }
}

async fn migrate(client: &mut Client) -> Result<(), Error> {
    let transaction = client.transaction().await?;
    transaction.batch_execute(&format!("select pg_advisory_xact_lock({LOCK})")).await?;
    transaction.batch_execute(include_str!("../migrations/website_monitor_migrations.sql")).await?;
    // Read anew: another instance may have migrated while this one waited for the lock.
    let applied = read(&transaction.query_typed(VERSION, &[]).await?)?;
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(applied) {
        let version = index + 1;
        tracing::info!("migrating the database to version {version}");
        transaction.batch_execute(migration).await?;
        let insert = format!("insert into website_monitor_migrations (version) values ({version})");
        transaction.batch_execute(&insert).await?;
    }
    transaction.commit().await
}

/// The version of the database, 0 for an empty one.
async fn version(client: &Client) -> Result<usize, Error> {
    match client.query_typed(VERSION, &[]).await {
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(0),
        rows => read(&rows?),
    }
}

fn read(rows: &[Row]) -> Result<usize, Error> {
    let version: Option<i32> = rows.first().map_or(Ok(None), |row| row.try_get(0))?;
    Ok(version.and_then(|version| usize::try_from(version).ok()).unwrap_or(0))
}
