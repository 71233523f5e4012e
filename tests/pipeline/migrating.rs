//! The schema, made by the functions themselves.

use futures::future::join_all;
use local_stack::workspace;
use shared::migrations;

use crate::support::{Place, event};

#[tokio::test]
async fn instances_that_start_at_once_make_the_schema_once() {
    let place = Place::new("migrating_at_once").await;

    let runs = join_all((0..8).map(async |_| migrations::run(&mut place.client().await).await)).await;

    assert!(runs.iter().all(Result::is_ok), "{runs:?}");
    let files = std::fs::read_dir(workspace().join("shared/migrations")).unwrap().flatten();
    let numbered = files.filter(|file| file.file_name().to_string_lossy().starts_with('0')).count();
    assert_eq!(place.count("select count(*) from website_monitor_migrations").await, i64::try_from(numbered).unwrap());
}

#[tokio::test]
async fn a_database_that_is_newer_is_left_as_it_is() {
    let place = Place::new("migrating_newer").await;
    migrations::run(&mut place.client().await).await.unwrap();
    place.client().await.batch_execute("insert into website_monitor_migrations (version) values (9999)").await.unwrap();

    migrations::run(&mut place.client().await).await.unwrap();

    assert_eq!(place.count("select count(*) from website_monitor_migrations where version = 9999").await, 1);
}

#[tokio::test]
async fn the_seeds_own_table_stays_and_otherwise_a_view_takes_its_place() {
    let place = Place::new("migrating_seed_table").await;
    let table = "create table url_probes (id bigserial primary key, url text not null)";
    place.client().await.batch_execute(table).await.unwrap();
    migrations::run(&mut place.client().await).await.unwrap();
    assert_eq!(place.count("select count(*) from pg_tables where tablename = 'url_probes'").await, 1);

    let place = Place::new("migrating_seed_view").await;
    flush::run(&place.flush(), event("kafka-self-managed.json")).await.unwrap();
    // The Python CLI's own statement.
    let statement = "select url, timestamp, http_status_code, response_time_ms from url_probes;";
    let rows = place.client().await.query(statement, &[]).await.unwrap();
    let mut times: Vec<f64> = rows.iter().map(|row| row.get("response_time_ms")).collect();
    times.sort_by(f64::total_cmp);
    assert_eq!(times, [592.0, 832.0]);
    assert!(rows.iter().all(|row| row.get::<_, i32>("http_status_code") == 200));
}
