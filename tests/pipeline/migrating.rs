//! The schema, made by the functions themselves.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use futures::future::join_all;
use local_stack::workspace;
use shared::{migrations, timestamp};
use stats::query::StatsQuery;

use crate::support::{Place, batch, event, record_at, seal_step};

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

#[tokio::test]
async fn probes_of_the_first_version_become_part_of_history() {
    let place = Place::new("migrating_rows").await;
    let client = place.client().await;
    let first = std::fs::read_to_string(workspace().join("shared/migrations/0001_targets_probes_rejects.sql")).unwrap();
    let versions =
        std::fs::read_to_string(workspace().join("shared/migrations/website_monitor_migrations.sql")).unwrap();
    let rows = "insert into website_monitor_migrations (version) values (1);
        insert into targets (url) values ('https://a.test');
        insert into probes
        select
            now() - number * interval '20 minutes', number, null, '2027-01-31T23:59:59Z', 1, 12500,
            1, null, null, null, null, case when number % 2 = 0 then 200 end, 1,
            case when number % 2 = 0 then 0 else 2 end, case when number % 2 = 1 then 3 end, 'eu-west-1',
            case when number % 2 = 1 then 'late' end
        from generate_series(1, 300) as number";
    client.batch_execute(&[first, versions, rows.to_owned()].join(";")).await.unwrap();

    // Also today, whose partition is made only now.
    flush::run(&place.flush(), batch(0, &[record_at("https://a.test", timestamp::now().into())])).await.unwrap();
    while seal_step(&client).await.unwrap().is_some() {}

    assert_eq!(place.count("select count(*) from probes").await, 301);
    assert_eq!(place.count("select count(*) from url_probes where http_status_code is null").await, 150);
    assert_eq!(place.count("select count(*) from certificates where expires_at = '2027-01-31T23:59:59Z'").await, 1);
    let stats = stats::run(&place.stats(), &StatsQuery::default(), timestamp::now()).await.unwrap().stats;
    assert_eq!((stats[0].figures.probes, stats[0].figures.responses, stats[0].figures.down), (301, 151, 150));
    assert!(place.count("select sum(probes) from chunks").await > 250);
}

#[tokio::test]
async fn whoever_asks_while_the_schema_is_made_gets_an_answer() {
    for name in ["migrating_asked", "migrating_asked_again", "migrating_asked_once_more"] {
        let place = Place::new(name).await;
        let (flush, done) = (place.flush(), AtomicBool::new(false));
        let ask = async || {
            let (stats, mut asked) = (place.stats(), 0);
            while !done.load(SeqCst) {
                stats::run(&stats, &StatsQuery::default(), timestamp::now()).await.unwrap();
                asked += 1;
            }
            asked
        };
        let store = async {
            flush::run(&flush, batch(0, &[record_at("https://a.test", timestamp::now().into())])).await.unwrap();
            done.store(true, SeqCst);
        };

        let (asked, ..) = tokio::join!(ask(), ask(), ask(), ask(), store);

        assert!(asked > 0);
    }
}
